"""The three formats: what is read from an example of each, and that nothing is lost on the way."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skill0.errors import SkillError
from skill0.skills import Skill, SkillBank, SkillFile, write_agent_skills, write_markdown
from skill0.skills.reading import one_line

HEAT = """\
---
name: heat
description: Know-how for tasks that ask for something hot.
metadata:
  title: Heating
  task-types: [pick_heat_then_place_in_recep]
---

1. **Use the microwave.** With the object in hand, `heat OBJECT with microwave 1`;
   it stays in hand.
   *When to apply:* As soon as you hold
   what must be hot.
   *Brief:* heat: microwave

2. **Mind 5 \\* 2 = 10.** A backslash is written \\\\, and so is \\n left alone.
"""


def write(folder: Path, **files: str) -> Path:
    """`name="text"` becomes folder/name.md; a double underscore stands for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_our_markdown(tmp_path: Path):
    bank = SkillBank.load(write(tmp_path, heat=HEAT, README="# Not a skill file"))
    (heat,) = bank
    assert heat.name == "heat"
    assert heat.title == "Heating"
    assert heat.description == "Know-how for tasks that ask for something hot."
    assert heat.task_types == ("pick_heat_then_place_in_recep",)
    assert heat.source == str(tmp_path / "heat.md")
    assert heat.lines == (9, 15)
    assert heat.skills == (
        Skill(
            "Use the microwave",
            "With the object in hand, `heat OBJECT with microwave 1`; it stays in hand.",
            "As soon as you hold what must be hot.",
            "heat: microwave",
        ),
        Skill("Mind 5 * 2 = 10", "A backslash is written \\, and so is \\n left alone."),
    )


def test_a_single_file_is_a_bank(tmp_path: Path):
    write(tmp_path, heat=HEAT)
    assert SkillBank.load(tmp_path / "heat.md") == SkillBank.load(tmp_path)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path):
    plain = SkillBank.load(write(tmp_path / "a", heat=HEAT))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/heat.md").write_bytes(b"\xef\xbb\xbf" + HEAT.replace("\n", "\r\n").encode())
    other = SkillBank.load(tmp_path / "b")
    assert other == plain
    assert other["heat"].lines == plain["heat"].lines


def test_declared_order_comes_before_names(tmp_path: Path):
    def page(name: str, order: str) -> str:
        return HEAT.replace("name: heat", f"name: {name}").replace("  title: Heating\n", order)

    write(tmp_path, a=page("a", ""), b=page("b", "  order: 2\n"), c=page("c", "  order: '1'\n"))
    assert SkillBank.load(tmp_path).names == ("c", "b", "a")


GENERAL = """\
### GENERAL SKILLS ###

Some advice to begin with:

1. Look around: Visit every place once. Apply this while something is missing.

2. Ratio 1:2: Keep colons after the first.
   Even over two lines. Apply this when told to. When to apply: always, really.
"""
COOL = "### TASK: cool ###\n\n- **Fridge**: Cool it there.\n"


def published(folder: Path, **changes: object) -> Path:
    write(folder, general_skills=GENERAL, cool=COOL)
    mapping = {
        "skill_files": {"general_skills": "general_skills.md", "cool": "cool.md"},
        "task_to_skill": {"pick_cool_then_place_in_recep": "cool", "pick_and_place": "cool"},
    }
    (folder / "skill_mapping.json").write_text(json.dumps(mapping | changes, indent=1))
    return folder


def test_published_skill0_format(tmp_path: Path):
    bank = SkillBank.load(published(tmp_path))
    assert bank.names == ("general_skills", "cool")
    general, cool = bank
    assert general.task_types == ("*",)
    assert general.description == "Some advice to begin with:"
    assert general.lines == (5, 7)
    assert general.skills == (
        Skill("Look around", "Visit every place once.", "While something is missing."),
        Skill(
            "Ratio 1",
            "2: Keep colons after the first. Even over two lines. Apply this when told to.",
            "Always, really.",
        ),
    )
    assert cool.task_types == ("pick_cool_then_place_in_recep", "pick_and_place_simple")
    assert cool.skills == (Skill("Fridge", "Cool it there."),)
    assert cool.description == "Skills: Fridge."
    assert bank.warnings == ()


def test_published_extras_are_told(tmp_path: Path):
    bank = SkillBank.load(published(tmp_path, task_keywords={"cool": ["cold"]}))
    (warning,) = bank.warnings
    assert warning == f"{tmp_path / 'skill_mapping.json'}:10: not read: task_keywords"


def test_published_single_file_of_sections(tmp_path: Path):
    (tmp_path / "all.md").write_text(GENERAL + "\n" + COOL)
    for path in (tmp_path, tmp_path / "all.md"):
        bank = SkillBank.load(path)
        assert bank.names == ("general_skills", "cool")
        assert [file.task_types for file in bank] == [("*",), ()]


def test_published_converts_without_loss(tmp_path: Path):
    bank = SkillBank.load(published(tmp_path / "published"))
    write_markdown(bank, tmp_path / "markdown")
    write_agent_skills(bank, tmp_path / "agent")
    for folder in ("markdown", "agent"):
        assert SkillBank.load(tmp_path / folder) == bank
        assert SkillBank.load(tmp_path / folder).digest == bank.digest


FREE = """\
---
name: tidy-up
description: Puts things away. Use when a room is messy.
license: MIT
metadata:
  author: someone
---
Begin anywhere.

# Steps

- sort
- store

## Code

```sh
# not a heading
ls
```

## Empty heading
"""


def test_agent_skill_with_free_text_becomes_a_skill_per_heading(tmp_path: Path):
    bank = SkillBank.load(write(tmp_path, **{"tidy-up__SKILL": FREE}))
    (tidy,) = bank
    assert tidy.name == "tidy-up"
    assert tidy.title == "Tidy up"
    assert tidy.task_types == ()
    assert tidy.skills == (
        Skill("Tidy up", "Begin anywhere."),
        Skill("Steps", "- sort - store"),
        Skill("Code", "```sh # not a heading ls ```"),
    )
    assert tidy.lines == (8, 10, 15)
    assert [warning.partition("SKILL.md:")[2] for warning in bank.warnings] == [
        "1: not kept: license, metadata.author",
        "8: free text, read as 3 skill(s) by its headings",
    ]


def test_an_agent_skill_is_read_from_its_folder_and_from_its_file(tmp_path: Path):
    write(tmp_path, **{"tidy-up__SKILL": FREE})
    whole = SkillBank.load(tmp_path)
    assert SkillBank.load(tmp_path / "tidy-up") == whole
    assert SkillBank.load(tmp_path / "tidy-up/SKILL.md") == whole


STRICT_AND_LENIENT = [
    ("name: tidy-up", "name: tidying", "must equal the folder's name", "tidying"),
    ("name: tidy-up", "name: Tidy_Up", "must be lower case", "Tidy_Up"),
    ("name: tidy-up", "name: tidy--up", "two in a row", "tidy--up"),
    ("name: tidy-up", "name: " + "a" * 65, "1-64 characters, has 65", "a" * 65),
    ("name: tidy-up", "title: x", "`name` is missing", "tidy-up"),
    ("description: Puts", "description: " + "Puts" * 300, "1024 are allowed", "tidy-up"),
    ("license: MIT", "version: 1", "unknown key `version`", "tidy-up"),
    ("license: MIT", "compatibility: " + "x" * 501, "more than 500 characters", "tidy-up"),
    ("Puts things away. Use", "Puts: away. Use: when", "not valid YAML", "tidy-up"),
]


@pytest.mark.parametrize(("old", "new", "message", "name"), STRICT_AND_LENIENT)
def test_the_specification_is_enforced_when_strict_and_warned_of_when_lenient(
    tmp_path: Path, old: str, new: str, message: str, name: str
):
    write(tmp_path, **{"tidy-up__SKILL": FREE.replace(old, new)})
    with pytest.raises(SkillError, match=rf"SKILL\.md:[1-4]: .*{message}"):
        SkillBank.load(tmp_path)
    if "YAML" in message:  # a colon in plain text is put in quotes
        assert SkillBank.load(tmp_path, lenient=True)[name].description.startswith("Puts: away.")
        return
    bank = SkillBank.load(tmp_path, lenient=True)
    assert bank.names == (name,)
    assert any(message in warning for warning in bank.warnings)


def test_lenient_leaves_out_a_skill_without_description_and_says_so(tmp_path: Path, caplog):
    write(tmp_path, **{"tidy-up__SKILL": FREE, "lost__SKILL": "---\nname: lost\n---\nText."})
    with pytest.raises(SkillError, match=r"lost/SKILL\.md:1: `description` is missing"):
        SkillBank.load(tmp_path)
    bank = SkillBank.load(tmp_path, lenient=True)
    assert bank.names == ("tidy-up",)
    assert any("lost/SKILL.md:1: `description` is missing" in warning for warning in bank.warnings)
    assert set(bank.warnings) <= set(caplog.messages)


def test_agent_skill_names_keep_ours_beside_them(tmp_path: Path):
    bank = SkillBank((SkillFile("Pick_and_place", "T", (Skill("a", "b"),), description="d"),))
    (path,) = write_agent_skills(bank, tmp_path)
    assert path == tmp_path / "pick-and-place/SKILL.md"
    assert "name: pick-and-place\n" in path.read_text()
    assert SkillBank.load(tmp_path) == bank


# Round trips

TEXT = st.text(
    st.characters(exclude_categories=("Cs",))
    | st.sampled_from("*`:\\.#-?!\"'`{}[]|>&%@ \n\u2028\x85\ufeff\x00"),
    max_size=40,
)
FILLED = TEXT.filter(lambda text: one_line(text) != "")
PRINTABLE = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" *`:\\.#-\"'"), min_size=1, max_size=60
).filter(lambda text: text == one_line(text))
WORD = st.text(string.ascii_letters + "_*", min_size=1, max_size=12)


def banks(filled: st.SearchStrategy[str], text: st.SearchStrategy[str]) -> st.SearchStrategy[SkillBank]:
    skills = st.lists(
        st.builds(Skill, title=filled, principle=filled, when_to_apply=text, brief=text),
        min_size=1,
        max_size=4,
        unique_by=lambda skill: one_line(skill.title),
    )
    files = st.builds(
        SkillFile,
        name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]{0,10}[A-Za-z0-9]", fullmatch=True),
        title=filled,
        skills=skills.map(tuple),
        task_types=st.lists(WORD, max_size=3, unique=True).map(tuple),
        description=filled,
    )
    return st.lists(files, min_size=1, max_size=3, unique_by=lambda file: agent_name(file.name)).map(
        lambda made: SkillBank(tuple(made))
    )


def agent_name(name: str) -> str:
    return "-".join(part for part in name.lower().split("_") if part)


def with_spaces_as_written(bank: SkillBank) -> SkillBank:
    """All that writing changes: every run of white space becomes one space."""
    return SkillBank(
        tuple(
            replace(
                file,
                title=one_line(file.title),
                description=one_line(file.description),
                skills=tuple(
                    Skill(*map(one_line, (skill.title, skill.principle, skill.when_to_apply, skill.brief)))
                    for skill in file.skills
                ),
            )
            for file in bank
        )
    )


AWKWARD = SkillBank(
    (
        SkillFile(
            "a_file",
            "--- title: [",
            (
                Skill("Really?", "*When to apply:* is text here", "*Brief:* too", "mug: cabinet"),
                Skill("Ends in a stop.", "2. **Not a skill.** \\* \\", "---", "*"),
                Skill("**", "\\\\*`go to RECEPTACLE`", "", "\\"),
            ),
            ("*", "no"),
            "yes: 'it' \"is\" # not a comment",
        ),
        SkillFile("0", "null", (Skill("1", "..."),), (), "~"),
    )
)

round_trip_settings = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("write_bank", [write_markdown, write_agent_skills])
@given(bank=banks(FILLED, TEXT))
@example(AWKWARD)
@round_trip_settings
def test_round_trip_of_any_text_changes_white_space_only(tmp_path_factory, write_bank, bank: SkillBank):
    folder = tmp_path_factory.mktemp("bank")
    write_bank(bank, folder)
    read = SkillBank.load(folder)
    assert read == with_spaces_as_written(bank)
    assert read.warnings == ()


@pytest.mark.parametrize("write_bank", [write_markdown, write_agent_skills])
@given(bank=banks(PRINTABLE, PRINTABLE | st.just("")))
@round_trip_settings
def test_round_trip_of_printable_text_is_exact(tmp_path_factory, write_bank, bank: SkillBank):
    folder = tmp_path_factory.mktemp("bank")
    paths = write_bank(bank, folder)
    read = SkillBank.load(folder)
    assert read == bank
    assert read.digest == bank.digest
    # What is written is a fixed point: writing what was read changes no byte.
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_bank(read, folder)] == before


FRAGMENTS = st.sampled_from(
    [
        *(
            "---",
            "name: a",
            "name: tidy-up",
            "description: d",
            "description: a: b",
            "metadata:",
            "  title: t",
        ),
        *("  x: [", "  task-types: [b, c]", "  order: 1", "1. **T.** p", "2. **T.** q", "3. **U** r"),
        *(
            "   *Brief:* b",
            "   *When to apply:* w",
            "   more",
            "### A ###",
            "1. T: p. Apply this w.",
            "- U: p",
        ),
        *("# Heading", "```", "", "text", "\ttab"),
    ]
) | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(lines=st.lists(FRAGMENTS, max_size=14), front=st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_file_is_read_or_refused_with_its_name_and_a_line(
    tmp_path_factory, lines: list[str], front: bool
):
    folder = tmp_path_factory.getbasetemp() / "tidy-up"
    folder.mkdir(exist_ok=True)
    opening = ["---", "name: tidy-up", "description: d", "---"] if front else []
    for path in (folder / "a.md", folder / "SKILL.md"):
        path.write_text("\n".join(opening + lines), encoding="utf-8")
        for lenient in (False, True):
            problem = ""
            try:
                SkillBank.load(path, lenient=lenient)
            except SkillError as error:
                problem = str(error)
            assert not problem or re.match(rf"{re.escape(str(path))}:[0-9]+: .", problem)


# Banks


def test_the_digest_tells_contents_and_order_and_nothing_else(tmp_path: Path):
    first = SkillFile("a", "A", (Skill("t", "p"),), description="d")
    second = replace(first, name="b")
    bank = SkillBank((first, second))
    assert (
        bank.digest == SkillBank((replace(first, source="elsewhere", sha256="0", lines=(3,)), second)).digest
    )
    assert len({bank.digest, SkillBank((second, first)).digest, SkillBank((first,)).digest}) == 3


def test_subset_keeps_the_banks_order_and_knows_its_names():
    bank = SkillBank(tuple(SkillFile(name, name, (Skill("t", "p"),)) for name in "abc"))
    assert bank.subset(["c", "a"]).names == ("a", "c")
    assert bank.subset([]).names == ()
    assert "b" in bank
    assert "d" not in bank
    assert len(bank) == 3
    with pytest.raises(SkillError, match="no skill file is named 'd'; the bank has a, b, c"):
        bank.subset(["d"])
