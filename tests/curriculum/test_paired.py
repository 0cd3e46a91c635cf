"""Delta_k from rollout groups that hold two arms, counted by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import ArmCounts, Helpfulness, PairedEpisode, helpfulness_from_groups, paired_groups
from skill0.errors import ConfigError

SERVES = {"general": ("heat", "cool"), "heat": ("heat",), "cool": ("cool",), "stray": ()}


def episodes(group: object, task_type: str, shown: str, plain: str) -> list[PairedEpisode]:
    """The rollouts of a group: a letter each, + won, - lost, x failed for the infrastructure."""
    outcome = {"+": True, "-": False, "x": None}
    return [
        PairedEpisode(group, task_type, with_skills, outcome[letter])
        for with_skills, letters in ((True, shown), (False, plain))
        for letter in letters
    ]


ROLLOUTS = [
    *episodes(0, "heat", "++++", "+---"),  # 4/4 against 1/4: Delta_g = .75
    *episodes(1, "heat", "+-", "--"),  # 1/2 against 0/2: .5
    *episodes(2, "cool", "+--", "+"),  # 1/3 against 1/1: -2/3
    *episodes(3, "cool", "++++", ""),  # one arm only: not counted
    *episodes(4, "heat", "xx", "--"),  # every skilled rollout broke: not counted
    *episodes(5, "swim", "+", "-"),  # a type that no file here serves
]


def test_delta_is_the_mean_over_groups() -> None:
    measured = helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, ["general", "heat", "cool"])
    assert list(measured) == ["general", "heat", "cool"]
    heat, cool, general = measured["heat"], measured["cool"], measured["general"]
    # Groups 0 and 1: with (4/4 + 1/2) / 2, without (1/4 + 0/2) / 2. Pooled it would have been 5/6 - 1/6.
    assert (heat.with_skills, heat.without_skills, heat.delta, heat.tasks) == (0.75, 0.125, 0.625, 2)
    assert heat.counts == ArmCounts(with_wins=5, with_trials=6, without_wins=1, without_trials=6)
    assert (cool.delta, cool.tasks) == (pytest.approx(1 / 3 - 1), 1)
    # Groups 0, 1, 2: (.75 + .5 - 2/3) / 3
    assert (general.delta, general.tasks) == (pytest.approx((0.75 + 0.5 - 2 / 3) / 3), 3)
    assert general.counts == ArmCounts(6, 9, 2, 7)
    assert {item.form for item in measured.values()} == {"set"}


def test_the_effect_of_a_group() -> None:
    groups = paired_groups(ROLLOUTS)
    assert {group: found.effect for group, found in groups.items()} == {
        0: 0.75,
        1: 0.5,
        2: pytest.approx(-2 / 3),
        5: 1.0,
    }
    assert groups[2].task_type == "cool"


def test_a_failure_of_the_infrastructure_leaves_the_rest_of_its_arm() -> None:
    # 1 of 2 valid against 0 of 1
    measured = helpfulness_from_groups(episodes(0, "heat", "+x-", "x-"), SERVES.__getitem__, ["heat"])
    assert measured["heat"] == Helpfulness("heat", 0.5, 0.0, 0.5, 1, counts=ArmCounts(1, 2, 0, 1))


def test_a_file_without_groups_is_not_measured() -> None:
    measured = helpfulness_from_groups(ROLLOUTS[-4:], SERVES.__getitem__, ["cool", "stray"])
    assert measured == {
        "cool": Helpfulness("cool", None, None, None, 0),
        "stray": Helpfulness("stray", None, None, None, 0),
    }


def test_only_the_files_asked_for_are_reported() -> None:
    assert list(helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, ["heat"])) == ["heat"]
    assert helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, []) == {}


def test_the_marginal_form_is_one_file_at_a_time() -> None:
    measured = helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, ["heat"], form="marginal")
    assert measured["heat"].form == "marginal"
    with pytest.raises(ConfigError, match="lacks one file"):
        helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, ["heat", "cool"], form="marginal")


def test_a_group_is_one_task() -> None:
    mixed = [*episodes("g", "heat", "+", "-"), *episodes("g", "cool", "+", "-")]
    with pytest.raises(ConfigError, match="'g' holds tasks of the types 'heat' and 'cool'"):
        helpfulness_from_groups(mixed, SERVES.__getitem__, ["heat"])


def test_counts_survive_json() -> None:
    for measured in helpfulness_from_groups(ROLLOUTS, SERVES.__getitem__, ["heat", "stray"]).values():
        assert Helpfulness.from_json(json.loads(json.dumps(measured.to_json()))) == measured


arm = st.text("+-x", max_size=4)


@given(groups=st.lists(st.tuples(st.sampled_from(["heat", "cool"]), arm, arm), max_size=6), data=st.data())
def test_order_does_not_matter_and_swapping_the_arms_turns_the_sign(
    groups: list, data: st.DataObject
) -> None:
    rollouts = [item for group, parts in enumerate(groups) for item in episodes(group, *parts)]
    swapped = [PairedEpisode(e.group, e.task_type, not e.with_skills, e.won) for e in rollouts]
    shuffled = data.draw(st.permutations(rollouts))
    names = ["general", "heat", "cool"]
    measured = helpfulness_from_groups(rollouts, SERVES.__getitem__, names)
    for name, other in helpfulness_from_groups(shuffled, SERVES.__getitem__, names).items():
        assert (other.tasks, other.counts) == (measured[name].tasks, measured[name].counts)
        assert other.delta == pytest.approx(measured[name].delta)
    for name, other in helpfulness_from_groups(swapped, SERVES.__getitem__, names).items():
        delta = measured[name].delta
        assert other.delta == (None if delta is None else pytest.approx(-delta))
