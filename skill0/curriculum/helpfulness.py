"""How much a skill file still helps the current policy.

SKILL0 (arXiv 2604.02268): equation 15 (marginal form, appendix) and the form that the main text and the
published code use, the whole active set against none ("set form"). Here are the definitions as pure
functions of an accuracy, and the figure made from paired episodes of validation; that of training rollouts
is in `skill0.curriculum.paired`. Tests: tests/curriculum/test_helpfulness.py.

Left out: playing the episodes (`skill0.evaluation.measure_helpfulness`), any smoothing over validations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skill0.errors import ConfigError

SET_FORM, MARGINAL_FORM = "set", "marginal"
FORMS = (SET_FORM, MARGINAL_FORM)

Accuracy = Callable[[str, frozenset[str]], float]
"""Acc(pi, T_k, S) for a fixed policy: from the name k and the set of names S to a success rate in [0, 1]."""


@dataclass(frozen=True)
class ArmCounts:
    """Valid episodes of two arms, and how many of them were won."""

    with_wins: int
    with_trials: int
    without_wins: int
    without_trials: int

    def __post_init__(self) -> None:
        for wins, trials in ((self.with_wins, self.with_trials), (self.without_wins, self.without_trials)):
            if not 0 <= wins <= trials or trials < 1:
                raise ConfigError(f"{wins} episodes won of {trials} in an arm: of at least 1, at most all")

    @property
    def with_rate(self) -> float:
        return self.with_wins / self.with_trials

    @property
    def without_rate(self) -> float:
        return self.without_wins / self.without_trials


@dataclass(frozen=True)
class Helpfulness:
    """Delta_k of one skill file, with what it was computed from.

    `with_skills` and `without_skills` are success rates on the file's sub-task T_k; `delta` is their
    difference. "set" form: the whole active set against no skills at all. "marginal" form (equation 15):
    the active set against the active set less this one file. `tasks` counts the tasks with a valid episode
    in both arms; with none, the three figures are None (not measured). `counts` are the episodes behind the
    rates, None where every task was played once in each arm: see `arm_counts`.
    """

    name: str
    with_skills: float | None
    without_skills: float | None
    delta: float | None
    tasks: int
    form: str = SET_FORM
    counts: ArmCounts | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ConfigError(f"helpfulness of {self.name!r}: form={self.form!r} must be one of {FORMS}")
        figures = (self.with_skills, self.without_skills, self.delta)
        if figures == (None, None, None):
            return
        measured = [figure for figure in figures if figure is not None and math.isfinite(figure)]
        if len(measured) < 3:
            raise ConfigError(f"helpfulness of {self.name!r}: {figures} must be all finite, or all None")
        if not math.isclose(measured[2], measured[0] - measured[1], abs_tol=1e-9):
            raise ConfigError(
                f"helpfulness of {self.name!r}: delta={self.delta} is not "
                f"{self.with_skills} - {self.without_skills}"
            )

    @property
    def arm_counts(self) -> ArmCounts | None:
        """Episodes won and played in each arm; None if not measured.

        Raises:
            ConfigError: there are no `counts`, and the rates are not those of `tasks` episodes an arm.
        """
        if self.counts is not None or self.with_skills is None or self.without_skills is None:
            return self.counts
        exact = (self.with_skills * self.tasks, self.without_skills * self.tasks)
        wins = tuple(round(figure) for figure in exact)
        if any(abs(figure - whole) > 1e-6 for figure, whole in zip(exact, wins, strict=True)):
            raise ConfigError(
                f"helpfulness of {self.name!r}: success rates {self.with_skills} and {self.without_skills} "
                f"are no whole number of {self.tasks} tasks; give the episodes behind them as counts"
            )
        return ArmCounts(wins[0], self.tasks, wins[1], self.tasks)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        if self.counts is None:
            del data["counts"]
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Helpfulness:
        counts = data.get("counts")
        return Helpfulness(**{**data, "counts": None if counts is None else ArmCounts(**counts)})


def common_form(measured: Iterable[Helpfulness]) -> str | None:
    """The form that all of `measured` have; None for nothing measured.

    Raises:
        ConfigError: some are in the set form and some in the marginal form, which do not compare.
    """
    forms = {item.form: item.name for item in measured}
    if len(forms) > 1:
        raise ConfigError(
            f"the helpfulness of {forms[SET_FORM]!r} is in the set form and that of {forms[MARGINAL_FORM]!r} "
            "in the marginal form: the two do not compare, measure all files in one form"
        )
    return next(iter(forms), None)


def set_delta(accuracy: Accuracy, name: str, active: frozenset[str]) -> float:
    """Delta_k = Acc(pi, T_k, S) - Acc(pi, T_k, none): the set form."""
    return accuracy(name, active) - accuracy(name, frozenset())


def marginal_delta(accuracy: Accuracy, name: str, active: frozenset[str]) -> float:
    """Equation 15: Delta_k(S) = Acc(pi, T_k, S) - Acc(pi, T_k, S without S_k)."""
    return accuracy(name, active) - accuracy(name, active - {name})


def paired_helpfulness(
    name: str,
    with_skills: Mapping[str, bool | None],
    without_skills: Mapping[str, bool | None],
    form: str = SET_FORM,
) -> Helpfulness:
    """Delta_k from paired episodes: task id -> won, lost, or None for an infrastructure failure.

    A task counts only if it has a valid episode in both arms: dropping it from one arm alone would compare
    different sets of tasks.

    Raises:
        ConfigError: the two arms hold different tasks.
    """
    if with_skills.keys() != without_skills.keys():
        unpaired = sorted(with_skills.keys() ^ without_skills.keys())
        raise ConfigError(f"helpfulness of {name!r}: tasks {unpaired[:5]} were played in one arm only")
    pairs = [(won, without_skills[task]) for task, won in with_skills.items()]
    valid = [(bool(won), bool(plain)) for won, plain in pairs if won is not None and plain is not None]
    if not valid:
        return Helpfulness(name, None, None, None, 0, form)
    rate_with = sum(won for won, _ in valid) / len(valid)
    rate_without = sum(plain for _, plain in valid) / len(valid)
    return Helpfulness(name, rate_with, rate_without, rate_with - rate_without, len(valid), form)
