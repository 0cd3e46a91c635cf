"""A decode loop around the official model that computes nothing twice.

`model.generate` runs every prompt of a batch from its first token, and keeps rows that have ended until the
last one has. Here prompts share the computation of their page (stems.py), and what is computed is *states*,
not replies: replies that are equal so far, to equal prompts, are one state, until they part. The members of
a rollout group begin every episode in one state. A state that no unfinished reply is in is dropped.

Which token a reply goes on with is drawn for each reply by itself, from its own random numbers.

Left out: everything that `generate` is still needed for, see `must_generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import distributed
from transformers import DynamicCache
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.integrations.fsdp import is_fsdp_managed_module

from skill0.context import Page
from skill0.context.tensors import Pixels, pixel_tensors
from skill0.policy.cache import reserved_cache
from skill0.policy.stems import can_share_stems, has_stem, run_stems, stem_length

Draw = Callable[[torch.Tensor, Sequence[int]], tuple[list[int], torch.Tensor]]
"""From logits (replies, vocabulary) and these replies' numbers: their next tokens, and log-probabilities."""


def must_generate(model: Any, prompts: Sequence[Sequence[int]], image_token_id: int) -> bool:
    """Whether a batch is left to `model.generate`, because the loop here

    - may end at another step on another process, while ZeRO-3 and FSDP gather weights at every step;
    - knows no virtual tokens (PEFT's prompt tuning);
    - pads inside rows, which not every kind of attention allows for (`can_share_stems`);
    - needs a token behind the stem of every prompt.
    """
    several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    together = several and (is_deepspeed_zero3_enabled() or is_fsdp_managed_module(model))
    adapters = getattr(model, "peft_config", None) or {}
    virtual = any(adapter.is_prompt_learning for adapter in adapters.values())
    stems = all(has_stem(prompt, image_token_id) for prompt in prompts)
    return together or virtual or not can_share_stems(model) or not stems


def decode(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    pages: Sequence[Page | None],
    draw: Draw,
    *,
    max_new_tokens: int,
    end_token_ids: frozenset[int],
    pad_token_id: int,
    image_token_id: int,
    pixels: Pixels = pixel_tensors,
) -> tuple[list[list[int]], list[list[float]]]:
    """Tokens of a reply to each prompt, with its end token if it has one, and their log-probabilities."""
    distinct: dict[tuple[tuple[int, ...], Page | None], int] = {}
    state_of = [
        distinct.setdefault(key, len(distinct)) for key in zip(prompts, pages, strict=True)
    ]  # of each unfinished reply
    stems = [stem_length(prompt, image_token_id) for prompt in prompts]
    longest_rest = max(len(prompt) - stem for prompt, stem in zip(prompts, stems, strict=True))
    room = max(stems) + longest_rest + max_new_tokens
    on_cpu = next(model.parameters()).device.type == "cpu"
    cache = reserved_cache(model.config, room) if on_cpu else DynamicCache(config=model.config)
    shared = run_stems(
        model, model, [prompt for prompt, _ in distinct], [page for _, page in distinct], cache,
        pad_token_id=pad_token_id, image_token_id=image_token_id, pixels=pixels,
    )  # fmt: skip
    inputs = shared.followed_by(shared.rests, pad_token_id, left=True)
    position = inputs["position_ids"][0, :, -1] + 1  # (states,), of a reply's first token
    replies: list[list[int]] = [[] for _ in prompts]
    drawn: list[tuple[list[int], torch.Tensor]] = []
    unfinished = list(range(len(prompts)))
    while True:
        logits = model(**inputs, logits_to_keep=1).logits[:, -1]  # (states, vocabulary)
        tokens, logprobs = draw(logits[state_of], unfinished)
        drawn.append((unfinished, logprobs))
        for reply, token in zip(unfinished, tokens, strict=True):
            replies[reply].append(token)
        if len(drawn) == max_new_tokens:
            break
        going = [place for place, token in enumerate(tokens) if token not in end_token_ids]
        if not going:
            break
        unfinished = [unfinished[place] for place in going]
        children: dict[tuple[int, int], int] = {}
        state_of = [children.setdefault((state_of[place], tokens[place]), len(children)) for place in going]
        inputs, position = _step(inputs, position, list(children))
    scores: list[list[float]] = [[] for _ in prompts]
    for numbers, logprobs in drawn:
        for reply, value in zip(numbers, logprobs.tolist(), strict=True):
            scores[reply].append(value)
    return replies, scores


def _step(
    inputs: dict[str, Any], position: torch.Tensor, children: Sequence[tuple[int, int]]
) -> tuple[dict[str, Any], torch.Tensor]:
    """Inputs of the next pass, one token each of `children` (parent state, token); positions after it."""
    mask, cache, device = inputs["attention_mask"], inputs["past_key_values"], position.device
    parents = [parent for parent, _ in children]
    if parents != list(range(len(position))):
        kept = torch.tensor(parents, device=device)
        cache.batch_select_indices(kept)
        mask, position = mask[kept], position[kept]
    ids = torch.tensor([[token] for _, token in children], device=device)  # (states, 1)
    following = {
        "input_ids": ids,
        "attention_mask": torch.cat([mask, torch.ones_like(ids)], dim=1),  # (states, columns so far)
        "position_ids": position[:, None].expand(3, -1, 1),
        "past_key_values": cache,
        "use_cache": True,
    }
    return following, position + 1
