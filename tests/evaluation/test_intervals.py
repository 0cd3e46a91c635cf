"""The Wilson interval against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.evaluation import Rate, wilson_interval


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 2 for round numbers: z^2 = 4.
    # centre = (.8 + 4/20) / (1 + 4/10) = 1/1.4 = .714286
    # half   = 2 sqrt(.8*.2/10 + 4/400) / 1.4 = 2 sqrt(.016 + .01) / 1.4 = 2 * .161245 / 1.4 = .230350
    assert wilson_interval(8, 10, z=2) == pytest.approx((0.483936, 0.944636), abs=1e-6)


def test_wilson_at_95_percent() -> None:
    # 8 of 10 at z = 1.959964 (z^2 = 3.841459): centre (.8 + .192073) / 1.384146 = .716740,
    # half 1.959964 sqrt(.016 + .009604) / 1.384146 = 1.959964 * .160012 / 1.384146 = .226577
    assert wilson_interval(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-5)
    # Nothing won out of 10: the upper end is z^2 / (n + z^2) = 3.841459 / 13.841459
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)


def test_nothing_tried_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert Rate(0, 0).value is None
    assert str(Rate(0, 0)) == "-"
    assert str(Rate(8, 10)) == "80.0 [49.0, 94.3]"


@given(total=st.integers(1, 2000), data=st.data())
def test_the_interval_holds_the_rate_and_solves_the_score_equation(total: int, data: st.DataObject) -> None:
    """Its ends p satisfy |rate - p| = z sqrt(p (1 - p) / n): that is what defines the interval."""
    successes = data.draw(st.integers(0, total))
    low, high = wilson_interval(successes, total)
    rate = successes / total
    assert 0 <= low <= rate <= high <= 1
    for end in (low, high):
        assert abs(rate - end) == pytest.approx(
            1.959963984540054 * math.sqrt(end * (1 - end) / total), abs=1e-9
        )


@pytest.mark.parametrize(("successes", "total"), [(3, 2), (-1, 2)])
def test_impossible_counts(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match="impossible"):
        wilson_interval(successes, total)
