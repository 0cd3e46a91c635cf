"""Filter, rank and select, one rule at a time, and against the problem they approximate (equations 16-18)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import Helpfulness, select
from skill0.curriculum.helpfulness import marginal_delta
from skill0.curriculum.selection import (
    best_selection,
    greedy_bound,
    objective,
    passes_filter,
    rank_files,
    uses_helpfulness,
)
from skill0.errors import ConfigError


def measured(**deltas: float | None) -> dict[str, Helpfulness]:
    """Helpfulness with the given Delta_k (None: not measured)."""
    return {
        name: Helpfulness(name, None, None, None, 0)
        if delta is None
        else Helpfulness(name, 0.5 + delta / 2, 0.5 - delta / 2, delta, 8)
        for name, delta in deltas.items()
    }


FILES = ("general", "clean", "heat", "cool")
DELTAS = measured(general=0.0, clean=0.25, heat=0.5, cool=-0.125)


@pytest.mark.parametrize(
    ("filter", "expected"), [("positive", [False, False, True]), ("nonnegative", [False, True, True])]
)
def test_filters_at_their_edge(filter: str, expected: list[bool]) -> None:
    assert [passes_filter(delta, filter) for delta in (-0.125, 0.0, 0.125)] == expected
    assert passes_filter(None, filter)
    assert passes_filter(-1.0, "none")


def test_ranking() -> None:
    assert rank_files(FILES, DELTAS, "helpfulness") == ["heat", "clean", "general", "cool"]
    assert rank_files(FILES, measured(general=0.5, clean=None, heat=0.5, cool=0.75), "helpfulness") == [
        "cool",
        "general",  # a tie with heat: bank order
        "heat",
        "clean",  # unmeasured last
    ]
    assert rank_files(FILES, DELTAS, "none") == list(FILES)


def test_random_ranking_depends_on_the_seed_alone() -> None:
    orders = {tuple(rank_files(FILES, {}, "random", seed)) for seed in range(40)}
    assert len(orders) > 10
    assert all(sorted(order) == sorted(FILES) for order in orders)
    assert rank_files(FILES, {}, "random", 7) == rank_files(FILES, DELTAS, "random", 7)


def test_the_papers_rule_says_why() -> None:
    selection = select(FILES, DELTAS, budget=1)
    assert selection.kept == ("heat",)
    assert selection.withdrawn == ("general", "clean", "cool")
    assert selection.reasons == {
        "general": "withdrawn: Delta +0.0000 is not above 0",
        "clean": "withdrawn: Delta +0.2500, place 2 for 1 left",
        "heat": "kept: Delta +0.5000, place 1 for 1 left",
        "cool": "withdrawn: Delta -0.1250 is not above 0",
    }


def test_kept_files_stand_in_bank_order_not_in_ranked_order() -> None:
    assert select(FILES, DELTAS, budget=2).kept == ("clean", "heat")


def test_published_code_keeps_a_delta_of_zero() -> None:
    assert select(FILES, DELTAS, budget=4, filter="nonnegative").kept == ("general", "clean", "heat")


def test_without_filter_the_budget_alone_decides() -> None:
    assert select(FILES, DELTAS, budget=3, filter="none").kept == ("general", "clean", "heat")
    assert select(FILES, DELTAS, budget=4, filter="none").kept == FILES


def test_without_ranking_helpful_files_are_drawn_at_random() -> None:
    drawn = {select(FILES, DELTAS, budget=1, rank="random", seed=seed).kept for seed in range(30)}
    assert drawn == {("clean",), ("heat",)}  # never one that the filter drops


def test_always_kept_files_count_in_the_budget() -> None:
    selection = select(FILES, DELTAS, budget=2, always_keep=["general"])
    assert selection.kept == ("general", "heat")
    assert selection.reasons["general"] == "kept: always kept, counted in the budget"
    assert select(FILES, DELTAS, budget=0, always_keep=["general"]).kept == ()
    with pytest.raises(ConfigError, match="always_keep"):
        select(FILES, DELTAS, budget=1, always_keep=["general", "heat"])


def test_a_file_nobody_could_measure_is_not_blamed() -> None:
    selection = select(("clean", "heat"), measured(clean=None, heat=0.25), budget=2)
    assert selection.kept == ("clean", "heat")
    assert "not measured" in selection.reasons["clean"]


def test_a_missing_measurement_is_an_error_where_it_matters() -> None:
    with pytest.raises(ConfigError, match="cool"):
        select(FILES, measured(general=0.1, clean=0.1, heat=0.1), budget=3)
    assert select(
        FILES, measured(clean=0.5, heat=0.25, cool=0.125), budget=2, always_keep=["general"]
    ).kept == (
        "general",
        "clean",
    )
    assert not uses_helpfulness("none", "random")
    assert select(FILES, {}, budget=2, filter="none", rank="none").kept == ("general", "clean")


@pytest.mark.parametrize("bad", [{"filter": "top"}, {"rank": "best"}])
def test_unknown_switches(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        select(FILES, DELTAS, budget=2, **bad)


@given(
    deltas=st.lists(st.integers(-8, 8), min_size=1, max_size=6),
    budget=st.integers(0, 6),
    filter=st.sampled_from(["positive", "nonnegative", "none"]),
    rank=st.sampled_from(["helpfulness", "random", "none"]),
)
def test_every_file_is_accounted_for(deltas: list[int], budget: int, filter: str, rank: str) -> None:
    names = [f"file{number}" for number in range(len(deltas))]
    helpfulness = measured(**{name: delta / 8 for name, delta in zip(names, deltas, strict=True)})
    selection = select(names, helpfulness, budget, filter=filter, rank=rank)
    assert sorted(selection.kept + selection.withdrawn) == sorted(names)
    assert list(selection.reasons) == names
    assert len(selection.kept) <= budget
    for name, reason in selection.reasons.items():
        assert reason.startswith("kept" if name in selection.kept else "withdrawn")


@given(gains=st.lists(st.integers(-8, 8), min_size=1, max_size=5), budget=st.integers(0, 5))
def test_selection_is_optimal_when_files_help_independently(gains: list[int], budget: int) -> None:
    """Equations 16-18 on a bank whose files only help their own sub-task, each from a base of 0.

    Then Acc(T_k, S) = gain_k for k in S, the objective is the sum of the gains chosen, and the top M(s) of
    those with Delta_k > 0 is the optimum.
    """
    gain = {f"file{number}": value / 8 for number, value in enumerate(gains)}
    names = tuple(gain)

    def accuracy(name: str, skills: frozenset[str]) -> float:
        return gain[name] if name in skills else 0.0

    whole_bank = frozenset(names)
    helpfulness = measured(**{name: marginal_delta(accuracy, name, whole_bank) for name in names})
    chosen = select(names, helpfulness, budget).kept
    assert objective(accuracy, chosen) == objective(accuracy, best_selection(accuracy, names, budget))


def test_the_greedy_bound() -> None:
    assert greedy_bound(1.0) == pytest.approx(1 - 1 / math.e)  # the classical bound for submodular functions
    assert greedy_bound(0.5) == pytest.approx(0.3934693)  # 1 - e^-0.5
    with pytest.raises(ConfigError):
        greedy_bound(0.0)
