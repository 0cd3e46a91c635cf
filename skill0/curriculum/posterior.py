"""How sure the sign of Delta_k is: the posterior probability that a file helps, and the verdict on it.

The success rate of each arm gets a uniform prior, so after w wins in n episodes it is Beta(1 + w, 1 + n - w),
and P(Delta_k > 0) = P(rate with > rate without). ReSkill (arXiv 2606.01619) draws between two versions of a
skill by the same probability and prior; here it decides whether a file stays. Deviations: two thresholds and
a verdict instead of a draw, no discounting of old evidence (every selection looks at fresh episodes only),
and the exact probability where the published code estimates it from draws.

What this ignores: both arms play the same tasks, which makes their difference more certain than that of two
independent arms; and several rollouts of one task tell less than as many tasks. Tests:
tests/curriculum/test_posterior.py.
"""

from __future__ import annotations

from math import comb
from typing import Literal

from skill0.curriculum.helpfulness import ArmCounts
from skill0.errors import ConfigError

Verdict = Literal["keep", "withdraw", "undecided"]


def probability_helpful(counts: ArmCounts) -> float:
    """P(rate with skills > rate without) under independent uniform priors; exact up to one division.

    The a-th smallest of a + b - 1 uniform numbers is Beta(a, b). With a = wins + 1, b = losses + 1 the two
    rates are therefore order statistics of n + 1 and m + 1 uniform numbers, and the first is the larger one
    exactly if, of the a + a' - 1 smallest of all n + m + 2 numbers, at least a' belong to the second (a' is
    its wins + 1): a tail of the hypergeometric distribution, in whole numbers.
    """
    skilled, plain = counts.with_trials + 1, counts.without_trials + 1
    smallest = counts.with_wins + counts.without_wins + 1
    tail = sum(
        comb(plain, below) * comb(skilled, smallest - below)
        for below in range(counts.without_wins + 1, min(plain, smallest) + 1)
    )
    return tail / comb(skilled + plain, smallest)


def verdict(probability: float, confidence: float) -> Verdict:
    """The verdict: "keep" at `confidence` and above, "withdraw" at 1 - `confidence` and below."""
    if probability >= confidence:
        return "keep"
    return "withdraw" if 1 - probability >= confidence else "undecided"


def check_confidence(confidence: float | None) -> None:
    """Raises `ConfigError` unless `confidence` is None (not asked for) or a probability above one half."""
    if confidence is not None and not 0.5 < confidence < 1:
        raise ConfigError(
            f"confidence={confidence} must lie above 0.5 and below 1, such as 0.9; None decides by the sign "
            "of Delta alone"
        )
