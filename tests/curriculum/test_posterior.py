"""P(Beta > Beta), worked out by hand and against numerical integration, and the verdicts it gives."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import ArmCounts, Helpfulness, probability_helpful
from skill0.curriculum.posterior import check_confidence, verdict
from skill0.errors import ConfigError


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Beta(2,1) > Beta(1,2): the integral of 2x (1 - (1-x)^2) = 4x^2 - 2x^3 over [0, 1] is 4/3 - 1/2.
        ((1, 1, 0, 1), 5 / 6),
        ((0, 1, 1, 1), 1 / 6),
        # Beta(2,1) > Beta(2,2), whose distribution is 3x^2 - 2x^3: of 6x^3 - 4x^4 it is 6/4 - 4/5.
        ((1, 1, 1, 2), 7 / 10),
        # Beta(1,3) > Beta(3,1) is the integral of 3x^2 (1-x)^3, 3 * 2! 3! / 6! = 1/20; here the opposite.
        ((2, 2, 0, 2), 19 / 20),
        # the same posterior on both sides
        ((3, 7, 3, 7), 1 / 2),
    ],
)
def test_by_hand(counts: tuple[int, int, int, int], expected: float) -> None:
    assert probability_helpful(ArmCounts(*counts)) == pytest.approx(expected, rel=1e-15)


def by_integration(counts: ArmCounts) -> float:
    """The integral of the skilled arm's density times the plain arm's distribution, by Simpson's rule."""
    n, w, m, v = counts.with_trials, counts.with_wins, counts.without_trials, counts.without_wins

    def integrand(x: float) -> float:
        density = (n + 1) * comb(n, w) * x**w * (1 - x) ** (n - w)
        below = sum(comb(m + 1, j) * x**j * (1 - x) ** (m + 1 - j) for j in range(v + 1, m + 2))
        return density * below

    intervals = 300
    weights = [1, *([4, 2] * (intervals // 2))[:-1], 1]
    return sum(weight * integrand(i / intervals) for i, weight in enumerate(weights)) / (3 * intervals)


arm = st.integers(1, 12).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(skilled=arm, plain=arm)
def test_against_numerical_integration(skilled: tuple[int, int], plain: tuple[int, int]) -> None:
    counts = ArmCounts(*skilled, *plain)
    probability = probability_helpful(counts)
    assert probability == pytest.approx(by_integration(counts), abs=1e-6)
    assert probability + probability_helpful(ArmCounts(*plain, *skilled)) == pytest.approx(1.0)


def test_thousands_of_episodes() -> None:
    # 50 % against 45 % of 1000: a normal difference of .05 with deviation sqrt(.25/1000 + .2475/1000) =
    # .0223, that is 2.24 deviations above 0: .9875.
    assert probability_helpful(ArmCounts(500, 1000, 450, 1000)) == pytest.approx(0.9875, abs=5e-4)


def test_verdicts_at_their_edges() -> None:
    assert [verdict(p, 0.9) for p in (0.0, 0.1, 0.11, 0.5, 0.89, 0.9, 1.0)] == [
        "withdraw",
        "withdraw",
        "undecided",
        "undecided",
        "undecided",
        "keep",
        "keep",
    ]


@pytest.mark.parametrize("confidence", [0.5, 1.0, 0.1, -1.0, float("nan")])
def test_a_confidence_that_decides_nothing_or_never_is_refused(confidence: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        check_confidence(confidence)
    check_confidence(None)
    check_confidence(0.75)


def test_counts_follow_from_rates_where_every_task_was_played_once() -> None:
    # 3 of 8 and 1 of 8
    assert Helpfulness("heat", 0.375, 0.125, 0.25, 8).arm_counts == ArmCounts(3, 8, 1, 8)
    assert Helpfulness("heat", None, None, None, 0).arm_counts is None
    # 1/3 is not representable, and still one of three
    assert Helpfulness("heat", 1 / 3, 0.0, 1 / 3, 3).arm_counts == ArmCounts(1, 3, 0, 3)
    with pytest.raises(ConfigError, match="no whole number of 3 tasks"):
        _ = Helpfulness("heat", 0.5, 0.0, 0.5, 3).arm_counts


@pytest.mark.parametrize("counts", [(3, 2, 0, 1), (-1, 2, 0, 1), (0, 0, 0, 1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ConfigError, match="in an arm"):
        ArmCounts(*counts)
