"""The composite reward: what an episode is worth to the trainer.

SKILL0 (arXiv 2604.02268), equation 4: r~ = r + lambda * ln(c) in successful episodes, r~ = r otherwise, where
c >= 1 is the compression factor the policy asked for. Beside it, every invalid reply costs a penalty, which
the agent loop has already written into `Turn.reward`.

Deviations:
  - A trajectory's compression term is lambda times the *mean* of ln(c) over its turns. A sum would pay for
    long episodes: among successes, whose rewards are otherwise equal, it would be all that the group
    statistics see. Statistics over rows (as in the published code) give every turn its own ln(c) instead.
  - The term is paid at every `compression_interval`-th training step only, as in the published code (paid at
    every step, the policy collapses to the largest factor). An interval of 1 is the paper's equation.
Tests: tests/training/test_rewards.py, numbers worked out by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skill0.errors import ConfigError

if TYPE_CHECKING:
    from skill0.agent import Trajectory, Turn


@dataclass(frozen=True)
class RewardSettings:
    """`success_reward` is r of a successful episode (0 otherwise); `compression_weight` is lambda;
    `compression_interval` is in training steps. Raises `ConfigError` when a figure is out of range."""

    success_reward: float = 10.0
    compression_weight: float = 0.01
    compression_interval: int = 8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.success_reward) and self.success_reward > 0):
            raise ConfigError(f"success_reward={self.success_reward} must be a finite number above 0")
        if not (math.isfinite(self.compression_weight) and self.compression_weight >= 0):
            raise ConfigError(
                f"compression_weight={self.compression_weight} must be finite and not negative; 0 switches "
                "the compression term off"
            )
        if self.compression_interval < 1:
            raise ConfigError(
                f"compression_interval={self.compression_interval} must be at least 1 training step; set "
                "compression_weight=0 to switch the compression term off"
            )


def compression_is_paid(step: int, settings: RewardSettings) -> bool:
    """Whether training step `step`, counted from 0, pays the compression term: with an interval of 8, the
    8th, 16th, ... step."""
    return settings.compression_weight > 0 and (step + 1) % settings.compression_interval == 0


def trajectory_reward(trajectory: Trajectory, settings: RewardSettings, *, step: int) -> float:
    """r~ of a whole episode (equation 4): success, the turns' penalties, the mean compression term."""
    reward = _outcome(trajectory, settings) + sum(turn.reward for turn in trajectory.turns)
    if trajectory.turns:
        terms = [_compression(turn, trajectory, settings, step) for turn in trajectory.turns]
        reward += sum(terms) / len(terms)
    return reward


def turn_rewards(trajectory: Trajectory, settings: RewardSettings, *, step: int) -> tuple[float, ...]:
    """r~ row by row, for statistics over rows: each turn gets the episode's outcome, its own penalty and its
    own compression term."""
    outcome = _outcome(trajectory, settings)
    return tuple(
        outcome + turn.reward + _compression(turn, trajectory, settings, step) for turn in trajectory.turns
    )


def step_rewards(trajectory: Trajectory, settings: RewardSettings, *, step: int) -> tuple[float, ...]:
    """r_t of every turn, for discounted returns: its own penalty, its share in the compression term, and at
    the last turn the outcome. They sum to `trajectory_reward`."""
    turns = trajectory.turns
    last = len(turns) - 1
    return tuple(
        turn.reward
        + _compression(turn, trajectory, settings, step) / len(turns)
        + (_outcome(trajectory, settings) if place == last else 0.0)
        for place, turn in enumerate(turns)
    )


def _outcome(trajectory: Trajectory, settings: RewardSettings) -> float:
    return settings.success_reward if trajectory.succeeded else 0.0


def _compression(turn: Turn, trajectory: Trajectory, settings: RewardSettings, step: int) -> float:
    """lambda * ln(c) of one turn. A turn that named no factor was shown uncompressed: c = 1, so 0."""
    if turn.compression is None or not trajectory.succeeded or not compression_is_paid(step, settings):
        return 0.0
    return settings.compression_weight * math.log(turn.compression)
