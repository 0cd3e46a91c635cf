"""Delta_k in its set and its marginal form (equation 15), and the figure made from paired episodes."""

from __future__ import annotations

import json

import pytest

from skill0.curriculum import Helpfulness, paired_helpfulness
from skill0.curriculum.helpfulness import marginal_delta, set_delta
from skill0.errors import ConfigError


def accuracy(name: str, skills: frozenset[str]) -> float:
    """A world with known answers: task "heat" is won half the time with nothing, a quarter more by the
    general file, and an eighth more by its own."""
    rate = 0.5
    if "general" in skills:
        rate += 0.25
    if name in skills:
        rate += 0.125
    return rate


def test_set_form_by_hand() -> None:
    # .5 + .25 + .125 against .5
    assert set_delta(accuracy, "heat", frozenset({"general", "heat"})) == 0.375


def test_equation_15_by_hand() -> None:
    # .5 + .25 + .125 against .5 + .25: only what this one file adds
    assert marginal_delta(accuracy, "heat", frozenset({"general", "heat"})) == 0.125


def test_the_two_forms_agree_for_a_single_file() -> None:
    assert set_delta(accuracy, "heat", frozenset({"heat"})) == marginal_delta(
        accuracy, "heat", frozenset({"heat"})
    )


def test_paired_episodes() -> None:
    won_with = {"a": True, "b": True, "c": False, "d": True}
    won_without = {"a": False, "b": True, "c": False, "d": False}
    # 3/4 against 1/4
    assert paired_helpfulness("heat", won_with, won_without) == Helpfulness("heat", 0.75, 0.25, 0.5, 4, "set")


def test_an_infrastructure_failure_drops_the_pair_not_the_half() -> None:
    # "d" broke in the plain arm. Without pairing, the skill arm would score 2/2 on {a, d} and the plain
    # arm 1/1 on {a}; paired, only "a" counts in either.
    measured = paired_helpfulness("heat", {"a": True, "d": True}, {"a": True, "d": None}, "marginal")
    assert measured == Helpfulness("heat", 1.0, 1.0, 0.0, 1, "marginal")


def test_nothing_measured_is_not_zero() -> None:
    assert paired_helpfulness("heat", {"a": None}, {"a": True}) == Helpfulness("heat", None, None, None, 0)


def test_different_tasks_in_the_arms_are_refused() -> None:
    with pytest.raises(ConfigError, match="one arm only"):
        paired_helpfulness("heat", {"a": True}, {"b": True})


@pytest.mark.parametrize(
    "figures",
    [
        (0.5, 0.25, 0.5, 4, "set"),  # not the difference
        (0.5, None, 0.5, 4, "set"),
        (float("nan"), 0.5, 0.5, 4, "set"),
        (0.5, 0.25, 0.25, 4, "other"),
    ],
)
def test_inconsistent_figures_are_refused(figures: tuple) -> None:
    with pytest.raises(ConfigError, match="heat"):
        Helpfulness("heat", *figures)


def test_json_round_trip() -> None:
    for measured in (Helpfulness("heat", 0.75, 0.25, 0.5, 4), Helpfulness("heat", None, None, None, 0)):
        assert Helpfulness.from_json(json.loads(json.dumps(measured.to_json()))) == measured
