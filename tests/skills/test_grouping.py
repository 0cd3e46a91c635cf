"""Which file serves which task type: declared, else by text; and what a task sees of the active files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from skill0.errors import ConfigError, GroupingError, SkillError
from skill0.skills import Skill, SkillBank, SkillFile, group_by_relevance, skills_in_context
from skill0.skills.relevance import relevance, words

ALFWORLD = Path(__file__).parents[2] / "skills" / "alfworld"

INSTRUCTIONS = {
    "pick_and_place_simple": ["put a candle in toilet.", "put some book on sofa.", "put a pen in drawer."],
    "look_at_obj_in_light": ["look at bowl under the desklamp.", "examine the book with the desklamp."],
    "pick_clean_then_place_in_recep": ["put a clean fork in drawer.", "clean some mug and put it in shelf."],
    "pick_heat_then_place_in_recep": ["put a hot mug in cabinet.", "heat some egg and put it in fridge."],
    "pick_cool_then_place_in_recep": [
        "put a cool pan in stoveburner.",
        "cool some egg and put it in microwave.",
    ],
    "pick_two_obj_and_place": ["put two book in drawer.", "find two candle and put them in toilet."],
}


@dataclass(frozen=True)
class InstructedTask:
    task_type: str
    instruction: str


TASKS = [InstructedTask(kind, text) for kind, texts in INSTRUCTIONS.items() for text in texts]


def file(name: str, *task_types: str, text: str = "Nothing in particular.") -> SkillFile:
    return SkillFile(name, name, (Skill("Title", text),), task_types)


def test_words_are_stemmed_and_stop_words_dropped():
    assert words("Heating the HEATED mugs, in cabinet_2!") == ["heat", "heat", "mug", "cabinet"]


def test_the_score_is_the_cosine_worked_out_by_hand():
    # Two types. Shares: put 1 and 1; heat 1 in "heat"; cool 1 in "cool"; mug and egg 1/2 in both.
    # Rarity: put ln(3/3) = 0; heat, cool, mug, egg ln(3/2), a common factor that the cosine drops.
    # File: heat twice, mug once: (1 + ln 2, 1). Type heat: heat 1, mug 1/2, egg 1/2.
    instructions = {"heat": ["put heat mug", "put heat egg"], "cool": ["put cool mug", "put cool egg"]}
    scores = relevance([SkillFile("x", "Heat", (Skill("Heat", "Put mug"),))], instructions)
    length = math.hypot(1 + math.log(2), 1) * math.hypot(1, 0.5, 0.5)
    score, common = scores["x", "heat"]
    assert score == pytest.approx((1 + math.log(2) + 0.5) / length)  # 0.91
    assert common == ("heat", "mug")
    assert scores["x", "cool"] == (pytest.approx(0.5 / length), ("mug",))


def test_declared_task_types_decide():
    bank = SkillBank((file("general", "*"), file("a", "heat"), file("b", "cool", "other")))
    tasks = [
        InstructedTask("heat", "heat it"),
        InstructedTask("cool", "heat it"),
        InstructedTask("heat", "x"),
    ]
    grouping = group_by_relevance(bank, tasks)
    assert grouping.served == {"heat": ("general", "a"), "cool": ("general", "b")}
    assert grouping.counts == {"heat": 2, "cool": 1}
    assert grouping.files_for("cool") == ("general", "b")
    assert grouping.task_types_for("general") == ("heat", "cool")
    assert grouping.reasons["general", "heat"].text == "declared (*)"
    assert grouping.reasons["a", "heat"].text == "declared"
    assert grouping.reasons["b", "heat"].text == "declared for cool, other only"
    assert grouping.unmatched == grouping.general_only == grouping.unused == ()


def test_the_alfworld_bank_is_grouped_alike_when_its_declarations_are_taken_off():
    declared = SkillBank.load(ALFWORLD)
    undeclared = SkillBank(
        tuple(each if each.name == "general" else replace(each, task_types=()) for each in declared)
    )
    grouping = group_by_relevance(undeclared, TASKS)
    assert grouping.served == group_by_relevance(declared, TASKS).served
    reason = grouping.reasons["heat", "pick_heat_then_place_in_recep"]
    assert (reason.score or 0) > 0.5
    assert "heat" in reason.text


def test_an_undeclared_general_file_must_be_declared():
    bank = SkillBank.load(ALFWORLD)
    bank = SkillBank((replace(bank["general"], task_types=()), *bank.files[1:]))
    with pytest.raises(GroupingError, match="general declare no task types"):
        group_by_relevance(bank, TASKS)


def test_an_unmatched_task_type_is_an_error_unless_allowed():
    bank = SkillBank((file("heat", "heat"),))
    tasks = [InstructedTask("heat", "heat it"), InstructedTask("wash", "wash it")]
    with pytest.raises(GroupingError, match=r"no skill file serves the task type\(s\) wash"):
        group_by_relevance(bank, tasks)
    grouping = group_by_relevance(bank, tasks, allow_unmatched=True)
    assert grouping.files_for("wash") == ()
    assert grouping.unmatched == ("wash",)
    printed = rendered(grouping.table())
    assert "no skill file serves it" in printed
    assert "1 task types without any skill file: wash" in printed


def test_a_file_that_declares_types_without_tasks_is_shown_and_no_error():
    grouping = group_by_relevance(
        SkillBank((file("a", "*"), file("b", "cool"))), [InstructedTask("heat", "x")]
    )
    assert grouping.unused == ("b",)
    assert grouping.general_only == ("heat",)
    printed = rendered(grouping.table())
    assert "declared for cool only" in printed
    assert "only general skills for: heat" in printed


def test_the_table_tells_every_file_and_task_type_and_why():
    printed = rendered(group_by_relevance(SkillBank.load(ALFWORLD), TASKS).table())
    for text in (
        *INSTRUCTIONS,
        "look_at_obj_in_light",
        "declared (*)",
        "6 task types, 13 tasks",
    ):
        assert text in printed


def test_what_was_not_grouped_is_an_error():
    grouping = group_by_relevance(SkillBank((file("a", "*"),)), [InstructedTask("heat", "x")])
    with pytest.raises(GroupingError, match=r"'cool' was not grouped \(only heat\)"):
        grouping.files_for("cool")
    with pytest.raises(GroupingError, match="'b' was not grouped"):
        grouping.task_types_for("b")


def test_a_task_sees_the_active_files_that_serve_it_in_bank_order():
    bank = SkillBank((file("general", "*"), file("heat", "heat"), file("cool", "cool")))
    grouping = group_by_relevance(bank, [InstructedTask("heat", ""), InstructedTask("cool", "")])

    def seen(active: list[str], task_type: str, scope="relevant") -> list[str]:
        return [each.name for each in skills_in_context(bank, grouping, active, task_type, scope)]

    assert seen(["cool", "heat", "general"], "heat") == ["general", "heat"]
    assert seen(["cool", "heat"], "heat") == ["heat"]
    assert seen(["cool"], "heat") == []
    assert seen(["cool", "general"], "heat", "all") == ["general", "cool"]
    assert seen([], "heat") == []
    with pytest.raises(SkillError, match="no skill file is named 'hot'"):
        seen(["hot"], "heat")
    with pytest.raises(GroupingError, match="'wash' was not grouped"):
        seen(["heat"], "wash")
    with pytest.raises(ConfigError, match='"relevant" or "all", not'):
        seen(["heat"], "heat", "some")


def rendered(table) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    return " ".join(console.export_text().split())
