"""Which of the papers' orderings hold in these runs, decided by intervals alone.

Each ordering is one difference, or two, that ought to be above 0. It *holds* where every interval lies above
0, *does not* where one lies below, and is *undecided* where one contains 0 or there are fewer than two seeds.
Differences are within a seed, whose tasks all arms share; intervals are Student's t over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from skill0.evaluation.measuring import WITHOUT
from study.arms import DEFAULT, FULL_BANK, PAIRED_ONLY, PLAIN, PUBLISHED, RANDOM_RANK
from study.finished import Run, gap, value
from study.intervals import Mean, mean_over_seeds, overlap, paired_difference

HOLDS, DOES_NOT, UNDECIDED = "holds", "does not", "undecided"

CLOSE = 0.05
"""How far the default may end below its own success with skills."""


@dataclass(frozen=True)
class Verdict:
    """An ordering, what was found, and the differences it was decided by, each named."""

    ordering: str
    verdict: str
    differences: tuple[tuple[str, Mean], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "ordering": self.ordering,
            "verdict": self.verdict,
            "differences": {name: mean.to_json() for name, mean in self.differences},
        }


def decide(ordering: str, differences: Sequence[tuple[str, Mean | None]]) -> Verdict:
    """The verdict on differences that all ought to be above 0; one that is missing leaves it undecided."""
    known = tuple((name, mean) for name, mean in differences if mean is not None)
    if any(mean.high < 0 for _, mean in known):
        verdict = DOES_NOT
    elif len(known) == len(differences) and all(mean.low > 0 for _, mean in known):
        verdict = HOLDS
    else:
        verdict = UNDECIDED
    return Verdict(ordering, verdict, known)


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """Every ordering whose arms were played."""

    def ending(arm: str, context: str = WITHOUT) -> dict[int, float]:
        return {run.seed: value(run.after[context]) for run in runs if run.arm == arm}

    def less(one: str, other: str) -> Mean | None:
        return paired_difference(ending(one), ending(other))

    def gaps(arm: str) -> dict[int, float]:
        return {run.seed: gap(run.after) for run in runs if run.arm == arm}

    played = {run.arm for run in runs}
    found = []
    if {DEFAULT, PLAIN} <= played:
        found.append(
            decide(
                "without skills, the default ends above plain GRPO",
                [("default - plain GRPO, without skills", less(DEFAULT, PLAIN))],
            )
        )
        found.append(_apart(ending(DEFAULT), ending(PLAIN)))
    if DEFAULT in played:
        spare = [CLOSE - gap for gap in gaps(DEFAULT).values()]
        found.append(
            decide(
                f"the default ends within {100 * CLOSE:.0f} points of its own success with skills",
                [(f"{100 * CLOSE:.0f} points - (with - without skills)", mean_over_seeds(spare))],
            )
        )
    if {PUBLISHED, PLAIN} <= played:
        found.append(
            decide(
                "without skills, published SKILL0 ends above plain GRPO",
                [("SKILL0 - plain GRPO, without skills", less(PUBLISHED, PLAIN))],
            )
        )
    if {PUBLISHED, FULL_BANK} <= played:
        found.append(
            decide(
                "[full, full, full] collapses without skills",
                [
                    ("SKILL0 - [full, full, full], without skills", less(PUBLISHED, FULL_BANK)),
                    (
                        "[full, full, full]: with - without skills",
                        mean_over_seeds(list(gaps(FULL_BANK).values())),
                    ),
                ],
            )
        )
    if {PUBLISHED, RANDOM_RANK} <= played:
        found.append(
            decide(
                "random selection collapses",
                [("SKILL0 - random rank, without skills", less(PUBLISHED, RANDOM_RANK))],
            )
        )
    for arm in (PUBLISHED, DEFAULT):
        if arm in played:
            found.append(_rises_then_falls(arm, [run for run in runs if run.arm == arm]))
    if {DEFAULT, PAIRED_ONLY} <= played:
        found.append(
            decide(
                "the internalization loss closes the gap to success with skills",
                [
                    (
                        "gap of paired only - gap of the default",
                        paired_difference(gaps(PAIRED_ONLY), gaps(DEFAULT)),
                    )
                ],
            )
        )
    return found


def _apart(default: dict[int, float], plain: dict[int, float]) -> Verdict:
    """Whether the intervals of the two arms themselves, not of their difference, have no point in common."""
    upper, lower = mean_over_seeds(list(default.values())), mean_over_seeds(list(plain.values()))
    assert upper is not None
    assert lower is not None
    if overlap(upper, lower):
        verdict = UNDECIDED
    else:
        verdict = HOLDS if upper.value > lower.value else DOES_NOT
    ordering = "the intervals of the default and of plain GRPO do not overlap"
    return Verdict(
        ordering, verdict, (("default, without skills", upper), ("plain GRPO, without skills", lower))
    )


def _rises_then_falls(arm: str, runs: Sequence[Run]) -> Verdict:
    changes = [rise_and_fall(run) for run in runs]
    rises = [rise for rise, _ in changes if rise is not None]
    falls = [-fall for _, fall in changes if fall is not None]
    return decide(
        f"helpfulness rises, then falls ({arm})",
        [
            ("middle selection - first selection", mean_over_seeds(rises)),
            ("middle selection - last selection", mean_over_seeds(falls)),
        ],
    )


def rise_and_fall(run: Run) -> tuple[float | None, float | None]:
    """How Delta_k changes from the first selection to the middle one, and from there to the last, mean over
    the files that are measured at both ends. Which selection is the middle one is fixed in advance: choosing
    the highest would always show a rise and a fall. None with fewer than three selections or no such file."""
    measured = [
        {name: item.delta for name, item in change.helpfulness.items() if item.delta is not None}
        for change in run.timeline
        if change.helpfulness
    ]
    if len(measured) < 3:
        return None, None
    first, middle, last = measured[0], measured[len(measured) // 2], measured[-1]
    return _mean_change(first, middle), _mean_change(middle, last)


def _mean_change(earlier: dict[str, float], later: dict[str, float]) -> float | None:
    both = [later[name] - earlier[name] for name in later if name in earlier]
    return fmean(both) if both else None
