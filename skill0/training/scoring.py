"""Scoring the turns of a round before training on them: under the policy as it is now, and the reference.

The policy's own log-probabilities are needed when a round serves several optimizer steps, and to correct for
a sampler that computes other numbers than the trainer (vLLM). Where neither holds, the loss uses its own.
transformers in float32 has recorded them while it sampled; anything else is scored by a forward pass, without
dropout, as it was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from skill0.training import trl_internals
from skill0.training.loss import sampler_correction
from skill0.training.turn_buffer import TrainingTurn

if TYPE_CHECKING:
    from skill0.training.trainer import Skill0Trainer, Window


def score_windows(trainer: Skill0Trainer, windows: Sequence[Window]) -> dict[str, float]:
    """Fill in `old_logprobs`, `reference_logprobs` and `sampler_ratio` of all turns, where they are needed.

    Returns how far sampler and trainer differ, where that is looked at.
    """
    args = trainer.args
    corrects = args.use_vllm and args.vllm_importance_sampling_correction
    needs_old = compares_to_before(trainer)
    compares = corrects or args.check_sampling
    if needs_old and trl_internals.samples_exactly(trainer):
        for item in (item for window in windows for micro_batch in window for item in micro_batch):
            item.old_logprobs = _as_sampled(item)
        needs_old = False
    if not (needs_old or compares or trainer.beta != 0.0):
        return {}
    differences: list[torch.Tensor] = []
    with trl_internals.scoring(trainer):
        for micro_batch in (micro_batch for window in windows for micro_batch in window):
            batch = trainer.collate(micro_batch)
            if needs_old or compares:
                logprobs, _ = trl_internals.token_logprobs(trainer, trl_internals.bare_model(trainer), batch)
                if needs_old:
                    _keep(micro_batch, "old_logprobs", logprobs)
                if compares:
                    differences += _compare(trainer, micro_batch, logprobs.cpu(), corrects)
            if trainer.beta != 0.0:
                _keep(micro_batch, "reference_logprobs", trl_internals.reference_logprobs(trainer, batch))
    return _difference_metrics(trainer, differences) if compares else {}


def compares_to_before(trainer: Skill0Trainer) -> bool:
    """Whether the loss compares the policy that learns with the one before the update: a round serves several
    optimizer steps, or another sampler is corrected for."""
    args = trainer.args
    corrects = args.use_vllm and args.vllm_importance_sampling_correction
    return args.gradient_accumulation_steps % trainer.windows_per_round != 0 or corrects


def _as_sampled(item: TrainingTurn) -> torch.Tensor:
    """The sampler's log-probabilities, float32 (completion tokens,); 0 for a turn that nobody sampled as it
    stands, which is no part of the loss that reads them."""
    length = len(item.turn.completion_ids)
    return torch.tensor(item.turn.logprobs or (0.0,) * length, dtype=torch.float32)


def _keep(items: Sequence[TrainingTurn], name: str, values: torch.Tensor) -> None:
    """Store each row of `values` (turns, tokens) with its turn, without padding."""
    for item, row in zip(items, values.float().cpu(), strict=True):
        setattr(item, name, row[: len(item.turn.completion_ids)].clone())


def _compare(
    trainer: Skill0Trainer, items: Sequence[TrainingTurn], logprobs: torch.Tensor, corrects: bool
) -> list[torch.Tensor]:
    """The absolute differences of each real turn's log-probabilities; sets `sampler_ratio` if it corrects."""
    args = trainer.args
    differences = []
    for item, row in zip(items, logprobs.float(), strict=True):
        length = len(item.turn.completion_ids)
        mine = row[:length]
        sampled = item.turn.logprobs
        theirs = mine if sampled is None else torch.tensor(sampled, dtype=torch.float32)
        if corrects:
            item.sampler_ratio = sampler_correction(
                mine[None],
                theirs[None],
                torch.ones(1, length),
                mode=args.vllm_importance_sampling_mode,
                clip_min=args.vllm_importance_sampling_clip_min,
                clip_max=args.vllm_importance_sampling_clip_max,
            )[0]
        if not item.is_padding and sampled is not None:
            differences.append((mine - theirs).abs().nan_to_num(nan=0.0))
    return differences


def _difference_metrics(trainer: Skill0Trainer, differences: Sequence[torch.Tensor]) -> dict[str, float]:
    values = torch.cat([*differences, torch.zeros(0)])  # (tokens of this process,)
    largest = values.max().item() if values.numel() else 0.0
    local = torch.tensor(
        [values.sum().item(), float(values.numel()), largest], device=trainer.accelerator.device
    )
    gathered = trainer.accelerator.gather(local)
    assert isinstance(gathered, torch.Tensor)
    sums, counts, maxima = gathered.view(-1, 3).T  # each (processes,)
    return {
        "sampling/logp_difference_mean": (sums.sum() / counts.sum().clamp(min=1)).item(),
        "sampling/logp_difference_max": maxima.max().item(),
    }
