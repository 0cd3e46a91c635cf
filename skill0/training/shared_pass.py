"""Log-probabilities of a micro-batch by a forward pass that computes nothing twice.

Turns of a rollout group show the same page, and often are the same turn altogether. Here the beginnings that
prompts share go through the model once (skill0/policy/stems.py), equal turns are one row, and only completion
tokens are projected to the vocabulary. Values and gradients are those of TRL's pass over whole rows, up to
rounding; tests/training/test_shared_pass.py holds both against each other.

Left out: what only TRL's pass can do, see `can_share`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import FSDPModule
from transformers import DynamicCache, Qwen2_5_VLForConditionalGeneration

from skill0.context.tensors import Pixels, pixel_tensors
from skill0.policy.stems import can_share_stems, has_stem, run_stems

if TYPE_CHECKING:
    from skill0.agent import Turn


def can_share(model: Any, turns: Sequence[Turn], image_token_id: int) -> bool:
    """Whether a micro-batch can be computed this way: by a bare float32 model on the CPU, without dropout and
    without gradient checkpointing (which keeps no keys and values to share).

    On an accelerator TRL's pass is left alone: it needs less memory for large vocabularies.
    """
    if not isinstance(model, Qwen2_5_VLForConditionalGeneration) or isinstance(model, FSDPModule):
        return False  # wrapped, by PEFT or for several processes
    plain = model.device.type == "cpu" and model.dtype == torch.float32 and can_share_stems(model)
    keeps_all = not model.model.language_model.gradient_checkpointing
    exact = not model.config.get_text_config().attention_dropout
    return plain and keeps_all and exact and all(has_stem(turn.prompt_ids, image_token_id) for turn in turns)


def shared_logprobs(
    model: Any,
    turns: Sequence[Turn],
    *,
    temperature: float,
    pad_token_id: int,
    image_token_id: int,
    pixels: Pixels = pixel_tensors,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the completion tokens, and entropies of their distributions, at `temperature`.

    Both are float32 (turns, longest completion), 0 behind the end of a completion.
    """
    distinct: dict[Any, int] = {}
    row_of = [
        distinct.setdefault((tuple(turn.prompt_ids), tuple(turn.completion_ids), turn.page), len(distinct))
        for turn in turns
    ]
    prompts, completions, pages = (list(part) for part in zip(*distinct, strict=True))
    stems = run_stems(
        model.model, model, prompts, pages, DynamicCache(config=model.config),
        pad_token_id=pad_token_id, image_token_id=image_token_id, pixels=pixels,
    )  # fmt: skip
    tails = [(*rest, *completion) for rest, completion in zip(stems.rests, completions, strict=True)]
    inputs = stems.followed_by(tails, pad_token_id, left=False)
    states = model.model(**inputs).last_hidden_state  # (rows, columns, width)
    starts, lengths = (
        torch.tensor([len(part) for part in parts], device=model.device)[:, None]
        for parts in (stems.rests, completions)
    )  # both (rows, 1)
    columns = torch.arange(states.shape[1], device=model.device)  # (columns,)
    written = (columns >= starts) & (columns < starts + lengths)  # (rows, columns), completion tokens
    ids = inputs["input_ids"][written]  # (tokens,)
    logits = model.lm_head(states[:, :-1][written[:, 1:]]) / temperature  # (tokens, vocabulary)
    every = logits.log_softmax(dim=-1)  # (tokens, vocabulary)
    chosen = every.gather(1, ids[:, None]).squeeze(1)  # (tokens,)
    entropy = -(every.exp() * every).sum(dim=-1)  # (tokens,)
    mask = columns[: max(map(len, completions))] < lengths  # (rows, longest completion)
    rows = torch.tensor(row_of, device=model.device)  # (turns,)
    logprobs, entropies = (
        torch.zeros(mask.shape, device=model.device).masked_scatter(mask, values)[rows]
        for values in (chosen, entropy)
    )
    return logprobs, entropies
