"""The almanac's skill bank: five files that tell an arrangement and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from skill0.errors import SkillError
from skill0.skills import SkillBank
from skill0.skills.arrangements import bank_from_arrangement

RELATIONS = {"direct_retrieval": ("anthem", "capital"), "compare": ("area",)}
ARRANGEMENT = {"anthem": "emblems", "capital": "government", "area": "geography"}


def test_a_file_for_each_task_type_and_a_general_one():
    bank = bank_from_arrangement(ARRANGEMENT, RELATIONS)
    assert bank.names == ("general", "direct_retrieval", "compare")
    briefs = [skill.brief for skill in bank["direct_retrieval"].skills]
    assert briefs == ["direct: one page", "anthem: emblems", "capital: government"]


def test_facts_are_told_in_sentences_too():
    skill = bank_from_arrangement(ARRANGEMENT, RELATIONS)["compare"].skills[-1]
    assert (
        skill.principle
        == "The area, which is the area of a country, as a rank, stands in the section geography."
    )


def test_a_relation_without_a_section_is_refused():
    with pytest.raises(SkillError, match="'capital' has no section"):
        bank_from_arrangement({"anthem": "emblems"}, RELATIONS)


def test_an_unknown_task_type_is_refused():
    with pytest.raises(SkillError, match="unknown task type 'riddles'"):
        bank_from_arrangement(ARRANGEMENT, {"riddles": ("capital",)})


def test_the_bank_in_the_repository_tells_the_true_arrangement():
    pytest.importorskip("skill0.envs.search.almanac.book")
    from skill0.envs.search.almanac.book import RELATIONS, true_arrangement

    written = SkillBank.load(Path(__file__).parents[2] / "skills" / "almanac")
    assert written.digest == bank_from_arrangement(true_arrangement(), RELATIONS).digest
