"""What is logged about rollouts: small summaries of trajectories, gathered from all processes, and figures.

Every figure is explained in docs/trainer.md. Shares and means are over trajectories that count;
infrastructure failures are counted and otherwise left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from skill0.training.advantages import sample_std
from skill0.training.rewards import RewardSettings, step_rewards, trajectory_reward, turn_rewards

if TYPE_CHECKING:
    from skill0.agent import Trajectory, Turn
    from skill0.evaluation import EvaluationReport


@dataclass(frozen=True)
class Summary:
    """What other processes need to know of a trajectory. `group` numbers its rollout group over all
    processes; `with_skills` tells whether skill files were in its context; `counted` is False for an
    infrastructure failure, whose `failure` is its kind; `surprise` is the sum of -log p over all sampled
    tokens. Counts are sums over turns. `step_rewards` and `anchors`, one per turn, are what gigpo.py needs;
    they are empty where it is not used."""

    group: int
    task_type: str
    with_skills: bool
    counted: bool
    succeeded: bool
    failure: str
    reward: float
    turn_rewards: tuple[float, ...]
    turn_tokens: tuple[int, ...]
    truncated_turns: int
    invalid_turns: int
    text_tokens: int
    visual_tokens: int
    surprise: float
    compressions: tuple[float, ...]
    seconds: tuple[tuple[str, float], ...]
    step_rewards: tuple[float, ...] = ()
    anchors: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Completion tokens over all turns."""
        return sum(self.turn_tokens)


def summarise(
    trajectory: Trajectory,
    group: int,
    settings: RewardSettings,
    *,
    step: int,
    end_tokens: Collection[int],
    anchor: Callable[[Turn], str] | None = None,
) -> Summary:
    """`step`: the training step that pays. A reply whose last token is none of `end_tokens` was cut off.
    `anchor` gives a turn's anchor, where the estimator asks for one."""
    turns = trajectory.turns
    return Summary(
        group=group,
        task_type=trajectory.task.task_type,
        with_skills=bool(trajectory.arm),
        counted=trajectory.failure is None,
        succeeded=trajectory.succeeded,
        failure="" if trajectory.failure is None else trajectory.failure.kind,
        reward=trajectory_reward(trajectory, settings, step=step),
        turn_rewards=turn_rewards(trajectory, settings, step=step),
        turn_tokens=tuple(len(turn.completion_ids) for turn in turns),
        truncated_turns=sum(not set(turn.completion_ids[-1:]) & set(end_tokens) for turn in turns),
        invalid_turns=sum(not turn.valid for turn in turns),
        text_tokens=sum(turn.text_tokens for turn in turns),
        visual_tokens=sum(turn.visual_tokens for turn in turns),
        surprise=-sum(value for turn in turns for value in turn.logprobs or () if math.isfinite(value)),
        compressions=tuple(turn.compression for turn in turns if turn.compression is not None),
        seconds=tuple(trajectory.timings.items()),
        step_rewards=() if anchor is None else step_rewards(trajectory, settings, step=step),
        anchors=() if anchor is None else tuple(map(anchor, turns)),
    )


def rollout_metrics(summaries: Sequence[Summary]) -> dict[str, float]:
    """All figures of one round of rollouts that do not depend on the estimator."""
    counted = [summary for summary in summaries if summary.counted]
    metrics = infrastructure_metrics(summaries)
    metrics["rollout/trajectories"] = float(len(counted))
    if not counted:
        return metrics
    turns = sum(len(summary.turn_tokens) for summary in counted)
    lengths = [length for summary in counted for length in summary.turn_tokens]
    rewards = [summary.reward for summary in counted]
    metrics |= {
        "reward": fmean(rewards),
        "reward_std": _std(rewards),
        "success": fmean(summary.succeeded for summary in counted),
        "rollout/turns": float(turns),
        "rollout/turns_per_trajectory": turns / len(counted),
        "completions/mean_length": fmean(lengths),
        "completions/max_length": float(max(lengths)),
        "completions/clipped_ratio": sum(summary.truncated_turns for summary in counted) / turns,
        "rollout/surprise": sum(summary.surprise for summary in counted) / sum(lengths),
        "invalid_share": sum(summary.invalid_turns for summary in counted) / turns,
        "context/text_tokens": sum(summary.text_tokens for summary in counted) / turns,
        "context/visual_tokens": sum(summary.visual_tokens for summary in counted) / turns,
    }
    outcomes: defaultdict[str, list[bool]] = defaultdict(list)
    arms: defaultdict[str, list[bool]] = defaultdict(list)
    for summary in counted:
        outcomes[summary.task_type].append(summary.succeeded)
        arms["with_skills" if summary.with_skills else "without_skills"].append(summary.succeeded)
    for kind in (outcomes, arms):
        metrics |= {f"success/{name}": fmean(won) for name, won in sorted(kind.items())}
    factors = [factor for summary in counted for factor in summary.compressions]
    if factors:
        metrics["compression/mean_factor"] = fmean(factors)
    return metrics


def infrastructure_metrics(summaries: Iterable[Summary]) -> dict[str, float]:
    """How many episodes failed through no fault of the policy, in all and by kind."""
    kinds = Counter(summary.failure for summary in summaries if not summary.counted)
    metrics = {"infrastructure/count": float(sum(kinds.values()))}
    return metrics | {f"infrastructure/{kind}": float(count) for kind, count in sorted(kinds.items())}


def phase_seconds(summaries: Iterable[Summary], processes: int) -> dict[str, float]:
    """Seconds of the rollouts by phase, averaged over processes (which work side by side)."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for summary in summaries:
        for phase, duration in summary.seconds:
            seconds[phase] += duration
    return {f"time/{phase}": duration / processes for phase, duration in sorted(seconds.items())}


def evaluation_metrics(report: EvaluationReport, prefix: str) -> dict[str, float]:
    """Success of every arm, in all and for each task type, and its infrastructure failures."""
    metrics: dict[str, float] = {}
    for arm in report.arms:
        metrics[f"{prefix}_success_{arm.name}"] = arm.success().value or 0.0
        for task_type in arm.task_types:
            value = arm.success(task_type).value
            if value is not None:
                metrics[f"{prefix}_success_{arm.name}/{task_type}"] = value
        metrics[f"{prefix}_infrastructure_{arm.name}"] = float(arm.infrastructure)
    return metrics


def _std(values: Sequence[float]) -> float:
    import numpy as np

    return sample_std(np.asarray(values, dtype=np.float64))
