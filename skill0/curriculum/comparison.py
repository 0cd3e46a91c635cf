"""One way of measuring helpfulness against another: bias and correlation over files.

Used where Delta_k comes from training rollouts as well as from validation, to say what the cheaper one is
worth. No paper reports this. Tests: tests/curriculum/test_comparison.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skill0.curriculum.helpfulness import Helpfulness, common_form
from skill0.errors import ConfigError


@dataclass(frozen=True)
class HelpfulnessComparison:
    """How the Delta_k of `other` relate to those of `reference`, over the files measured in both.

    `files` is their number; `bias` the mean of other - reference, None without files; `correlation` is
    Pearson's, None with fewer than two files or where either side has the same figure for all. The forms
    ("set" or "marginal") are those of the files compared, None without files.
    """

    files: int
    bias: float | None
    correlation: float | None
    reference_form: str | None = None
    other_form: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> HelpfulnessComparison:
        return HelpfulnessComparison(**data)


def compare_helpfulness(
    reference: Mapping[str, Helpfulness], other: Mapping[str, Helpfulness]
) -> HelpfulnessComparison:
    """Bias and correlation of `other` against `reference`; both are name -> Delta_k.

    Raises:
        ConfigError: one side holds both forms of Delta_k.
    """
    pairs = [
        (ours, theirs)
        for name, ours in reference.items()
        if ours.delta is not None and (theirs := other.get(name)) is not None and theirs.delta is not None
    ]
    if not pairs:
        return HelpfulnessComparison(0, None, None)
    x = [ours.delta for ours, _ in pairs if ours.delta is not None]
    y = [theirs.delta for _, theirs in pairs if theirs.delta is not None]
    return HelpfulnessComparison(
        files=len(pairs),
        bias=math.fsum(after - before for before, after in zip(x, y, strict=True)) / len(pairs),
        correlation=pearson(x, y),
        reference_form=common_form(ours for ours, _ in pairs),
        other_form=common_form(theirs for _, theirs in pairs),
    )


def pearson(x: list[float], y: list[float]) -> float | None:
    """Pearson's correlation of two equally long lists; None with fewer than two values or without spread.

    Raises:
        ConfigError: the lists are not equally long.
    """
    if len(x) != len(y):
        raise ConfigError(f"a correlation needs as many values on both sides, got {len(x)} and {len(y)}")
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    away_x, away_y = [value - mean_x for value in x], [value - mean_y for value in y]
    scale = math.hypot(*away_x) * math.hypot(*away_y)
    if scale == 0.0:  # a spread too small to square
        return None
    covariance = math.fsum(a * b for a, b in zip(away_x, away_y, strict=True))
    return max(-1.0, min(1.0, covariance / scale))
