"""Means over seeds and differences between arms, with 95 % intervals.

Two intervals are told apart. That of a *mean over seeds* is Student's t over one figure a seed: it covers
both the luck of training and that of the tasks, and needs at least two seeds. A *pooled* interval is Wilson's
over all episodes of all seeds together: it covers the luck of the tasks only and says nothing of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom."""


@dataclass(frozen=True)
class Mean:
    """A mean over `count` seeds; `low` and `high` are infinite with fewer than two."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """In per cent, such as "61.0 [40.2, 81.8]"."""
        if not math.isfinite(self.low):
            return f"{100 * self.value:.1f}"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def to_json(self) -> dict[str, float | int | None]:
        known = math.isfinite(self.low)
        return {
            "mean": self.value,
            "low": self.low if known else None,
            "high": self.high if known else None,
            "seeds": self.count,
        }


def mean_over_seeds(figures: Sequence[float]) -> Mean | None:
    """Mean with its t interval; None of nothing. Figures beyond 31 take the quantile of 31."""
    if not figures:
        return None
    mean, count = fmean(figures), len(figures)
    if count == 1:
        return Mean(mean, -math.inf, math.inf, 1)
    half = T_95[min(count - 1, len(T_95)) - 1] * stdev(figures) / math.sqrt(count)
    return Mean(mean, mean - half, mean + half, count)


def paired_difference(upper: Mapping[int, float], lower: Mapping[int, float]) -> Mean | None:
    """Mean of `upper` less `lower` over the seeds that both have. Arms of one seed share their tasks, so what
    a seed's tasks add to both falls out."""
    return mean_over_seeds([upper[seed] - lower[seed] for seed in sorted(upper) if seed in lower])


def overlap(one: Mean, other: Mean) -> bool:
    """Whether two intervals have a point in common."""
    return one.low <= other.high and other.low <= one.high
