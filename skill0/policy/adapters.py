"""LoRA adapters (arXiv 2106.09685): what one is asked to be, and a policy that was saved as one.

An adapter is a pair of thin matrices beside each of some linear layers, whose own weights are left as they
are. Training it takes a hundredth of the optimizer's memory. Saved, it is a folder with its own weights and
the name of the model it belongs to; `load_policy` loads both and adds them up.

Left out on purpose: adapters of the vision tower, quantised models, and other kinds of adapters: make a PEFT
configuration of your own and give it to the trainer as `peft_config`.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill0.errors import ConfigError, PolicyError

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of a text layer: attention, then the MLP."""
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class LoraSettings:
    """A LoRA adapter of the text model.

    Args:
        rank (`int`, *optional*, defaults to `16`):
            Rank of the matrix that is added to a layer's weights.
        alpha (`int`, *optional*, defaults to `32`):
            What is added is `alpha / rank` times the product of the two thin matrices.
        dropout (`float`, *optional*, defaults to `0.0`):
            Share of an adapter's inputs that is dropped while it learns. Replies are drawn without dropout:
            above 0, what is trained is not quite what was sampled.
        target_modules (`tuple[str, ...]`, *optional*):
            Linear layers that get an adapter, in every layer of the text model; by default all seven.

    Raises:
        ConfigError: a value is out of range, or no such layer.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 (pydantic reads it; recipes refuse unknown keys)

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = LAYERS

    def __post_init__(self) -> None:
        for name in ("rank", "alpha"):
            if getattr(self, name) < 1:
                raise ConfigError(f"policy.lora: {name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"policy.lora: dropout must lie in [0, 1), got {self.dropout}")
        unknown = sorted(set(self.target_modules) - set(LAYERS))
        if unknown or not self.target_modules:
            raise ConfigError(
                f"policy.lora: target_modules must be some of {', '.join(LAYERS)}; got "
                f"{', '.join(unknown) or 'none'}"
            )


def adapter_config(settings: LoraSettings) -> Any:
    """PEFT's configuration of an adapter. Raises `ConfigError` where PEFT is not installed."""
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError("policy.lora needs PEFT: pip install 'skill0[peft]'") from error
    layers = "|".join(settings.target_modules)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        # The vision tower has layers of these names, too.
        target_modules=rf".*language_model\.layers\.\d+\..*\.({layers})",
    )


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter instead of a whole model."""
    return (Path(folder) / CONFIG_FILE).is_file() and not (Path(folder) / "config.json").is_file()


def adapted_model(folder: str | Path) -> str:
    """The name or folder of the model that a saved adapter belongs to.

    Raises:
        PolicyError: the folder does not say, or names a folder that is gone.
    """
    folder = Path(folder)
    name = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not name:
        raise PolicyError(f"{folder / CONFIG_FILE} does not say which model the adapter belongs to")
    if Path(name).is_absolute() and not Path(name).is_dir():
        raise PolicyError(
            f"{folder} holds an adapter of the model in {name}, and that folder is gone: put the model back, "
            f"or write its new place into {folder / CONFIG_FILE} (base_model_name_or_path)"
        )
    return name


def merge_adapter(model: Any, folder: str | Path) -> Any:
    """The model with a saved adapter added to its weights, under the folder's name.

    Raises:
        PolicyError: PEFT is not installed; the adapter does not fit the model, or is not in safetensors.
    """
    folder = Path(folder)
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise PolicyError(
            f"{folder} holds an adapter, which needs PEFT: pip install 'skill0[peft]'"
        ) from error
    from safetensors import safe_open

    if not (folder / WEIGHTS_FILE).is_file():
        raise PolicyError(f"{folder}: the adapter has no {WEIGHTS_FILE}; other forms are not loaded")
    with warnings.catch_warnings():
        # PEFT asks for activation checkpointing by a name that transformers has given up.
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # an error below
        try:
            adapted = PeftModel.from_pretrained(model, str(folder))
        except (OSError, ValueError, RuntimeError) as error:
            raise PolicyError(f"{folder}: the adapter does not fit its model: {error}") from error
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as saved:
        differing = set(saved.keys()) ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if differing:
        raise PolicyError(
            f"{folder}: {len(differing)} adapter weights are missing or belong to another model "
            f"({', '.join(sorted(differing)[:3])})"
        )
    merged: Any = adapted.merge_and_unload()
    # What is adapted further, or kept as a reference, is this model and not the one below it.
    merged.name_or_path = merged.config._name_or_path = str(folder)
    return merged
