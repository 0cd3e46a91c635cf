"""Paired rollouts: which groups are played in two arms, and what their outcomes tell about the skills.

A paired group plays half of its members with the active skill files and half without any, on the same task,
under the same policy and with the same random numbers (member i of one arm and member i of the other). It is
the ground that SIRI (arXiv 2606.02355) and SKILLC (2605.27899) stand on: the treatment effect
Delta_g = mean reward with skills - mean reward without is measured on training episodes, which SKILL0
(2604.02268) measures on validation episodes (Delta_k). Which row plays which arm is decided in rollout.py,
the effect itself is `internalization.treatment_effects`. Tests: tests/training/test_pairing.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from skill0.curriculum import PairedEpisode, compare_helpfulness
from skill0.training.internalization import treatment_effects
from skill0.training.rollout import derived_seed

if TYPE_CHECKING:
    from skill0.curriculum import Helpfulness
    from skill0.training.metrics import Summary

_ROUNDING = 1e-9


@dataclass
class PairsSoFar:
    """The episodes of paired groups since the curriculum last decided, and the environment steps in them.

    What helpfulness is computed from (`skill0.curriculum.helpfulness_from_groups`) where no validation is
    played. It is part of a checkpoint.
    """

    episodes: list[PairedEpisode] = field(default_factory=list)
    env_steps: int = 0

    def add(self, summaries: Sequence[Summary], first_group: int) -> None:
        """Take in the paired groups of a round, given the summaries of all processes. `first_group` makes the
        numbers of its groups different from those of other rounds."""
        arms: dict[int, set[bool]] = {}
        for summary in summaries:
            arms.setdefault(summary.group, set()).add(summary.with_skills)
        for summary in summaries:
            if len(arms[summary.group]) == 2:
                won = summary.succeeded if summary.counted else None
                group = first_group + summary.group
                self.episodes.append(PairedEpisode(group, summary.task_type, summary.with_skills, won))
                self.env_steps += len(summary.turn_tokens)

    def to_json(self) -> dict[str, Any]:
        return {"episodes": [asdict(episode) for episode in self.episodes], "env_steps": self.env_steps}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> PairsSoFar:
        return PairsSoFar([PairedEpisode(**episode) for episode in data["episodes"]], data["env_steps"])


def groups_to_pair(*, seed: int, round_number: int, groups: int, fraction: float) -> frozenset[int]:
    """The numbers (0 to `groups` - 1) of the groups of one round that are played in two arms.

    After any number of rounds the paired groups so far are `fraction` of all groups so far, rounded down:
    round r (from 0) pairs floor((r + 1) * groups * fraction) - floor(r * groups * fraction) groups. Which
    ones is drawn from `seed` and the round's number alone, so every process finds the same.
    """
    before, after = (
        math.floor(rounds * groups * fraction + _ROUNDING) for rounds in (round_number, round_number + 1)
    )
    draw = random.Random(derived_seed(seed, "paired", round_number))
    return frozenset(draw.sample(range(groups), after - before))


def group_effects(summaries: Sequence[Summary], success_reward: float) -> dict[int, float | None]:
    """Delta_g of every group of a round, in units of the success reward; None where it has but one arm.

    `summaries` are those of all processes. A group without pairs has no effect, and neither has a paired
    group of which one arm failed wholly through the environment.
    """
    effects = treatment_effects(
        [summary.reward / success_reward for summary in summaries],
        [summary.group for summary in summaries],
        [summary.with_skills for summary in summaries],
        [summary.counted for summary in summaries],
    )
    return {summary.group: effects[summary.group] for summary in summaries}


def pair_metrics(effects: Mapping[int, float | None]) -> dict[str, float]:
    """How many groups of a round were paired, and what their skills brought on average."""
    measured = [effect for effect in effects.values() if effect is not None]
    return {"paired/groups": float(len(measured)), "paired/effect": fmean(measured)} if measured else {}


def comparison_metrics(
    reference: Mapping[str, Helpfulness], paired: Mapping[str, Helpfulness], env_steps: Mapping[str, int]
) -> dict[str, float]:
    """How helpfulness from pairs compares with that of validation, and what each cost.

    `env_steps` are environment steps; those of "paired" were training episodes anyway. A figure that is not
    defined (bias without a file measured in both, correlation without spread) is left out.
    """
    found = compare_helpfulness(reference, paired)
    figures = {"files": found.files, "bias": found.bias, "correlation": found.correlation}
    figures |= {f"{name}_env_steps": steps for name, steps in env_steps.items()}
    return {f"comparison/{name}": float(value) for name, value in figures.items() if value is not None}
