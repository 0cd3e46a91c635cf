"""Loading and saving a policy: model and processor from one folder (or the Hub), checked against each other.

`from_pretrained` alone forgives too much for training: absent weights are filled with noise after one
warning, a text-only model loads and ignores the page, a tokenizer with other ids puts the image in the wrong
place. Here each of these is an error.

Left out on purpose: quantisation and sharding over devices; pass a model you loaded yourself to
`TransformersPolicy` or the trainer instead.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill0.errors import CheckpointError, PolicyError
from skill0.policy.adapters import adapted_model, is_adapter, merge_adapter
from skill0.policy.processor import IMAGE_TOKEN, VIDEO_TOKEN, ImageTextProcessor
from skill0.policy.shipped import is_shipped, policy_folder

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

SUPPORTED_MODEL_TYPE = "qwen2_5_vl"

_CONTROL_TOKENS = {
    "image_token_id": IMAGE_TOKEN,
    "video_token_id": VIDEO_TOKEN,
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
"""Field of the model's config -> token that must have that id in the tokenizer."""


def load_policy(
    name_or_path: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    attn_implementation: str | None = None,
) -> tuple[Qwen2_5_VLForConditionalGeneration, ImageTextProcessor]:
    """Load a Qwen2.5-VL model, in eval mode, and its processor.

    Args:
        name_or_path: a folder written by `save_policy` (or by `save_pretrained`), one with a LoRA adapter and
            a processor, a policy that comes with the package (`shipped/household`), or a name on the Hub.
        dtype: "auto" keeps the dtype the weights were saved in. An adapter is added up with its model in
            float32, and "auto" leaves it there: in 16 bits much of what it adds would be rounded away.
        device: where the model goes; the CPU when not given.
        attn_implementation: transformers' name of an attention kernel; its own choice when not given.

    Raises:
        PolicyError: there is no model; it is not a Qwen2.5-VL (a text-only model cannot see pages); weights
            are missing or have another shape; the processor has no image part; tokenizer and model disagree
            on the vocabulary or on the ids of the image tokens.
    """
    from transformers import AutoModelForImageTextToText

    from skill0.policy.vision import share_equal_images, use_matmul_patch_embedding

    name = _resolved(name_or_path)
    if is_adapter(name):
        return _load_adapted(name, dtype, device, attn_implementation)
    _check_model_type(name)
    processor = load_processor(name)
    options = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    except (OSError, ValueError, ImportError) as error:
        raise PolicyError(f"{name}: cannot load the model: {error}") from error
    model, info = loaded
    _check_weights(name, info)
    check_policy(model, processor, name)
    if device is not None:
        model.to(device)
    share_equal_images(model)
    if model.device.type == "cpu":
        use_matmul_patch_embedding(model)
    return model.eval(), processor


def _load_adapted(
    folder: str, dtype: str | torch.dtype, device: str | torch.device | None, attn_implementation: str | None
) -> tuple[Qwen2_5_VLForConditionalGeneration, ImageTextProcessor]:
    """The model that a saved adapter belongs to, with the adapter added to its weights."""
    import torch

    model, _ = load_policy(
        adapted_model(folder), dtype="float32", device=device, attn_implementation=attn_implementation
    )
    model = merge_adapter(model, folder)
    if dtype != "auto":
        wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        if not isinstance(wanted, torch.dtype):
            raise PolicyError(f"{folder}: dtype={dtype!r} is no dtype of torch")
        model.to(wanted)
    processor = load_processor(folder)
    check_policy(model, processor, folder)
    return model.eval(), processor


def load_processor(name_or_path: str | Path) -> ImageTextProcessor:
    """Load the processor alone. Raises `PolicyError` when its image part or its tokenizer is missing."""
    try:
        return ImageTextProcessor.from_pretrained(_resolved(name_or_path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{name_or_path}: no image-and-text processor here ({error}). A policy needs the image settings "
            "(processor_config.json or preprocessor_config.json) and the tokenizer beside the weights; "
            "`save_policy` writes both"
        ) from error


def save_policy(model: Any, processor: ImageTextProcessor, folder: str | Path) -> Path:
    """Write model and processor to one folder that plain transformers can load (docs/policy.md says how).

    Raises:
        CheckpointError: the folder cannot be written, for instance because the disk is full.
    """
    from safetensors import SafetensorError

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot save the policy: {error}") from error
    return folder


def check_policy(model: Any, processor: Any, name: str = "policy") -> None:
    """Check that a model sees images and that processor and model mean the same by every id.

    Raises:
        PolicyError: says which part does not fit.
    """
    config = model.config
    if getattr(config, "vision_config", None) is None:
        raise PolicyError(_not_a_vision_model(name, getattr(config, "model_type", "unknown")))
    if getattr(processor, "image_processor", None) is None:
        raise PolicyError(
            f"{name}: the processor ({type(processor).__name__}) has no image part; pages cannot be shown. "
            "Use skill0.policy.ImageTextProcessor"
        )
    vocabulary = processor.tokenizer.get_vocab()
    for field, token in _CONTROL_TOKENS.items():
        expected, found = getattr(config, field, None), vocabulary.get(token)
        if expected is not None and expected != found:
            raise PolicyError(
                f"{name}: {token} is {found} in the tokenizer but {field}={expected} in the model's config: "
                "tokenizer and weights do not belong together"
            )
    rows, highest = model.get_input_embeddings().weight.shape[0], max(vocabulary.values())
    # Under ZeRO-3 the weight is sharded and shows no rows here.
    if 0 < rows <= highest:
        raise PolicyError(
            f"{name}: the tokenizer has ids up to {highest}, but the model embeds only {rows} tokens: "
            "tokenizer and weights do not belong together"
        )


def _resolved(name_or_path: str | Path) -> str:
    """What transformers is told to load: a shipped policy by its folder, anything else by its own name."""
    return str(policy_folder(name_or_path)) if is_shipped(name_or_path) else str(name_or_path)


def _check_model_type(name: str) -> None:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise PolicyError(f"{name}: no model here: {error}") from error
    if config.model_type != SUPPORTED_MODEL_TYPE:
        raise PolicyError(_not_a_vision_model(name, config.model_type))


def _not_a_vision_model(name: str, model_type: str) -> str:
    return (
        f"{name}: a model of type {model_type!r}; pages are shown as images, which takes a Qwen2.5-VL "
        f"({SUPPORTED_MODEL_TYPE!r}), for instance Qwen/Qwen2.5-VL-3B-Instruct"
    )


def _check_weights(name: str, info: dict[str, Any]) -> None:
    mismatched = sorted(str(key[0]) for key in info.get("mismatched_keys", ()))
    missing = sorted(set(info.get("missing_keys", ())) - set(mismatched))
    for keys, what in ((missing, "are missing"), (mismatched, "have another shape than the config says")):
        if keys:
            named = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            raise PolicyError(
                f"{name}: {len(keys)} weights {what} ({named}): the checkpoint is incomplete or belongs to "
                "another config"
            )
    unexpected = sorted(info.get("unexpected_keys", ()))
    if unexpected:
        warnings.warn(f"{name}: {len(unexpected)} weights are not used: {', '.join(unexpected[:3])} ...")
