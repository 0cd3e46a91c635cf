"""Bias and correlation of one measurement of helpfulness against another, by hand."""

from __future__ import annotations

import json

import pytest

from skill0.curriculum import Helpfulness, HelpfulnessComparison, compare_helpfulness
from skill0.curriculum.comparison import pearson
from skill0.errors import ConfigError


def measured(form: str = "set", **deltas: float | None) -> dict[str, Helpfulness]:
    return {
        name: Helpfulness(name, None, None, None, 0, form)
        if delta is None
        else Helpfulness(name, 0.5 + delta / 2, 0.5 - delta / 2, delta, 8, form)
        for name, delta in deltas.items()
    }


def test_by_hand() -> None:
    """Files pick, look, heat are measured in both; clean and cool in one only.

    The differences +.25, 0, +.125 have the mean .125. Less their means .25 and .375, the two sides are
    (-.25, 0, .25) and (-.125, -.125, .25): products .03125 + 0 + .0625 = .09375, squares .125 and .09375,
    so r = .09375 / sqrt(.125 * .09375) = sqrt(.09375 / .125) = sqrt(3) / 2.
    """
    reference = measured(pick=0.0, look=0.25, heat=0.5, clean=0.5, cool=None)
    other = measured(pick=0.25, look=0.25, heat=0.625, clean=None, cool=0.5)
    assert compare_helpfulness(reference, other) == HelpfulnessComparison(
        files=3, bias=0.125, correlation=pytest.approx(3**0.5 / 2), reference_form="set", other_form="set"
    )


def test_what_cannot_be_said_is_none() -> None:
    assert compare_helpfulness({}, measured(pick=0.5)) == HelpfulnessComparison(0, None, None)
    one = compare_helpfulness(measured(pick=0.5), measured(pick=0.25))
    assert (one.files, one.bias, one.correlation) == (1, -0.25, None)
    flat = compare_helpfulness(measured(pick=0.5, heat=0.5), measured(pick=0.25, heat=0.75))
    assert (flat.files, flat.bias, flat.correlation) == (2, 0.0, None)


def test_the_ends_of_the_scale() -> None:
    assert pearson([0.1, 0.2, 0.3], [1.0, 3.0, 5.0]) == pytest.approx(1.0)
    assert pearson([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]) == pytest.approx(-1.0)
    assert pearson([0.0, 0.0, 1e-200], [0.0, 1e-200, 0.0]) is None  # a spread too small to square
    with pytest.raises(ConfigError, match="3 and 1"):
        pearson([0.1, 0.2, 0.3], [1.0])


def test_forms_are_named_and_not_mixed() -> None:
    comparison = compare_helpfulness(measured("marginal", pick=0.5), measured("set", pick=0.25))
    assert (comparison.reference_form, comparison.other_form) == ("marginal", "set")
    with pytest.raises(ConfigError, match="do not compare"):
        compare_helpfulness(
            {**measured("marginal", pick=0.5), **measured(heat=0.5)}, measured(pick=0.25, heat=0.5)
        )


def test_json_round_trip() -> None:
    comparison = compare_helpfulness(measured(pick=0.0, heat=0.5), measured(pick=0.25, heat=0.25))
    assert HelpfulnessComparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison
