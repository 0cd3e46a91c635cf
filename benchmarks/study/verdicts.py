"""Which of the papers' orderings hold in these runs, decided by intervals alone.

Each ordering is one difference, or two, that ought to be above 0. It *holds* where every interval lies above
0, *does not* where one lies below, and is *undecided* where one contains 0 or there are fewer than two seeds.
Differences are within a seed, whose tasks all arms share; intervals are Student's t over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

TITLES = {
    DEFAULT: "default",
    PLAIN: "plain GRPO",
    PUBLISHED: "SKILL0",
    FULL_BANK: "[full, full, full]",
    RANDOM_RANK: "random rank",
}
"""The arms as the differences name them."""

Difference = tuple[str, Mean | None]
"""What ought to be above 0, and its mean over seeds; None where no seed has it."""


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


def decide(ordering: str, differences: Sequence[Difference]) -> Verdict:
    """The verdict on differences that all ought to be above 0; one that is missing leaves it undecided."""
    known = _known(differences)
    if any(mean.high < 0 for _, mean in known):
        verdict = DOES_NOT
    elif len(known) == len(differences) and all(mean.low > 0 for _, mean in known):
        verdict = HOLDS
    else:
        verdict = UNDECIDED
    return Verdict(ordering, verdict, known)


@dataclass(frozen=True)
class Ends:
    """How the arms ended, seed by seed, and what orderings compare of it."""

    runs: Sequence[Run]

    def without(self, arm: str) -> dict[int, float]:
        """Success without skills."""
        return {run.seed: value(run.after[WITHOUT]) for run in self.runs if run.arm == arm}

    def gaps(self, arm: str) -> dict[int, float]:
        """Success with skills less success without."""
        return {run.seed: gap(run.after) for run in self.runs if run.arm == arm}

    def above(self, upper: str, lower: str) -> Difference:
        """How far one arm ends above another without skills."""
        name = f"{TITLES[upper]} - {TITLES[lower]}, without skills"
        return name, paired_difference(self.without(upper), self.without(lower))


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """Every ordering whose arms were played."""
    ends = Ends(runs)
    played = {run.arm for run in runs}
    every = (*_of_the_default(ends), *_of_the_papers(ends), *_of_the_loss(ends))
    return [verdict for arms, verdict in every if arms <= played]


def _of_the_default(ends: Ends) -> Iterator[tuple[set[str], Verdict]]:
    """What the default is held to, each with the arms it takes."""
    ordering = "without skills, the default ends above plain GRPO"
    yield {DEFAULT, PLAIN}, decide(ordering, [ends.above(DEFAULT, PLAIN)])
    yield {DEFAULT, PLAIN}, _apart(ends.without(DEFAULT), ends.without(PLAIN))
    points = f"{100 * CLOSE:.0f} points"
    spare = mean_over_seeds([CLOSE - gap for gap in ends.gaps(DEFAULT).values()])
    ordering = f"the default ends within {points} of its own success with skills"
    yield {DEFAULT}, decide(ordering, [(f"{points} - (with - without skills)", spare)])


def _of_the_papers(ends: Ends) -> Iterator[tuple[set[str], Verdict]]:
    """What the papers say of the curriculum and of ablating it."""
    ordering = "without skills, published SKILL0 ends above plain GRPO"
    yield {PUBLISHED, PLAIN}, decide(ordering, [ends.above(PUBLISHED, PLAIN)])
    ordering = "[full, full, full] collapses without skills"
    leans = mean_over_seeds(list(ends.gaps(FULL_BANK).values()))
    differences = [ends.above(PUBLISHED, FULL_BANK), ("[full, full, full]: with - without skills", leans)]
    yield {PUBLISHED, FULL_BANK}, decide(ordering, differences)
    ordering = "random selection collapses"
    yield {PUBLISHED, RANDOM_RANK}, decide(ordering, [ends.above(PUBLISHED, RANDOM_RANK)])
    ordering = "random selection ends below plain GRPO"
    yield {PLAIN, RANDOM_RANK}, decide(ordering, [ends.above(PLAIN, RANDOM_RANK)])
    for arm in (PUBLISHED, DEFAULT):
        yield {arm}, _rises_then_falls(arm, [run for run in ends.runs if run.arm == arm])


def _of_the_loss(ends: Ends) -> Iterator[tuple[set[str], Verdict]]:
    """What the internalization loss is for."""
    narrower = paired_difference(ends.gaps(PAIRED_ONLY), ends.gaps(DEFAULT))
    ordering = "the internalization loss closes the gap to success with skills"
    yield {DEFAULT, PAIRED_ONLY}, decide(ordering, [("gap of paired only - gap of the default", narrower)])


def _apart(default: Mapping[int, float], plain: Mapping[int, float]) -> Verdict:
    """Whether the intervals of the two arms themselves, not of their difference, have no point in common."""
    upper, lower = mean_over_seeds(list(default.values())), mean_over_seeds(list(plain.values()))
    if upper is None or lower is None or overlap(upper, lower):
        verdict = UNDECIDED
    else:
        verdict = HOLDS if upper.value > lower.value else DOES_NOT
    means = _known([("default, without skills", upper), ("plain GRPO, without skills", lower)])
    return Verdict("the intervals of the default and of plain GRPO do not overlap", verdict, means)


def _known(differences: Sequence[Difference]) -> tuple[tuple[str, Mean], ...]:
    return tuple((name, mean) for name, mean in differences if mean is not None)


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
