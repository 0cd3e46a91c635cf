"""Skills must speak the language of the live engine, be short, and say when they apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from skill0.skills import LintFinding, Skill, SkillBank, SkillFile, lint
from skill0.skills.lint import command_forms

COMMANDS = [
    "look",
    "inventory",
    "help",
    "go to cabinet 2",
    "go to fridge 1",
    "open cabinet 2",
    "examine mug 1",
    "take mug 1 from cabinet 2",
    "move mug 1 to fridge 1",
    "heat mug 1 with microwave 1",
    "use desklamp 1",
]
"""As the engine offers them, from a few steps of a few games."""


def findings(principle: str = "Fine.", **changes: str) -> list[str]:
    """What lint says of a file of four skills, the first of which is changed."""
    first = {"title": "Title", "principle": principle, "when_to_apply": "Always."} | changes
    filler = [Skill(f"Filler {number}", "Fine.", "Always.") for number in range(3)]
    bank = SkillBank((SkillFile("a", "A", (Skill(**first), *filler)),))
    return [finding.message for finding in lint(bank, COMMANDS)]


def test_forms_of_live_commands():
    forms = command_forms(COMMANDS)
    assert forms["go to _"] == ({"cabinet", "fridge"},)
    assert forms["take _ from _"] == ({"mug"}, {"cabinet"})
    assert forms["look"] == ()
    assert len(forms) == 10


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        "go to RECEPTACLE",
        "take OBJECT from RECEPTACLE",
        "take <object> from {receptacle}",
        "move OBJECT to fridge 7",
        "heat OBJECT_1 with microwave 1",
    ],
)
def test_commands_on_offer_pass(command: str):
    assert findings(f"Say `{command}`.") == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("put OBJECT in RECEPTACLE", "is no command on offer"),
        ("turn on desklamp 1", "is no command on offer"),
        ("go to cabinet", "commands are: go to X (names need their number)"),
        ("take OBJECT", "commands are: take X from X"),
        ("Go to RECEPTACLE", "is no command on offer"),
        ("mug", "is no command on offer"),
        ("", "is no command on offer"),
        ("heat OBJECT with stoveburner 1", "'stoveburner' was never offered there, only microwave"),
        ("use floorlamp 1", "'floorlamp' was never offered there, only desklamp"),
    ],
)
def test_other_commands_are_found(command: str, message: str):
    (found,) = findings(f"Say `{command}`.")
    assert found.startswith(f"'Title': `{command}`")
    assert message in found


def test_commands_are_looked_for_in_every_part_of_a_skill():
    for part in ("title", "principle", "when_to_apply", "brief"):
        assert len(findings(**{part: "say `jump`"})) == 1


def test_without_live_commands_the_rest_is_still_checked():
    bank = SkillBank((SkillFile("a", "A", (Skill("T", "`jump` " + "x" * 400, "w"),) * 1),))
    messages = [finding.message for finding in lint(bank, [])]
    assert len(messages) == 2
    assert messages[0] == "1 skills; a file should have 4 to 12"
    assert messages[1] == "'T': 409 characters long; 400 are enough for a skill, split or shorten it"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"principle": "Put the mug in/on the shelf."}, "say `move X to Y`"),
        ({"when_to_apply": ""}, "does not say when to apply it"),
        ({"principle": "x" * 400}, "412 characters long"),
        ({"brief": "x" * 49}, "its brief has 49 characters"),
        ({"principle": "left`over"}, "a backquote without its pair"),
        ({"principle": "in\u200bvisible"}, "hidden character U+200B"),
        ({"title": "smuggled\U000e0041"}, "hidden character U+E0041"),
        ({"brief": "turned\u202eround"}, "hidden character U+202E"),
    ],
)
def test_what_makes_a_skill_unfit(changes: dict[str, str], message: str):
    (found,) = findings(**changes)
    assert found.startswith(repr(changes.get("title", "Title")))
    assert message in found


def test_ordinary_prose_about_putting_is_no_finding():
    assert findings("Put it down. Then put the mug on the shelf, in order.") == []


def test_findings_name_file_and_line(tmp_path: Path):
    path = tmp_path / "a.md"
    path.write_text("---\nname: a\ndescription: d\n---\n\n1. **T.** `jump`\n   *When to apply:* w\n")
    count, jump = lint(SkillBank.load(tmp_path), COMMANDS)
    assert count == LintFinding(str(path), 1, "1 skills; a file should have 4 to 12")
    assert str(jump).startswith(f"{path}:6: 'T': `jump` is no command on offer")
