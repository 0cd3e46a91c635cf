"""A policy that answers with a transformers model in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skill0.agent.policy import PolicyInput, PolicyOutput, Sampling
from skill0.errors import PolicyError
from skill0.policy.encoding import PromptEncoder
from skill0.policy.loading import check_policy
from skill0.policy.sampling import generate_replies


class TransformersPolicy:
    """Replies of a Qwen2.5-VL model, in batches of at most `batch_size` prompts of similar length.

    Args:
        model: a Qwen2.5-VL model.
        processor: its processor.
        batch_size: prompts a `generate` call; replies do not depend on it.
        device: where the model is moved; it stays where it is when not given.
        pixels: how pages become pixel values, "glyphs" or "processor": see `PromptEncoder`.

    Raises:
        PolicyError: model and processor do not fit together, or the model sees no images.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        batch_size: int = 48,
        device: Any = None,
        pixels: str = "glyphs",
    ):
        if batch_size < 1:
            raise PolicyError(f"batch_size must be at least 1, got {batch_size}")
        check_policy(model, processor)
        self.model = model if device is None else model.to(device)
        self.encoder = PromptEncoder(processor, pixels)
        self.batch_size = batch_size

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        prompts = [self.encoder.encode(item) for item in inputs]
        order = sorted(range(len(inputs)), key=lambda i: len(prompts[i]), reverse=True)
        outputs: dict[int, PolicyOutput] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            replies = generate_replies(
                self.model,
                self.encoder,
                [inputs[i] for i in batch],
                sampling,
                prompt_ids=[prompts[i] for i in batch],
            )
            outputs.update(zip(batch, replies, strict=True))
        return [outputs[i] for i in range(len(inputs))]
