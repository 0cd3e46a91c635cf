"""The turn buffer: what one round of rollouts is turned into, and how it is cut for training.

    trajectories -> summaries (gathered) -> credit per turn (credit.py) -> windows -> micro-batches -> tensors

A *window* is what one call of `training_step` trains on; `steps_per_generation` windows make a round. All
processes must run equally many forward passes, however many turns each has: windows are filled up with
padding turns that weigh nothing. Advantages and weights are fixed here, over the whole round, so neither the
padding nor the cut changes the gradient.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from skill0.training.turn_batching import collate_turns, length_sorted_batches, turn_length

if TYPE_CHECKING:
    from skill0.agent import Trajectory, Turn

LOGPROB_KEYS = ("old_logprobs", "reference_logprobs", "sampler_ratio")


@dataclass
class TrainingTurn:
    """A turn with its share in the loss: `advantage`, and `weight` of each of its completion tokens, in the
    entropy bonus `entropy_weight` if that is another.

    A turn of the internalization loss has `weight` 0 and `imitation` instead: the weight of each of the
    tokens marked in `imitated`, the round's denominator included. The other fields are filled in when the
    loss needs them: float32 (completion tokens,) on the CPU, except a `sampler_ratio` per turn, (1,).
    """

    turn: Turn
    advantage: float
    weight: float
    imitation: float = 0.0
    imitated: tuple[bool, ...] = ()
    entropy_weight: float | None = None
    old_logprobs: torch.Tensor | None = None
    reference_logprobs: torch.Tensor | None = None
    sampler_ratio: torch.Tensor | None = None

    @property
    def is_padding(self) -> bool:
        return self.weight == 0.0 and self.imitation == 0.0


def imitation_turn(turn: Turn, imitation: float, imitated: tuple[bool, ...]) -> TrainingTurn:
    """A turn of the internalization loss alone."""
    return TrainingTurn(turn, advantage=0.0, weight=0.0, imitation=imitation, imitated=imitated)


def training_turns(
    trajectories: Sequence[Trajectory],
    advantages: Sequence[Sequence[float]],
    weights: Sequence[Sequence[float]],
    entropy_weight: float | None = None,
) -> list[TrainingTurn]:
    """The turns to train on: those that weigh something, with a completion.

    `advantages[i][t]` and `weights[i][t]` are those of turn t of trajectory i.
    """
    return [
        TrainingTurn(turn, advantage, weight, entropy_weight=entropy_weight)
        for trajectory, values, shares in zip(trajectories, advantages, weights, strict=True)
        for turn, advantage, weight in zip(trajectory.turns, values, shares, strict=True)
        if weight > 0.0 and turn.completion_ids
    ]


def cut_windows(
    turns: Sequence[TrainingTurn],
    *,
    windows: int,
    longest: int,
    micro_batch_size: int,
    padding: Turn,
    seed: int,
) -> list[list[list[TrainingTurn]]]:
    """Windows of micro-batches of turns, equally many of equal size on every process.

    `longest` is the number of turns of the process that has most. With one window the order is by length
    alone; with more, turns are dealt to windows at random (from `seed`), so that each window is a fair
    sample of the round. Long and short turns then stand apart inside a window, which saves padding tokens.
    """
    per_window = max(1, -(-longest // windows))
    shuffled = list(turns)
    random.Random(seed).shuffle(shuffled)
    filler = TrainingTurn(padding, 0.0, 0.0)
    shuffled += [replace(filler) for _ in range(per_window * windows - len(shuffled))]
    dealt = [shuffled[first::windows] for first in range(windows)]
    return [
        [
            [window[position] for position in positions]
            for positions in length_sorted_batches(
                [turn_length(item.turn) for item in window], micro_batch_size
            )
        ]
        for window in dealt
    ]


def collate_training_turns(
    items: Sequence[TrainingTurn], *, pad_token_id: int, image_token_id: int, device: torch.device | str
) -> dict[str, Any]:
    """`collate_turns` of a micro-batch without images, with `advantages` and `weights` (turns,), `loss_mask`
    (turns, tokens) of the turns that the policy loss is about, and those of `LOGPROB_KEYS` that the turns
    carry, (turns, tokens). If turns have one of their own: `entropy_weights` (turns,). If some turn is one of
    the internalization loss: `imitation` (turns,) and `imitated`, bool (turns, tokens).
    """
    batch = collate_turns(
        [item.turn for item in items],
        pad_token_id=pad_token_id,
        image_token_id=image_token_id,
        device=device,
        pixels=None,
    )
    weighs = torch.tensor([item.weight != 0.0 for item in items], device=device)  # (turns,)
    batch["loss_mask"] = batch["completion_mask"] * weighs[:, None]  # (turns, tokens)
    batch["advantages"] = torch.tensor([item.advantage for item in items], device=device)  # (turns,)
    batch["weights"] = torch.tensor([item.weight for item in items], device=device)  # (turns,)
    if any(item.entropy_weight is not None for item in items):
        shares = [item.entropy_weight or 0.0 for item in items]
        batch["entropy_weights"] = torch.tensor(shares, device=device)  # (turns,)
    if any(item.imitation for item in items):
        batch["imitation"] = torch.tensor([item.imitation for item in items], device=device)  # (turns,)
        batch["imitated"] = torch.zeros_like(batch["completion_mask"], dtype=torch.bool)  # (turns, tokens)
        for row, item in enumerate(items):
            batch["imitated"][row, : len(item.imitated)] = torch.tensor(item.imitated, dtype=torch.bool)
    for key in LOGPROB_KEYS:
        values = [getattr(item, key) for item in items]
        if values[0] is not None:
            batch[key] = torch.nn.utils.rnn.pad_sequence(values, batch_first=True).to(device)
    return batch
