"""Success rates with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The standard normal quantile of a two-sided 95 % interval."""


def wilson_interval(successes: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a success rate (E. B. Wilson, 1927); (0, 1) when nothing was tried.

    Unlike the normal approximation it stays inside [0, 1] and has width at 0 and at 100 %.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes out of {total} is impossible")
    if total == 0:
        return 0.0, 1.0
    rate = successes / total
    denominator = 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / denominator
    half_width = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / denominator
    # At 0 and 100 % the outer end is exact; rounding may miss it by an ulp.
    low = 0.0 if successes == 0 else max(0.0, centre - half_width)
    return low, 1.0 if successes == total else min(1.0, centre + half_width)


@dataclass(frozen=True)
class Rate:
    """`successes` out of `total`."""

    successes: int
    total: int

    @property
    def value(self) -> float | None:
        """The rate in [0, 1]; None when nothing was tried."""
        return self.successes / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval."""
        return wilson_interval(self.successes, self.total)

    def __str__(self) -> str:
        """In per cent, such as "80.0 [49.0, 94.3]"."""
        if self.value is None:
            return "-"
        low, high = self.interval
        return f"{100 * self.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
