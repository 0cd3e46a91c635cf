"""Selection that asks for confidence: keep, withdraw, undecided; the budget binds all the same."""

from __future__ import annotations

import json
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import ArmCounts, Curriculum, Helpfulness, probability_helpful, select
from skill0.errors import CheckpointError, ConfigError


def measured(**wins: tuple[int, int] | None) -> dict[str, Helpfulness]:
    """Two tasks a file: how many were won with skills, and how many without."""
    return {
        name: Helpfulness(name, None, None, None, 0)
        if pair is None
        else Helpfulness(name, pair[0] / 2, pair[1] / 2, (pair[0] - pair[1]) / 2, 2)
        for name, pair in wins.items()
    }


# P(Delta > 0) by hand (see test_posterior.py): 2 against 0 of 2 is 19/20, so 0 against 2 is 1/20, and the
# same in both arms is 1/2. 1 against 2 of 2: Beta(2,2) > Beta(3,1), the integral of 6x(1-x) x^3, is
# 6/5 - 6/6 = 1/5.
FILES = ("clean", "heat", "cool", "look")
WINS = measured(clean=(0, 2), heat=(2, 0), cool=(1, 1), look=(1, 2))


def test_keep_withdraw_and_undecided() -> None:
    selection = select(FILES, WINS, budget=4, confidence=0.9)
    assert selection.kept == ("heat", "cool", "look")
    assert selection.reasons == {
        "clean": "withdrawn: Delta -1.0000, P(Delta > 0) = 0.0500 (withdraw at 0.9)",
        "heat": "kept: Delta +1.0000, P(Delta > 0) = 0.9500 (keep at 0.9), place 1 for 4 left",
        "cool": "kept: Delta +0.0000, P(Delta > 0) = 0.5000 (undecided at 0.9), place 2 for 4 left",
        "look": "kept: Delta -0.5000, P(Delta > 0) = 0.2000 (undecided at 0.9), place 3 for 4 left",
    }
    # Less confidence decides more: at .75 look goes as well, at .96 nothing is decided.
    assert select(FILES, WINS, budget=4, confidence=0.75).kept == ("heat", "cool")
    assert select(FILES, WINS, budget=4, confidence=0.96).kept == FILES
    # The sign alone, as published, keeps heat only.
    assert select(FILES, WINS, budget=4).kept == ("heat",)


def test_the_budget_still_binds_in_the_order_of_the_ranking() -> None:
    selection = select(FILES, WINS, budget=1, confidence=0.9)
    assert selection.kept == ("heat",)
    assert selection.reasons["cool"] == (
        "withdrawn: Delta +0.0000, P(Delta > 0) = 0.5000 (undecided at 0.9), place 2 for 1 left"
    )
    assert select(FILES, WINS, budget=2, rank="none", confidence=0.96).kept == ("clean", "heat")
    assert select(FILES, WINS, budget=0, confidence=0.9).kept == ()


def test_a_file_nobody_could_measure_has_no_verdict() -> None:
    selection = select(("clean", "heat"), measured(clean=None, heat=(2, 0)), budget=2, confidence=0.9)
    assert selection.kept == ("clean", "heat")
    assert selection.reasons["clean"] == "kept: Delta not measured (no valid episode), place 2 for 2 left"


def test_episodes_of_groups_count_one_by_one() -> None:
    """One group of 2 + 2 rollouts is one task, but its posterior is that of the episodes: 19/20 as above."""
    group = Helpfulness("heat", 1.0, 0.0, 1.0, 1, counts=ArmCounts(2, 2, 0, 2))
    assert "P(Delta > 0) = 0.9500" in select(("heat",), {"heat": group}, 1, confidence=0.9).reasons["heat"]
    lone = Helpfulness("heat", 1.0, 0.0, 1.0, 1)  # one episode an arm: 5/6
    assert "P(Delta > 0) = 0.8333" in select(("heat",), {"heat": lone}, 1, confidence=0.9).reasons["heat"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"confidence": 0.5}, "above 0.5"),
        ({"confidence": 1.0}, "below 1"),
        ({"confidence": 0.9, "filter": "none"}, "filter='none' keeps every file"),
    ],
)
def test_a_confidence_that_means_nothing_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(FILES, WINS, budget=4, **settings)
    with pytest.raises(ConfigError, match=message):
        Curriculum(FILES, total_steps=30, **settings)


counts = st.tuples(st.integers(0, 2), st.integers(0, 2))


@given(wins=st.lists(counts, min_size=1, max_size=5), budget=st.integers(0, 5), c=st.floats(0.51, 0.99))
def test_confidence_only_ever_saves_files_from_the_filter(
    wins: list[tuple[int, int]], budget: int, c: float
) -> None:
    """What the sign alone keeps, confidence keeps too: files that it saves from the filter have Delta_k <= 0,
    so that they come after the others in the ranking and take nobody's place."""
    names = [f"file{number}" for number in range(len(wins))]
    figures = measured(**dict(zip(names, wins, strict=True)))
    certain = select(names, figures, budget, confidence=c)
    assert set(select(names, figures, budget).kept) <= set(certain.kept)
    assert len(certain.kept) <= budget
    assert sorted(certain.kept + certain.withdrawn) == sorted(names)


def test_an_internalised_file_waits_for_the_budget() -> None:
    """Where both arms win everything, Delta_k is 0 and its sign undecided: self-pacing is given up."""
    curriculum = Curriculum(("heat",), total_steps=30, interval=5, confidence=0.9)
    won = {"heat": Helpfulness("heat", 1.0, 1.0, 0.0, 64)}
    assert curriculum.update(5, won).kept == ("heat",)
    assert curriculum.update(20, {}).withdrawn == ("heat",)  # three stages of one file: budgets 1, 1, 0
    published = Curriculum(("heat",), total_steps=30, interval=5)
    assert published.update(5, won).withdrawn == ("heat",)


def test_the_state_remembers_the_confidence() -> None:
    curriculum = Curriculum(FILES, total_steps=30, confidence=0.9)
    group = Helpfulness("cool", 1.0, 0.5, 0.5, 1, counts=ArmCounts(2, 2, 1, 2))
    curriculum.update(5, {**WINS, "cool": group})
    state = json.loads(json.dumps(curriculum.state_dict()))
    restored = Curriculum(FILES, total_steps=30, confidence=0.9)
    restored.load_state_dict(state)
    assert restored.timeline == curriculum.timeline
    assert restored.timeline[0].helpfulness["cool"].counts == ArmCounts(2, 2, 1, 2)
    with pytest.raises(CheckpointError, match=r"confidence: 0\.9 then, None now"):
        Curriculum(FILES, total_steps=30).load_state_dict(state)


def test_a_state_from_before_there_was_a_confidence() -> None:
    curriculum = Curriculum(FILES, total_steps=30)
    curriculum.update(5, WINS)
    state = json.loads(json.dumps(curriculum.state_dict()))
    assert "counts" not in state["timeline"][0]["helpfulness"]["cool"]  # written as before where not needed
    old = {
        **state,
        "version": 1,
        "settings": {k: v for k, v in state["settings"].items() if k != "confidence"},
    }
    restored = Curriculum(FILES, total_steps=30)
    restored.load_state_dict(old)
    assert restored.state_dict() == curriculum.state_dict()
    with pytest.raises(CheckpointError, match=r"confidence: None then, 0\.9 now"):
        Curriculum(FILES, total_steps=30, confidence=0.9).load_state_dict(old)


def withdrawn_share(tasks: int, skilled: float, plain: float, confidence: float | None) -> float:
    """The exact probability that a file is withdrawn whose arms truly succeed with these rates."""

    def binomial(rate: float) -> list[float]:
        return [comb(tasks, wins) * rate**wins * (1 - rate) ** (tasks - wins) for wins in range(tasks + 1)]

    share = 0.0
    for wins, weight in enumerate(binomial(skilled)):
        for others, other_weight in enumerate(binomial(plain)):
            figure = Helpfulness("k", wins / tasks, others / tasks, (wins - others) / tasks, tasks)
            if select(("k",), {"k": figure}, 1, confidence=confidence).withdrawn:
                share += weight * other_weight
    return share


@pytest.mark.parametrize(
    ("tasks", "skilled", "plain", "by_sign", "at_90"),
    [
        (16, 0.7, 0.5, 0.16, 0.01),
        (16, 0.5, 0.5, 0.57, 0.11),
        (16, 0.95, 0.95, 0.68, 0.02),
        (16, 0.5, 0.7, 0.91, 0.46),
        (32, 0.7, 0.5, 0.06, 0.00),
        (32, 0.5, 0.5, 0.55, 0.08),
        (32, 0.95, 0.95, 0.62, 0.07),
        (32, 0.5, 0.7, 0.96, 0.61),
    ],
)
def test_how_often_each_rule_withdraws(
    tasks: int, skilled: float, plain: float, by_sign: float, at_90: float
) -> None:
    """The table of docs/curriculum.md."""
    assert round(withdrawn_share(tasks, skilled, plain, None), 2) == by_sign
    assert round(withdrawn_share(tasks, skilled, plain, 0.9), 2) == at_90


def test_how_much_more_success_keeps_a_file_with_confidence() -> None:
    """Wins beyond the plain arm's, where that wins half of the tasks; the figures of docs/curriculum.md."""

    def least(tasks: int) -> int:
        half = tasks // 2
        return next(
            more
            for more in range(half + 1)
            if probability_helpful(ArmCounts(half + more, tasks, half, tasks)) >= 0.9
        )

    assert [least(tasks) for tasks in (8, 16, 32, 64)] == [3, 4, 6, 8]
