"""The model that is trained: loaded by its name or taken as given, and what of it would go wrong unseen.

Weights are float32, whatever they were published in, unless `model_init_kwargs` asks for something else. A
step of a learning rate of 1e-6 is below half of a bfloat16's last place for nearly all weights: added to
them, it is rounded away. `bf16=True` computes in bfloat16 with float32 weights, and FSDP 2 and ZeRO split
these over the processes.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch

from skill0.errors import ConfigError, PolicyError
from skill0.policy.adapters import is_adapter
from skill0.policy.loading import check_policy, load_policy, load_processor
from skill0.policy.vision import share_equal_images
from skill0.training import persistence, processes, scoring

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from skill0.training.config import Skill0Config
    from skill0.training.trainer import Skill0Trainer

HALF = (torch.bfloat16, torch.float16)


def resolve_policy(
    model: Any, processing_class: Any, args: Skill0Config, peft_config: Any = None
) -> tuple[Any, Any]:
    """Model and processor that fit each other, loaded if a name is given. The model encodes equal pages once.

    Raises:
        PolicyError: the model cannot be loaded or be shown images, has no processor, or there is no reference
            policy for it.
        ConfigError: `model_init_kwargs` holds what is not supported, or is given beside a model.
    """
    if isinstance(model, str):
        model, processor = _loaded(model, args)
        processing_class = processing_class or processor
    else:
        if args.model_init_kwargs:
            raise ConfigError(
                f"model_init_kwargs={args.model_init_kwargs} say how a model is loaded, but one was given "
                "that is loaded already; give its name, or leave them out"
            )
        processing_class = processing_class or _processor_of(model)
    base: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    name = base.config._name_or_path or ""
    check_policy(base, processing_class, name or "model")
    share_equal_images(base)
    if args.beta != 0.0 and base is model and peft_config is None and (not name or is_adapter(name)):
        made = "is one with an adapter added to it" if name else "was made in memory"
        raise PolicyError(
            f"beta={args.beta} needs a reference policy, which is loaded from where the model came from, but "
            f"this model {made}; save it with save_policy and load it again"
        )
    return model, processing_class


@contextlib.contextmanager
def as_loaded(args: Skill0Config) -> Iterator[None]:
    """TRL would say that `model_init_kwargs` are ignored, since the model is there; it was loaded with them.
    The reference policy is then loaded like the model, whose dtype and attention TRL looks up."""
    given = args.model_init_kwargs
    args.model_init_kwargs = None
    try:
        yield
    finally:
        args.model_init_kwargs = given


def check_wrapped(trainer: Skill0Trainer) -> None:
    """What can be seen of a trainer's model once it is wrapped, and the processes share it. Warns of rounding
    and dropout; the reference policy encodes equal pages once, too.

    Raises:
        ConfigError: weights were to be split and are not, or could not be saved whole.
    """
    processes.check_sharding(trainer.accelerator)
    persistence.check_reference(trainer)
    way = processes.kind(trainer.accelerator)
    warn_of_rounding(trainer.model, way, trainer.accelerator.mixed_precision)
    warn_of_dropout(trainer.model, scoring.compares_to_before(trainer) or trainer.beta != 0.0)
    if trainer.ref_model is not None:
        share_equal_images(trainer.ref_model)


def warn_of_rounding(model: Any, way: str, mixed_precision: str) -> None:
    """Warns where optimizer steps would be added to weights of 16 bits. `way` is that of `processes.kind`.

    DeepSpeed keeps float32 weights of its own beside them; so does FSDP 2 in mixed precision.
    """
    keeps_none = way in ("single", "ddp") or (way == "fsdp2" and mixed_precision == "no")
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    rounded = sum(weight.numel() for weight in trained if weight.dtype in HALF)
    if keeps_none and rounded:
        warnings.warn(
            f"{rounded} trained weights have 16 bits, and nothing keeps them in float32: steps of a small "
            "learning rate are rounded away. Load the model in float32 and set bf16=True, which computes in "
            "bfloat16 (a recipe does unless training.model_init_kwargs gives a dtype)"
        )


def warn_of_dropout(model: Any, needs_ratios: bool) -> None:
    """Warns where dropout would be taken for a change of the policy: replies are drawn, and scored before an
    update, without it, while the pass that learns has it."""
    layers = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())
    if needs_ratios and (layers or model.config.get_text_config().attention_dropout > 0):
        warnings.warn(
            "this model has dropout, so ratios to the policy before an update (and KL estimates) would hold "
            "its noise; set disable_dropout=True, or a dropout of 0 in the adapter"
        )


def _loaded(name: str, args: Skill0Config) -> tuple[Any, Any]:
    options: dict[str, Any] = dict(cast("dict[str, Any]", args.model_init_kwargs or {}))
    dtype = options.pop("dtype", "float32")
    attention = options.pop("attn_implementation", None)
    if options:
        raise ConfigError(f"model_init_kwargs={options} are not supported; load the model and pass it")
    _tell_deepspeed_of_processes(args)
    return load_policy(name, dtype=dtype, attn_implementation=attention)


def _processor_of(model: Any) -> Any:
    name = getattr(model.config, "_name_or_path", "")
    if not name:
        raise PolicyError("the model was made in memory, so its processor is unknown; give processing_class")
    return load_processor(name)


def _tell_deepspeed_of_processes(args: Skill0Config) -> None:
    """ZeRO-3 splits weights while they are loaded; before that, deepspeed must know how many processes
    there are, or it takes itself for the only one."""
    plugin = args.deepspeed_plugin
    if plugin is None or plugin.zero_stage != 3:
        return
    import deepspeed  # pyright: ignore[reportMissingImports]

    if torch.distributed.is_initialized() and not deepspeed.comm.is_initialized():
        deepspeed.init_distributed(dist_backend=torch.distributed.get_backend())
