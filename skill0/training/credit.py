"""Credit: the advantage of every turn and the weight of every token of a round, by the estimator that is set.

    estimator "grpo"     equation 5 of SKILL0, over trajectories or rows          advantages.py
    estimator "gigpo"    the same, plus omega times the step-level advantage       gigpo.py
    arms "contrast"      both streams of SKILLC and its correction                 contrast.py

Everything is computed from the summaries of *all* processes, so every process finds the same. Weights know no
arms. docs/estimators.md compares papers, published code and this. Tests: tests/training/test_credit.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from skill0.errors import ConfigError
from skill0.training.advantages import grpo
from skill0.training.contrast import skill_contrast
from skill0.training.gigpo import anchor_groups, discounted_returns, step_advantages
from skill0.training.internalization import treatment_effects
from skill0.training.loss import turn_weights
from skill0.training.metrics import Summary

ESTIMATORS = ("grpo", "gigpo")
STATISTICS = ("trajectory", "row")
ARM_STATISTICS = ("arm", "group", "contrast")


@dataclass(frozen=True)
class EstimatorSettings:
    """How credit is assigned; `Skill0Config` documents the same figures.

    `statistics` is "trajectory" (total rewards, one advantage for all turns) or "row" (every turn an item of
    its own); `baseline` and `scale` are those of `advantages.grpo`; `mean` that of `loss.turn_weights`, with
    `longest_reply`. `arms`: the statistics of a paired group are taken in each "arm", pooled over the
    "group", or put together by "contrast" with `contrast_weight` and `pooled_share` (contrast.py).
    `estimator` "gigpo" adds `step_weight` times the step advantage, of returns with `discount`, among anchors
    made of `anchor` and alike to `similarity` (gigpo.py). `success_reward` is the unit of effects.

    Raises `ConfigError` when a figure is out of range.
    """

    estimator: str = "grpo"
    statistics: str = "trajectory"
    baseline: str = "mean"
    scale: str = "group"
    arms: str = "arm"
    mean: str = "trajectory"
    longest_reply: int = 1
    step_weight: float = 1.0
    discount: float = 0.95
    anchor: str = "observation"
    similarity: float = 1.0
    contrast_weight: float = 1.0
    pooled_share: float = 0.4
    success_reward: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.step_weight < float("inf"):
            raise ConfigError(f"gigpo_step_weight={self.step_weight} must be finite and not negative")
        if not 0.0 <= self.discount <= 1.0:
            raise ConfigError(f"gigpo_discount={self.discount} must lie between 0 and 1")
        if not 0.0 < self.similarity <= 1.0:
            raise ConfigError(
                f"gigpo_similarity={self.similarity} must be above 0 and at most 1 (equal anchors only)"
            )
        if not 0.0 <= self.contrast_weight < float("inf"):
            raise ConfigError(f"contrast_weight={self.contrast_weight} must be finite and not negative")
        if not 0.0 <= self.pooled_share <= 1.0:
            raise ConfigError(f"contrast_pooled_share={self.pooled_share} must lie between 0 and 1")


@dataclass(frozen=True)
class Credit:
    """`advantages[i][t]` and `weights[i][t]`, of each completion token, for turn t of trajectory i.

    `flat_groups`: see `advantages.grpo`, where an arm that has statistics of its own is a group.
    `entropy_weight`: the weight of each token in the entropy bonus where that is not its weight in the loss.
    `figures`: what is logged about the estimator.
    """

    advantages: list[tuple[float, ...]]
    weights: list[tuple[float, ...]]
    flat_groups: float
    entropy_weight: float | None = None
    figures: dict[str, float] = field(default_factory=dict)


def assign_credit(summaries: Sequence[Summary], settings: EstimatorSettings) -> Credit:
    """Advantage of every turn and weight of every token, from the summaries of *all* processes."""
    counted = [summary.counted for summary in summaries]
    turn_tokens = [summary.turn_tokens for summary in summaries]
    groups = [summary.group for summary in summaries]
    weights = turn_weights(turn_tokens, groups, counted, settings.mean, settings.longest_reply)
    if settings.arms == "contrast":
        pooled, _, _ = _advantages(summaries, groups, settings)
        by_arm, flat, figures = _advantages(summaries, _arms(summaries), settings)
        values = _contrasted(summaries, pooled, by_arm, settings)
    else:
        labels = _arms(summaries) if settings.arms == "arm" else groups
        values, flat, figures = _advantages(summaries, labels, settings)
    ends = list(accumulate(map(len, turn_tokens)))
    advantages = [
        tuple(map(float, values[end - len(tokens) : end]))
        for end, tokens in zip(ends, turn_tokens, strict=True)
    ]
    return Credit(advantages, weights, flat, _entropy_weight(summaries, settings.mean), figures)


def signal_share(summaries: Sequence[Summary], credit: Credit) -> float:
    """The share of the groups with something that counts in which some turn has an advantage."""
    groups = {summary.group for summary in summaries if summary.counted}
    moved = groups_with_signal(summaries, credit)
    return len(moved) / len(groups) if groups else 0.0


def groups_with_signal(summaries: Sequence[Summary], credit: Credit) -> set[int]:
    """The groups in which some turn has an advantage."""
    return {
        summary.group for summary, values in zip(summaries, credit.advantages, strict=True) if any(values)
    }


def _arms(summaries: Sequence[Summary]) -> list[int]:
    """What a trajectory shares its statistics with: its arm of its group."""
    return [2 * summary.group + summary.with_skills for summary in summaries]


def _advantages(
    summaries: Sequence[Summary], labels: Sequence[int], settings: EstimatorSettings
) -> tuple[NDArray[np.float64], float, dict[str, float]]:
    """Advantages of all turns in order, (turns,), the share of flat groups, and figures; statistics are taken
    among trajectories with equal labels."""
    turns = [len(summary.turn_tokens) for summary in summaries]
    counted = np.array([summary.counted for summary in summaries], dtype=bool)  # (trajectories,)
    rows = np.repeat(np.arange(len(summaries)), turns)  # (turns,) the trajectory of each
    row_labels = [label for label, count in zip(labels, turns, strict=True) for _ in range(count)]  # (turns,)
    scale, baseline = settings.scale, settings.baseline
    if settings.statistics == "trajectory":
        rewards = [summary.reward for summary in summaries]  # (trajectories,)
        result = grpo(rewards, labels, counted=counted, scale=scale, baseline=baseline)
        episode = result.values[rows]  # (turns,)
    else:
        rewards = [reward for summary in summaries for reward in summary.turn_rewards]  # (turns,)
        result = grpo(rewards, row_labels, counted=counted[rows], scale=scale, baseline=baseline, owners=rows)
        episode = result.values  # (turns,)
    if settings.estimator == "grpo":
        return episode, result.flat_groups, {}
    returns = [
        value
        for summary in summaries
        for value in discounted_returns(summary.step_rewards, settings.discount)
    ]  # (turns,)
    anchors = [anchor for summary in summaries for anchor in summary.anchors]
    groups = anchor_groups(anchors, row_labels, settings.similarity)  # (turns,)
    step = step_advantages(
        returns, groups, counted=counted[rows], scale=scale, baseline=baseline, owners=rows
    )
    figures = {
        "gigpo/turns_alone": step.alone,
        "gigpo/anchor_group_size": step.group_size,
        "gigpo/step_advantage": float(np.abs(step.values).sum() / max(1, counted[rows].sum())),
    }
    return episode + settings.step_weight * step.values, result.flat_groups, figures


def _contrasted(
    summaries: Sequence[Summary],
    pooled: NDArray[np.float64],
    by_arm: NDArray[np.float64],
    settings: EstimatorSettings,
) -> NDArray[np.float64]:
    """SKILLC's advantages of all turns, (turns,). Effects are in the unit of the advantages: rewards where
    those are not divided by their spread, else successes."""
    unit = 1.0 if settings.scale == "none" else settings.success_reward
    effects = treatment_effects(
        [summary.reward / unit for summary in summaries],
        [summary.group for summary in summaries],
        [summary.with_skills for summary in summaries],
        [summary.counted for summary in summaries],
    )
    owners = [summary for summary in summaries for _ in summary.turn_tokens]  # (turns,)
    return skill_contrast(
        pooled.tolist(),
        by_arm.tolist(),
        [owner.succeeded and owner.counted for owner in owners],
        [owner.with_skills for owner in owners],
        [effects[owner.group] for owner in owners],
        weight=settings.contrast_weight,
        pooled_share=settings.pooled_share,
    )


def _entropy_weight(summaries: Sequence[Summary], mean: str) -> float | None:
    """TRL's bonus is the mean entropy over tokens, whatever the loss is a mean of. None where the weights of
    the loss are those of a mean over trajectories or tokens, which the bonus shares."""
    if mean in ("trajectory", "token"):
        return None
    return 1.0 / max(1, sum(summary.tokens for summary in summaries if summary.counted))
