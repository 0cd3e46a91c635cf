"""Advantages: how much better than its group each rollout did.

SKILL0 (arXiv 2604.02268), equation 5: A_i = (R_i - mean of the group) / (std of the group + epsilon), shared
by all turns and tokens of trajectory i. Pure functions on arrays: one entry per *item*, and the caller
decides what an item is. Items that are trajectories give the paper's statistics; items that are turns give
the published code's, where long trajectories weigh more.

The standard deviation is the sample one (divided by n - 1), as in TRL. Items that do not count
(infrastructure failures) are left out of every statistic and get advantage 0. The leave-one-out baseline is
RLOO's: the mean of the others, so that no item is compared with itself. docs/estimators.md compares all of
them; the step-level part of GiGPO is in gigpo.py, the contrast of two arms in contrast.py.
Tests: tests/training/test_advantages.py, numbers worked out by hand and a comparison with a naive loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skill0.errors import ConfigError

SCALES = ("group", "batch", "none")
BASELINES = ("mean", "leave_one_out")


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
    baseline: str = "mean",
    owners: ArrayLike | None = None,
    epsilon: float = 1e-4,
) -> GroupAdvantages:
    """Group-normalised advantages (equation 5).

    Args:
        rewards: total reward of each item, (items,).
        groups: any label of the group each item belongs to, (items,).
        counted: which items take part in the statistics, bool (items,); all of them when not given.
        scale: what the distance from the group's mean is divided by: the group's standard deviation
            ("group"), that of all counted items ("batch"), or nothing ("none").
        baseline: what is taken off a reward: the "mean" of its group, or the mean of the group's items that
            belong to other owners ("leave_one_out").
        owners: any label of what an item is part of, (items,): where items are the turns of trajectories,
            those of one trajectory are left out together. Every item is its own owner when not given.
        epsilon: added to the standard deviation.

    A group without spread (all counted rewards equal, or only one of them) has advantage 0. So has, with
    "leave_one_out", a group of one owner: there is nothing to compare with.

    Raises:
        ConfigError: an unknown scale or baseline.
        ValueError: arrays of different lengths, or a counted reward that is not finite.
    """
    if scale not in SCALES:
        raise ConfigError(f"advantage scale {scale!r} must be one of {SCALES}")
    if baseline not in BASELINES:
        raise ConfigError(f"advantage baseline {baseline!r} must be one of {BASELINES}")
    reward, label, counts, owner = _checked(rewards, groups, counted, owners)  # each (items,)
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
        expected = group.mean() if baseline == "mean" else mean_of_others(group, owner[members])
        values[members] = (group - expected) / divisor
    return GroupAdvantages(values, flat / total if total else 0.0)


def _checked(
    rewards: ArrayLike, groups: ArrayLike, counted: ArrayLike | None, owners: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray, NDArray[np.bool_], NDArray]:
    """Rewards, groups, which items count, and owners as arrays, each (items,). Raises as `grpo` does."""
    reward, label = np.asarray(rewards, dtype=np.float64), np.asarray(groups)
    counts = np.ones(reward.shape, dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    owner = np.arange(reward.size) if owners is None else np.asarray(owners)
    if reward.ndim != 1 or not reward.shape == label.shape == counts.shape == owner.shape:
        raise ValueError(
            f"rewards {reward.shape}, groups {label.shape}, counted {counts.shape}, owners {owner.shape}: "
            "not of one length"
        )
    if not np.isfinite(reward[counts]).all():
        raise ValueError("a reward that counts is not finite")
    return reward, label, counts, owner


def mean_of_others(rewards: NDArray[np.float64], owners: NDArray) -> NDArray[np.float64]:
    """For each item the mean reward of the items of other owners, (items,); its own where there are none."""
    _, owner = np.unique(owners, return_inverse=True)  # (items,)
    totals, counts = np.bincount(owner, weights=rewards), np.bincount(owner)  # (owners,)
    others = rewards.size - counts  # (owners,)
    means = (rewards.sum() - totals) / np.maximum(others, 1)  # (owners,)
    return np.where(others[owner] > 0, means[owner], rewards)


def sample_std(values: NDArray[np.float64]) -> float:
    """Standard deviation with n - 1; 0 for fewer than two values."""
    return float(values.std(ddof=1)) if values.size > 1 else 0.0
