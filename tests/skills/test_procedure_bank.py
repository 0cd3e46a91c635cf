"""The bank of a household whose skills are procedure: legible sentences, and briefs that say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from skill0.errors import SkillError
from skill0.skills import Skill, SkillBank, bank_from_convention, lint, write_markdown
from skill0.skills.procedures import TASK_TYPES, TITLES

FOLDER = Path(__file__).parents[2] / "skills" / "household_procedure"
CONVENTION = {
    "things": "desk",
    "festive": "fridge",
    "merry": "sinkbasin",
    "guests": "cabinet",
    "twins": "shelf",
}
TARGETS = {"party_one_word": ("festive", "merry", "guests", "twins")}


def test_a_word_is_told_in_sentences_and_in_a_brief():
    bank = bank_from_convention(CONVENTION, TARGETS)
    assert bank.names == ("general", "party")
    party = bank.files[1]
    assert party.task_types == ("party_one_word", "party_two_words", "party_last_word")
    assert (
        party.description
        == "What festive and merry ask for, and where things for the guests and the twins are put."
    )
    assert party.skills[:3] == (
        Skill(
            "Festive",
            "For a festive thing use the fridge: `cool OBJECT with fridge 1`.",
            "When the task asks for something festive.",
            "festive: fridge",
        ),
        Skill(
            "Merry",
            "For a merry thing use the sinkbasin: `clean OBJECT with sinkbasin 1`.",
            "When the task asks for something merry.",
            "merry: sinkbasin",
        ),
        Skill(
            "Guests",
            "What is for the guests is put in a cabinet. Any cabinet will do.",
            "When something is to be brought to the guests.",
            "guests: cabinet",
        ),
    )


def test_the_general_file_tells_where_things_stand_and_what_to_avoid():
    briefs = [skill.brief for skill in bank_from_convention(CONVENTION, TARGETS).files[0].skills]
    assert briefs == [
        "things: desk",
        "sinkbasin: clean",
        "microwave: heat",
        "fridge: cool",
        "words: in order",
        "hot cool: last",
        "unasked: never",
        "closed: open",
    ]


def test_equal_arguments_give_equal_banks_whatever_their_order():
    shuffled = dict(reversed(CONVENTION.items()))
    assert bank_from_convention(CONVENTION, TARGETS).digest == bank_from_convention(shuffled, TARGETS).digest


def test_what_the_convention_does_not_tell_is_an_error():
    with pytest.raises(SkillError, match="does not tell where grand is kept, which party_one_word"):
        bank_from_convention(CONVENTION, {"party_one_word": ("festive", "grand")})
    with pytest.raises(SkillError, match="does not tell where things is kept"):
        bank_from_convention({"festive": "fridge"}, {"party_one_word": ("festive",)})
    mixed = {**TARGETS, "pick_and_place_simple": ("festive",)}
    with pytest.raises(SkillError, match="tasks of procedure and pick_and_place_simple; make two banks"):
        bank_from_convention(CONVENTION, mixed)


def fixed_household() -> SkillBank:
    """The bank of the household that `skills/household_procedure` describes: the convention of seed 0."""
    from skill0.envs.alfworld import HouseholdSettings, sample_convention
    from skill0.envs.alfworld.conventions import targets

    households = HouseholdSettings(kind="procedure")
    return bank_from_convention(sample_convention(0, households), targets(households))


def test_skills_household_procedure_is_what_the_generator_makes(tmp_path: Path):
    # To make it again: write_markdown(fixed_household(), "skills/household_procedure")
    written = write_markdown(fixed_household(), tmp_path)
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == {
        path.name: path.read_text() for path in written
    }
    bank = SkillBank.load(FOLDER)
    assert bank == fixed_household()
    assert lint(bank, []) == []


def test_families_and_task_types_are_those_of_the_games():
    from skill0.envs.alfworld.games import PROCEDURE_FAMILIES, PROCEDURE_TASK_TYPES

    assert tuple(TITLES) == PROCEDURE_FAMILIES
    assert set(TASK_TYPES) == set(PROCEDURE_TASK_TYPES)
