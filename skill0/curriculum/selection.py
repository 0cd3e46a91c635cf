"""Which skill files stay: filter, rank, select.

SKILL0 (arXiv 2604.02268), step (2)-(3) of algorithm 1, and the problem it approximates (equations 16-18,
appendix). `select` is what the curriculum uses; `best_selection` solves that problem by trying every subset,
for tests and for small banks. Deviations: ties in Delta_k go to the file that stands earlier in the bank
(the paper does not say); a file whose Delta_k could not be measured is kept after all measured ones, since
a broken environment is no evidence against a skill. Beyond the paper, a selection may ask for `confidence`:
then the filter drops only files that are probably of no help (see `skill0.curriculum.posterior`).
Tests: tests/curriculum/test_selection.py, tests/curriculum/test_confidence.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from skill0.curriculum.helpfulness import MARGINAL_FORM, Accuracy, Helpfulness, common_form
from skill0.curriculum.posterior import check_confidence, probability_helpful, verdict
from skill0.errors import ConfigError

FILTERS = ("positive", "nonnegative", "none")
RANKS = ("helpfulness", "random", "none")


@dataclass(frozen=True)
class Selection:
    """The outcome of one round: names kept and withdrawn, in bank order, and the reason for every name."""

    kept: tuple[str, ...]
    withdrawn: tuple[str, ...]
    reasons: dict[str, str]


def passes_filter(delta: float | None, filter: str) -> bool:
    """Whether Delta_k passes: above 0 ("positive", the paper), at least 0 ("nonnegative", the published
    code), or anything ("none"). An unmeasured Delta_k passes."""
    if delta is None or filter == "none":
        return True
    return delta > 0 if filter == "positive" else delta >= 0


def rank_files(
    names: Sequence[str], helpfulness: Mapping[str, Helpfulness], rank: str, seed: str | int = 0
) -> list[str]:
    """Orders `names` (given in bank order), best first.

    "helpfulness": by Delta_k descending, unmeasured last, ties in bank order. "random": a shuffle drawn
    from `seed`. "none": bank order.
    """
    if rank == "helpfulness":

        def worth(name: str) -> float:
            measured = helpfulness.get(name)
            return -math.inf if measured is None or measured.delta is None else measured.delta

        return sorted(names, key=worth, reverse=True)  # a stable sort: ties keep bank order
    ordered = list(names)
    if rank == "random":
        random.Random(f"rank:{seed}").shuffle(ordered)
    return ordered


def select(
    names: Sequence[str],
    helpfulness: Mapping[str, Helpfulness],
    budget: int,
    *,
    filter: str = "positive",
    rank: str = "helpfulness",
    always_keep: Sequence[str] = (),
    seed: str | int = 0,
    confidence: float | None = None,
) -> Selection:
    """Algorithm 1, one round: drop files that do not help, rank the rest, keep at most `budget`.

    Args:
        names: the files in context now, in bank order; only these can be kept.
        helpfulness: Delta_k of each of them. Files in `always_keep` may lack it; so may all of them when
            neither the filter nor the ranking looks at it.
        budget: M(s). With 0 nothing is kept, whatever else is asked.
        filter, rank: see `passes_filter` and `rank_files`.
        always_keep: files that stay without filter or ranking while the budget is above 0, and count in it.
        seed: fixes the random ranking.
        confidence: c, *optional*. Then a file is dropped by the filter only if P(Delta_k > 0) <= 1 - c; at
            P >= c it is kept with confidence, in between it is undecided. The budget binds both, in the order
            of `rank`. None: by the sign of Delta_k.

    Raises:
        ConfigError: an unknown filter or rank, a missing or unknown file, more `always_keep` than budget,
            Delta_k in both forms, or a `confidence` that is no probability above 0.5 or has no filter.
    """
    check_switches(filter, rank, confidence)
    if budget <= 0:
        return Selection((), tuple(names), dict.fromkeys(names, "withdrawn: the budget is 0"))
    if uses_helpfulness(filter, rank):
        _check_measured([name for name in names if name not in always_keep], helpfulness)
    common_form(helpfulness[name] for name in names if name in helpfulness)
    pinned = [name for name in names if name in always_keep]
    if len(pinned) > budget:
        raise ConfigError(f"always_keep holds {pinned}, more than the budget of {budget} files")
    reasons = dict.fromkeys(pinned, "kept: always kept, counted in the budget")
    kept, candidates = set(pinned), []
    for name in names:
        if name in kept:
            continue
        objection = _objection(helpfulness.get(name), filter, confidence)
        if objection is None:
            candidates.append(name)
        else:
            reasons[name] = f"withdrawn: {objection}"
    room = budget - len(pinned)
    for place, name in enumerate(rank_files(candidates, helpfulness, rank, seed), start=1):
        if place <= room:
            kept.add(name)
        outcome = "kept" if place <= room else "withdrawn"
        standing = _standing(helpfulness.get(name), rank, confidence)
        reasons[name] = f"{outcome}: {standing}, place {place} for {room} left"
    return Selection(
        kept=tuple(name for name in names if name in kept),
        withdrawn=tuple(name for name in names if name not in kept),
        reasons={name: reasons[name] for name in names},
    )


def uses_helpfulness(filter: str, rank: str) -> bool:
    """Whether a selection with these switches looks at Delta_k at all."""
    return filter != "none" or rank == "helpfulness"


def check_switches(filter: str, rank: str, confidence: float | None) -> None:
    """Raises `ConfigError` for a filter, rank or confidence that is unknown or contradicts another."""
    if filter not in FILTERS:
        raise ConfigError(f"filter={filter!r} must be one of {FILTERS}")
    if rank not in RANKS:
        raise ConfigError(f"rank={rank!r} must be one of {RANKS}")
    check_confidence(confidence)
    if confidence is not None and filter == "none":
        raise ConfigError(
            f"confidence={confidence} is asked of the filter, but filter='none' keeps every file; "
            "give filter='positive', or no confidence"
        )


def objective(accuracy: Accuracy, chosen: Iterable[str]) -> float:
    """What equations 16-18 maximise: the sum over k in S of Acc(pi, T_k, S), for S = `chosen`."""
    subset = frozenset(chosen)
    return sum(accuracy(name, subset) for name in sorted(subset))


def best_selection(accuracy: Accuracy, names: Sequence[str], budget: int) -> tuple[str, ...]:
    """The optimum of equations 16-18: at most `budget` names that maximise `objective`, by trying all.

    Exponential in the number of names: for tests and small banks. Of equal subsets the smallest, then the
    first in bank order, is returned.
    """
    subsets = [subset for size in range(min(budget, len(names)) + 1) for subset in combinations(names, size)]
    return max(subsets, key=lambda subset: objective(accuracy, subset))


def greedy_bound(alpha: float) -> float:
    """The guarantee of equations 16-18: greedy choice by Delta_k > 0 reaches at least 1 - exp(-alpha) of the
    optimum when the objective is alpha-approximately submodular (0 < alpha <= 1; 1 is submodular)."""
    if not 0 < alpha <= 1:
        raise ConfigError(f"alpha={alpha} must be above 0 and at most 1")
    return 1 - math.exp(-alpha)


def _check_measured(names: Sequence[str], helpfulness: Mapping[str, Helpfulness]) -> None:
    missing = [name for name in names if name not in helpfulness]
    if missing:
        raise ConfigError(
            f"no helpfulness was given for the active files {missing}: measure every active file, or switch "
            "both the filter and the ranking by helpfulness off"
        )


def _objection(measured: Helpfulness | None, filter: str, confidence: float | None) -> str | None:
    """Why the filter drops a file, in words, or None where it does not."""
    delta = None if measured is None else measured.delta
    if measured is None or delta is None:
        return None
    if confidence is not None:
        probability = _probability(measured)
        if verdict(probability, confidence) != "withdraw":
            return None
        return f"{_figure(measured)}, {_certainty(probability, confidence)}"
    if passes_filter(delta, filter):
        return None
    return f"{_figure(measured)} is not {'above 0' if filter == 'positive' else '0 or above'}"


def _standing(measured: Helpfulness | None, rank: str, confidence: float | None) -> str:
    """What a file's place was decided by, in words, and with a confidence the verdict on it."""
    if rank == "helpfulness":
        parts = ["Delta not measured (no valid episode)" if measured is None else _figure(measured)]
    else:
        parts = ["random order" if rank == "random" else "bank order"]
    if confidence is not None and measured is not None and measured.delta is not None:
        parts.append(_certainty(_probability(measured), confidence))
    return ", ".join(parts)


def _figure(measured: Helpfulness) -> str:
    """Delta_k in words. The set form is called Delta, as in the paper's main text, the other by its name."""
    if measured.delta is None:
        return "Delta not measured (no valid episode)"
    return f"{'marginal ' if measured.form == MARGINAL_FORM else ''}Delta {measured.delta:+.4f}"


def _certainty(probability: float, confidence: float) -> str:
    return f"P(Delta > 0) = {probability:.4f} ({verdict(probability, confidence)} at {confidence:g})"


def _probability(measured: Helpfulness) -> float:
    counts = measured.arm_counts
    assert counts is not None  # Delta_k was measured
    return probability_helpful(counts)
