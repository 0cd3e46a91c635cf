"""Advantages: how much better than its group each rollout did.

SKILL0 (arXiv 2604.02268), equation 5: A_i = (R_i - mean of the group) / (std of the group + epsilon), shared
by all turns and tokens of trajectory i. Pure functions on arrays: one entry per *item*, and the caller
decides what an item is. Items that are trajectories give the paper's statistics; items that are turns give
the published code's, where long trajectories weigh more.

The standard deviation is the sample one (divided by n - 1), as in TRL. Items that do not count
(infrastructure failures) are left out of every statistic and get advantage 0.
Tests: tests/training/test_advantages.py, numbers worked out by hand and a comparison with a naive loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skill0.errors import ConfigError

SCALES = ("group", "batch", "none")


@dataclass(frozen=True)
class GroupAdvantages:
    """`values`: one advantage per item, float64 (items,). `flat_groups`: the share of the groups with
    something that counts in which all counted rewards are equal, so that nothing is learnt from them."""

    values: NDArray[np.float64]
    flat_groups: float


def grpo(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    counted: ArrayLike | None = None,
    scale: str = "group",
    epsilon: float = 1e-4,
) -> GroupAdvantages:
    """Group-normalised advantages (equation 5).

    Args:
        rewards: total reward of each item, (items,).
        groups: any label of the group each item belongs to, (items,).
        counted: which items take part in the statistics, bool (items,); all of them when not given.
        scale: what the distance from the group's mean is divided by: the group's standard deviation
            ("group"), that of all counted items ("batch"), or nothing ("none").
        epsilon: added to the standard deviation.

    A group without spread (all counted rewards equal, or only one of them) has advantage 0.

    Raises:
        ConfigError: an unknown scale.
        ValueError: arrays of different lengths, or a counted reward that is not finite.
    """
    if scale not in SCALES:
        raise ConfigError(f"advantage scale {scale!r} must be one of {SCALES}")
    reward = np.asarray(rewards, dtype=np.float64)  # (items,)
    label = np.asarray(groups)  # (items,)
    counts = (
        np.ones(reward.shape, dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    )  # (items,)
    if reward.ndim != 1 or reward.shape != label.shape or reward.shape != counts.shape:
        raise ValueError(
            f"rewards {reward.shape}, groups {label.shape}, counted {counts.shape}: not of one length"
        )
    if not np.isfinite(reward[counts]).all():
        raise ValueError("a reward that counts is not finite")

    values = np.zeros_like(reward)  # (items,)
    batch_std = sample_std(reward[counts])
    flat = total = 0
    for name in np.unique(label):
        members = counts & (label == name)
        if not members.any():
            continue
        group = reward[members]
        total += 1
        if np.ptp(group) <= 1e-9 * max(1.0, float(np.abs(group).max())):
            flat += 1
            continue
        divisor = {"group": sample_std(group) + epsilon, "batch": batch_std + epsilon, "none": 1.0}[scale]
        values[members] = (group - group.mean()) / divisor
    return GroupAdvantages(values, flat / total if total else 0.0)


def sample_std(values: NDArray[np.float64]) -> float:
    """Standard deviation with n - 1; 0 for fewer than two values."""
    return float(values.std(ddof=1)) if values.size > 1 else 0.0
