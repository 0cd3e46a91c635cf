"""The policy: loading and saving, prompts to ids, seeded sampling, and the tiny Qwen2.5-VL.

from skill0.policy import TransformersPolicy, load_policy

model, processor = load_policy("Qwen/Qwen2.5-VL-3B-Instruct", device="cuda")
policy = TransformersPolicy(model, processor, batch_size=32)

Names are imported when they are first used, so that importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skill0.policy.encoding import PromptEncoder
    from skill0.policy.loading import check_policy, load_policy, load_processor, save_policy
    from skill0.policy.processor import ImageTextProcessor
    from skill0.policy.sampling import generate_replies
    from skill0.policy.shipped import policy_folder, shipped_names
    from skill0.policy.tiny import TinyPolicySettings, build_tiny_policy
    from skill0.policy.tokenizer import build_tokenizer, lexicon_from_texts
    from skill0.policy.transformers_policy import TransformersPolicy
    from skill0.policy.vision import speed_up_vision_on_cpu, use_matmul_patch_embedding

_HOME = {
    "ImageTextProcessor": "processor",
    "PromptEncoder": "encoding",
    "TinyPolicySettings": "tiny",
    "TransformersPolicy": "transformers_policy",
    "build_tiny_policy": "tiny",
    "build_tokenizer": "tokenizer",
    "check_policy": "loading",
    "generate_replies": "sampling",
    "lexicon_from_texts": "tokenizer",
    "load_policy": "loading",
    "load_processor": "loading",
    "policy_folder": "shipped",
    "save_policy": "loading",
    "shipped_names": "shipped",
    "speed_up_vision_on_cpu": "vision",
    "use_matmul_patch_embedding": "vision",
}

__all__ = [
    "ImageTextProcessor",
    "PromptEncoder",
    "TinyPolicySettings",
    "TransformersPolicy",
    "build_tiny_policy",
    "build_tokenizer",
    "check_policy",
    "generate_replies",
    "lexicon_from_texts",
    "load_policy",
    "load_processor",
    "policy_folder",
    "save_policy",
    "shipped_names",
    "speed_up_vision_on_cpu",
    "use_matmul_patch_embedding",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
