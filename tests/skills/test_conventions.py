"""Banks made from a household's conventions, and the proof that skills/household is one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from skill0.errors import SkillError
from skill0.skills import Skill, SkillBank, bank_from_convention, lint, write_markdown

HOUSEHOLD = Path(__file__).parents[2] / "skills" / "household"

CONVENTION = {"mug": "cabinet", "egg": "countertop", "pen": "drawer", "desklamp": "desk", "spoon": "armchair"}
TARGETS = {
    "pick_two_obj_and_place": ("pen",),
    "look_at_obj_in_light": ("pen",),
    "pick_heat_then_place_in_recep": ("mug", "egg"),
}


def briefs(bank: SkillBank, name: str) -> list[str]:
    return [skill.brief for skill in bank[name].skills]


def test_every_file_tells_where_its_own_targets_are_kept():
    bank = bank_from_convention(CONVENTION, TARGETS)
    assert bank.names == ("general", "pick_and_place", "look_at_object", "heat")
    assert briefs(bank, "heat") == ["heat: microwave", "egg: countertop", "mug: cabinet"]
    assert briefs(bank, "look_at_object") == ["light: desklamp", "desklamp: desk", "pen: drawer"]
    assert briefs(bank, "pick_and_place") == ["put: move", "two: same place", "pen: drawer"]
    assert bank["heat"].skills[1] == Skill(
        "Egg",
        "The egg is kept on a countertop. Look into every countertop first.",
        "When the task is about the egg.",
        "egg: countertop",
    )
    assert bank["general"].task_types == ("*",)
    assert bank["pick_and_place"].task_types == ("pick_and_place_simple", "pick_two_obj_and_place")


def test_the_general_file_tells_where_most_things_are():
    # pen, mug, egg, cup are asked for; cabinet has two of them, countertop and drawer one each.
    bank = bank_from_convention(
        CONVENTION | {"cup": "cabinet"}, TARGETS | {"pick_cool_then_place_in_recep": ("cup",)}
    )
    assert briefs(bank, "general")[-3:] == ["first: cabinet", "second: countertop", "third: drawer"]
    assert bank["general"].skills[-3].principle == "2 of 4 kinds of things are kept in a cabinet."


def test_many_targets_are_told_by_receptacle():
    convention = {f"thing{letter}": "drawer" for letter in "abcdefghij"} | {"mug": "cabinet"}
    bank = bank_from_convention(convention, {"pick_and_place_simple": tuple(convention)})
    cabinet, drawer = bank["pick_and_place"].skills[2:]
    assert cabinet.brief == "mug: cabinet"
    assert drawer.title == "Kept in a drawer"
    assert drawer.brief == f"{', '.join(sorted(convention)[1:])}: drawer"
    assert drawer.when_to_apply.endswith("the thingi or the thingj.")


def test_without_targets_every_file_tells_everything():
    bank = bank_from_convention(CONVENTION)
    assert bank.names == ("general", "pick_and_place", "look_at_object", "clean", "heat", "cool")
    for name in ("pick_and_place", "clean", "heat", "cool"):
        assert briefs(bank, name)[-4:] == [
            "egg: countertop",
            "mug: cabinet",
            "pen: drawer",
            "spoon: armchair",
        ]
    assert "desklamp: desk" in briefs(bank, "look_at_object")


def test_equal_arguments_give_equal_banks_whatever_their_order():
    shuffled = dict(reversed(CONVENTION.items()))
    assert bank_from_convention(CONVENTION, TARGETS).digest == bank_from_convention(shuffled, TARGETS).digest


def test_what_the_convention_does_not_tell_is_an_error():
    with pytest.raises(SkillError, match="does not tell where plate is kept, which pick_heat"):
        bank_from_convention(CONVENTION, {"pick_heat_then_place_in_recep": ("mug", "plate")})
    with pytest.raises(SkillError, match="unknown task type 'fry'"):
        bank_from_convention(CONVENTION, {"fry": ("egg",)})


def fixed_household() -> SkillBank:
    """The bank of the household that `skills/household` describes: the convention of seed 0."""
    from skill0.envs.alfworld import sample_convention
    from skill0.envs.alfworld.conventions import targets

    return bank_from_convention(sample_convention(0), targets())


def test_skills_household_is_what_the_generator_makes(tmp_path: Path):
    # To make it again: write_markdown(fixed_household(), "skills/household")
    written = write_markdown(fixed_household(), tmp_path)
    assert {path.name: path.read_text() for path in HOUSEHOLD.glob("*.md")} == {
        path.name: path.read_text() for path in written
    }
    bank = SkillBank.load(HOUSEHOLD)
    assert bank == fixed_household()
    assert len(bank) == 6
    assert lint(bank, []) == []


def test_each_household_file_holds_facts_that_no_other_holds():
    bank = SkillBank.load(HOUSEHOLD)
    told = [brief for file in bank for brief in (skill.brief for skill in file.skills)]
    assert len(told) == len(set(told))
    assert all(told)
