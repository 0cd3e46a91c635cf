"""What is wrong with a bank is said with the file and the line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from skill0.errors import SkillError
from skill0.skills import Skill, SkillBank, SkillFile, write_agent_skills, write_markdown

TYPES = ("heat", "cool")
PAGE = """\
---
name: heat
description: Hot things.
metadata:
  title: Heating
  task-types: [heat]
---

1. **Find.** Look for it.

2. **Heat.** Warm it.
   *When to apply:* Always.
"""

MALFORMED = {
    "not closed": (PAGE.replace("---\n\n1.", "\n1."), 1, "front matter is not closed"),
    "none": ("1. **Find.** Look.\n", 1, "no front matter"),
    "not yaml": (PAGE.replace("Hot things.", "Hot: things: ["), 3, "not valid YAML"),
    "tab": (PAGE.replace("  title", "\ttitle"), 5, "not valid YAML"),
    "control character": (PAGE.replace("Hot", "H\x07t"), 3, "not valid YAML"),
    "impossible date": (PAGE.replace("Hot things.", "2024-99-99"), 2, "not valid YAML"),
    "nested without end": (PAGE.replace("Hot things.", "[" * 1000), 2, "not valid YAML"),
    "a list": ("---\n- a\n---\n1. **A.** b\n", 2, "must be `key: value` lines"),
    "key twice": (
        PAGE.replace("metadata:", "name: other\nmetadata:"),
        4,
        "`name` is already given on line 2",
    ),
    "inner key twice": (
        PAGE.replace("  title", "  title: x\n  title"),
        6,
        "`metadata.title` is already given",
    ),
    "unknown key": (
        PAGE.replace("metadata:", "task-types: [heat]\nmetadata:"),
        4,
        "unknown key `task-types`",
    ),
    "unknown own key": (
        PAGE.replace("task-types", "task_types"),
        6,
        "unknown key `task_types` under `metadata`",
    ),
    "metadata is text": (
        PAGE.replace("metadata:\n  title: Heating\n  task-types: [heat]", "metadata: x"),
        4,
        "lines",
    ),
    "no name": (PAGE.replace("name: heat\n", ""), 1, "`name` must be 1-64 letters"),
    "bad name": (PAGE.replace("name: heat", "name: ../heat"), 2, "`name` must be 1-64 letters"),
    "name is a number": (
        PAGE.replace("name: heat", "name: 12"),
        2,
        "must be text, not int; put it in quotes",
    ),
    "no description": (PAGE.replace("Hot things.", ""), 3, "`description` is missing"),
    "order": (PAGE.replace("  title", "  order: first\n  title"), 5, "must be a whole number, not 'first'"),
    "unknown task type": (
        PAGE.replace("[heat]", "[heat, het]"),
        6,
        "unknown task type 'het'; known are cool, heat",
    ),
    "task type twice": (PAGE.replace("[heat]", "[heat, heat]"), 6, "'heat' is declared twice"),
    "task type of two words": (PAGE.replace("[heat]", "['he at']"), 6, "a task type is one word"),
    "no skills": (PAGE.split("\n1.")[0], 1, "the file has no skills"),
    "duplicate title": (PAGE.replace("Heat.", "Find."), 11, "'Find' is already used on line 9"),
    "no principle": (PAGE.replace(" Look for it.", ""), 9, "'Find' has no principle"),
    "no title": (PAGE.replace("Find.", "."), 9, "has no title"),
    "field twice": (PAGE + "   *when to apply:* Never.\n", 13, "has two `\\*when to apply:\\*` lines"),
    "text outside": (PAGE + "\nThe end.\n", 14, "text outside a skill"),
    "text before": (PAGE.replace("\n1.", "# Heating\n\n1."), 8, "text outside a skill"),
    "plain list item": (PAGE + "3. Serve it.\n", 13, "text outside a skill"),
    "empty": ("", 1, "the file is empty"),
    "blank": (" \n\n", 1, "the file is empty"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_file(tmp_path: Path, case: str):
    text, line, message = MALFORMED[case]
    path = tmp_path / "heat.md"
    path.write_text(text)
    with pytest.raises(SkillError, match=rf"heat\.md:{line}: .*{message}"):
        SkillBank.load(tmp_path, task_types=TYPES)


def test_bytes_that_are_not_utf_8(tmp_path: Path):
    (tmp_path / "heat.md").write_bytes(PAGE.encode().replace(b"Warm", b"W\xe4rm"))
    with pytest.raises(SkillError, match=r"heat\.md:11: byte 0xe4 is not UTF-8"):
        SkillBank.load(tmp_path)


def test_nothing_there(tmp_path: Path):
    with pytest.raises(SkillError, match="nowhere: no such file or folder"):
        SkillBank.load(tmp_path / "nowhere")
    with pytest.raises(SkillError, match="holds no skills"):
        SkillBank.load(tmp_path)


def test_a_file_name_used_twice(tmp_path: Path):
    (tmp_path / "a.md").write_text(PAGE)
    (tmp_path / "b.md").write_text(PAGE)
    with pytest.raises(SkillError, match=r"b\.md:9: .*'heat' is already used by .*a\.md:9"):
        SkillBank.load(tmp_path)


def test_two_formats_in_one_folder(tmp_path: Path):
    (tmp_path / "a.md").write_text(PAGE)
    (tmp_path / "heat").mkdir()
    (tmp_path / "heat/SKILL.md").write_text(PAGE)
    with pytest.raises(SkillError, match=r"holds both a\.md and heat/SKILL\.md; keep one format"):
        SkillBank.load(tmp_path)


def test_a_folder_where_a_file_should_be(tmp_path: Path):
    (tmp_path / "heat.md").mkdir()
    with pytest.raises(SkillError, match=r"heat\.md:1: cannot be read"):
        SkillBank.load(tmp_path)


def test_duplicates_made_in_memory():
    file = SkillFile("a", "A", (Skill("t", "p"), Skill("t", "q")))
    with pytest.raises(SkillError, match=r"'a' \(made in memory\): the skill title 't' is used twice"):
        SkillBank((file,))
    with pytest.raises(SkillError, match="the skill file name 'b' is already used"):
        SkillBank((SkillFile("b", "B", ()), SkillFile("b", "B", ())))


# The published format


def drop_file(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").unlink()


def empty_file(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").write_text("")


def no_skills(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").write_text("### TASK: cool ###\n\nNothing.\n")


def no_title(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").write_text("### TASK: cool ###\n\n1. Just do it.\n")


def no_section(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").write_text("\n1. Do: it.\n")


def title_twice(folder: Path, mapping: dict) -> None:
    (folder / "cool.md").write_text("### TASK: cool ###\n1. A: b.\n2. A: c.\n")


def outside(folder: Path, mapping: dict) -> None:
    mapping["skill_files"]["cool"] = "../cool.md"


def unlisted(folder: Path, mapping: dict) -> None:
    mapping["task_to_skill"]["cool"] = "col"


def unknown_type(folder: Path, mapping: dict) -> None:
    mapping["task_to_skill"] = {"chill": "cool"}


def no_section_in_mapping(folder: Path, mapping: dict) -> None:
    del mapping["task_to_skill"]


def wrong_shape(folder: Path, mapping: dict) -> None:
    mapping["skill_files"] = ["cool.md"]


PUBLISHED = [
    (drop_file, r"skill_mapping\.json:4: 'cool\.md' \(skill file 'cool'\) is listed but missing"),
    (empty_file, r"cool\.md:1: the file is empty"),
    (no_skills, r"cool\.md:1: the file has no skills"),
    (no_title, r"cool\.md:3: a skill is written `1\. Title: Principle"),
    (no_section, r"cool\.md:2: text before the first section"),
    (title_twice, r"cool\.md:3: the skill title 'A' is already used on line 2"),
    (outside, r"skill_mapping\.json:4: '\.\./cool\.md' lies outside"),
    (
        unlisted,
        r"skill_mapping\.json:7: the task type 'cool' is mapped to 'col', which is not in skill_files",
    ),
    (unknown_type, r"skill_mapping\.json:4: unknown task type 'chill'; known are cool, heat"),
    (no_section_in_mapping, r"skill_mapping\.json:1: task_to_skill is missing"),
    (wrong_shape, r"skill_mapping\.json:2: skill_files must map names to names"),
]


@pytest.mark.parametrize(("spoil", "message"), PUBLISHED, ids=lambda value: getattr(value, "__name__", ""))
def test_malformed_published_bank(tmp_path: Path, spoil: Callable[[Path, dict], None], message: str):
    (tmp_path / "general.md").write_text("### GENERAL SKILLS ###\n1. Look: Everywhere.\n")
    (tmp_path / "cool.md").write_text("### TASK: cool ###\n1. Fridge: Use it.\n")
    mapping = {
        "skill_files": {"general_skills": "general.md", "cool": "cool.md"},
        "task_to_skill": {"cool": "cool"},
    }
    spoil(tmp_path, mapping)
    (tmp_path / "skill_mapping.json").write_text(json.dumps(mapping, indent=1))
    with pytest.raises(SkillError, match=message):
        SkillBank.load(tmp_path, task_types=TYPES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"skill_files": {\n"a": "a.md",\n"a": "b.md"}}', ":3: 'a' is given twice"),
        ('{"skill_files": {},\n oops}', ":2: not valid JSON"),
        ("[1]", ":1: must be an object"),
        ("[" * 100_000, ":1: not valid JSON"),
        ('{"skill_files": {}, "task_to_skill": {}}', ":1: skill_files lists no file"),
        ('{"skill_files": {"a": "\\u0000"}, "task_to_skill": {}}', ":1: .* is listed but missing"),
    ],
)
def test_malformed_mapping(tmp_path: Path, text: str, message: str):
    (tmp_path / "skill_mapping.json").write_text(text)
    with pytest.raises(SkillError, match=rf"skill_mapping\.json{message}"):
        SkillBank.load(tmp_path)


# Writing


def bank_of(**changes: object) -> SkillBank:
    made = {"name": "a", "title": "A", "skills": (Skill("t", "p"),), "description": "d"} | changes
    return SkillBank((SkillFile(**made),))  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [write_markdown, write_agent_skills])
@pytest.mark.parametrize(
    ("bank", "message"),
    [
        (bank_of(name="../a"), "its name"),
        (bank_of(description=" "), "description"),
        (bank_of(skills=()), "has no skills"),
        (bank_of(skills=(Skill(" ", "p"),)), "skill 1 of 'a' lacks a title or a principle"),
        (bank_of(skills=(Skill("t", "\ud800"),)), r"U\+D800 cannot be written as UTF-8"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path: Path, write, bank, message: str):
    with pytest.raises(SkillError, match=message):
        write(bank, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_skills_is_not_written_to(tmp_path: Path):
    write_markdown(bank_of(name="old"), tmp_path / "markdown")
    with pytest.raises(SkillError, match=r"old\.md: would be read as part of the bank"):
        write_markdown(bank_of(), tmp_path / "markdown")
    write_agent_skills(bank_of(name="old"), tmp_path / "agent")
    with pytest.raises(SkillError, match=r"old/SKILL\.md: would be read as part of the bank"):
        write_agent_skills(bank_of(), tmp_path / "agent")


def test_agent_skill_limits(tmp_path: Path):
    with pytest.raises(SkillError, match="1-1024 characters, has 1025"):
        write_agent_skills(bank_of(description="x" * 1025), tmp_path)
    two = SkillBank((*bank_of(name="a_b").files, *bank_of(name="a-b").files))
    with pytest.raises(SkillError, match="two skill files would be written here; rename 'a-b'"):
        write_agent_skills(two, tmp_path)
