"""How much a skill file still helps the current policy.

SKILL0 (arXiv 2604.02268): equation 15 (marginal form, appendix) and the form that the main text and the
published code use, the whole active set against none ("set form"). Here are the definitions as pure
functions of an accuracy, and the figure made from paired episodes; playing the episodes is the work of
`skill0.evaluation.measure_helpfulness`. Tests: tests/curriculum/test_helpfulness.py.

Left out: any smoothing over validations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skill0.errors import ConfigError

SET_FORM, MARGINAL_FORM = "set", "marginal"
FORMS = (SET_FORM, MARGINAL_FORM)

Accuracy = Callable[[str, frozenset[str]], float]
"""Acc(pi, T_k, S) for a fixed policy: from the name k and the set of names S to a success rate in [0, 1]."""


@dataclass(frozen=True)
class Helpfulness:
    """Delta_k of one skill file, with what it was computed from.

    `with_skills` and `without_skills` are success rates on the file's sub-task T_k; `delta` is their
    difference. "set" form: the whole active set against no skills at all. "marginal" form (equation 15):
    the active set against the active set less this one file. `tasks` counts the tasks with a valid episode
    in both arms; with none, the three figures are None (not measured).
    """

    name: str
    with_skills: float | None
    without_skills: float | None
    delta: float | None
    tasks: int
    form: str = SET_FORM

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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Helpfulness:
        return Helpfulness(**data)


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
