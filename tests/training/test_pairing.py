"""Which groups are played in two arms, and what is remembered of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import Helpfulness
from skill0.training.metrics import Summary
from skill0.training.pairing import (
    PairsSoFar,
    comparison_metrics,
    group_effects,
    groups_to_pair,
    pair_metrics,
)

EPISODE = Summary(
    group=0, task_type="warm", with_skills=True, counted=True, succeeded=True, failure="", reward=10.0,
    turn_rewards=(10.0, 10.0), turn_tokens=(4, 4), truncated_turns=0, invalid_turns=0, text_tokens=2,
    visual_tokens=0, surprise=0.0, compressions=(), seconds=(),
)  # fmt: skip


def episode(group: int, with_skills: bool, reward: float, **changes: Any) -> Summary:
    return replace(
        EPISODE, group=group, with_skills=with_skills, reward=reward, succeeded=reward > 0, **changes
    )


def test_the_share_is_kept_over_rounds() -> None:
    # 4 groups a round, 0.3 of them: 1.2, 2.4, 3.6, 4.8, 6, ... so far, rounded down 1, 2, 3, 4, 6, ...
    counts = [len(groups_to_pair(seed=0, round_number=r, groups=4, fraction=0.3)) for r in range(10)]
    assert counts == [1, 1, 1, 1, 2, 1, 1, 1, 1, 2]


@given(st.integers(0, 50), st.integers(1, 20), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0]))
def test_none_is_none_all_is_all_and_numbers_are_those_of_the_round(
    number: int, groups: int, fraction: float
) -> None:
    found = groups_to_pair(seed=7, round_number=number, groups=groups, fraction=fraction)
    assert found <= set(range(groups))
    assert len(found) in (int(groups * fraction), int(groups * fraction) + 1)
    assert fraction > 0 or not found
    assert fraction < 1 or len(found) == groups


def test_the_choice_follows_from_seed_and_round() -> None:
    def choice(seed: int, number: int) -> frozenset[int]:
        return groups_to_pair(seed=seed, round_number=number, groups=64, fraction=0.5)

    assert choice(0, 1) == choice(0, 1)
    assert len({choice(0, 1), choice(0, 2), choice(1, 1)}) == 3


def test_effects_are_in_units_of_the_success_reward() -> None:
    # Group 0: 10 and 0 with skills, 0 and 0 without: a half. Group 1 is not paired. In group 2 the plain arm
    # failed wholly through the environment.
    summaries = [
        episode(0, True, 10), episode(0, True, 0), episode(0, False, 0), episode(0, False, 0),
        episode(1, True, 10), episode(1, True, 0),
        episode(2, True, 10), episode(2, False, 10, counted=False, failure="died"),
    ]  # fmt: skip
    effects = group_effects(summaries, success_reward=10.0)
    assert effects == {0: 0.5, 1: None, 2: None}
    assert pair_metrics(effects) == {"paired/groups": 1.0, "paired/effect": 0.5}
    assert pair_metrics({1: None}) == {}


def test_only_paired_groups_are_remembered_and_their_numbers_differ_between_rounds() -> None:
    pairs = PairsSoFar()
    played = [episode(0, True, 10), episode(0, False, 0), episode(1, True, 10)]
    pairs.add(played, first_group=0)
    pairs.add([*played[:1], episode(0, False, 0, counted=False)], first_group=2)
    assert [(e.group, e.with_skills, e.won) for e in pairs.episodes] == [
        (0, True, True), (0, False, False), (2, True, True), (2, False, None),
    ]  # fmt: skip
    assert pairs.env_steps == 4 * 2
    assert PairsSoFar.from_json(json.loads(json.dumps(pairs.to_json()))) == pairs


def test_the_comparison_leaves_out_what_is_not_defined() -> None:
    def measured(**deltas: float) -> dict[str, Helpfulness]:
        return {name: Helpfulness(name, delta, 0.0, delta, 1) for name, delta in deltas.items()}

    costs = {"validation": 30, "paired": 12}
    # Differences .1 and .3; two points are always on a line.
    found = comparison_metrics(measured(a=0.1, b=0.2), measured(a=0.2, b=0.5), costs)
    assert found == pytest.approx({
        "comparison/files": 2, "comparison/bias": 0.2, "comparison/correlation": 1.0,
        "comparison/validation_env_steps": 30, "comparison/paired_env_steps": 12,
    })  # fmt: skip
    assert comparison_metrics(measured(a=0.1), {}, {}) == {"comparison/files": 0.0}
