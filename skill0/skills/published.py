"""The format of SKILL0's published code: `### NAME ###` sections and a `skill_mapping.json`.

    skill_mapping.json   {"skill_files": {"general_skills": "general_skills.md", "heat": "heat.md"},
                          "task_to_skill": {"pick_heat_then_place_in_recep": "heat"}}
    heat.md              ### TASK: heat ###

                         A sentence that introduces the skills.

                         1. Title: Principle. Apply this when it applies.

The names in `skill_files` become the names of our files, in that order; the sentence becomes the file's
description. Deviations from how the published code reads it: there a listed file that is missing counts as
an empty one, here it is an error; `general_skills`, which there goes into every prompt, is declared here for
every task type; `pick_and_place`, which there is found within the names of the Pick games, is declared as
ALFWorld's own `pick_and_place_simple`. A single file of several sections is read as one skill file each.

Left out: writing this format, and `task_keywords` (a later fork's hint for guessing task types; noted).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from skill0.skills.markdown import readable
from skill0.skills.reading import (
    Deviations,
    SourceText,
    check_task_types,
    check_titles,
    one_line,
    read_source,
)
from skill0.skills.skill import EVERY_TASK_TYPE, Skill, SkillFile

MAPPING = "skill_mapping.json"
GENERAL = "general_skills"
TASK_TYPE_NAMES = {"pick_and_place": "pick_and_place_simple"}
"""Task types whose name in the published mapping is not the environment's."""

_SECTION = re.compile(r"#{3}[ \t]*(.+?)[ \t]*#{3}[ \t]*")
_ITEM = re.compile(r"(?:[0-9]+\.|[-*])[ \t]+(.*)")
_WHEN = re.compile(
    r"\s*\b(?:Apply this|When to apply:)\s+(?!.*\b(?:Apply this|When to apply:)\s)(.*)", re.DOTALL
)


def has_sections(text: str) -> bool:
    """Whether a file begins with a `### NAME ###` section."""
    return _SECTION.fullmatch(text.lstrip().split("\n", 1)[0]) is not None


def read_published(
    folder: Path, known_task_types: Collection[str] | None, deviations: Deviations
) -> tuple[SkillFile, ...]:
    """Read the bank a `skill_mapping.json` describes.

    Raises `SkillError` (file and line) when a listed file is missing, lies outside the folder or has no
    skills, when a task type is mapped to a name that is not listed, and for JSON that is not of this form.
    """
    mapping = read_source(folder / MAPPING)
    data = _load_mapping(mapping)
    names, served = _names(data, "skill_files", mapping), _names(data, "task_to_skill", mapping)
    for key in sorted(set(data) - {"skill_files", "task_to_skill"}):
        deviations.note(f"{mapping.path}:{_line_of(mapping, key)}: not read: {key}")
    for task_type, name in served.items():
        if name not in names:
            raise mapping.fail(
                _line_of(mapping, task_type, last=True),
                f"the task type {task_type!r} is mapped to {name!r}, which is not in skill_files",
            )
    files = []
    for name, file_name in names.items():
        path = folder / file_name.replace("\0", "")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise mapping.fail(_line_of(mapping, name), f"{file_name!r} lies outside {folder}")
        if not path.is_file():
            raise mapping.fail(
                _line_of(mapping, name), f"{file_name!r} (skill file {name!r}) is listed but missing"
            )
        declared = [
            TASK_TYPE_NAMES.get(task_type, task_type) for task_type in served if served[task_type] == name
        ]
        types = [EVERY_TASK_TYPE] if name == GENERAL else declared
        types = check_task_types(types, known_task_types, _line_of(mapping, name), mapping.fail)
        source = read_source(path)
        files.append(_make_file(source, name, _split(source), types))
    if not files:
        raise mapping.fail(1, "skill_files lists no file")
    return tuple(files)


def read_sections(source: SourceText) -> tuple[SkillFile, ...]:
    """Read a file without a mapping: a skill file for each section; the general one serves every type."""
    files = []
    for section in _split(source):
        name = _section_name(section[1])
        files.append(_make_file(source, name, [section], (EVERY_TASK_TYPE,) if name == GENERAL else ()))
    return tuple(files)


def _make_file(
    source: SourceText, name: str, sections: list[tuple[int, str, list[str]]], task_types: tuple[str, ...]
) -> SkillFile:
    skills: list[Skill] = []
    lines: list[int] = []
    introductions: list[str] = []
    for start, _, text in sections:
        introduction, section_skills, section_lines = _parse_section(source, start, text)
        introductions.append(introduction)
        skills += section_skills
        lines += section_lines
    check_titles(skills, lines, source.fail)
    description = (
        one_line(" ".join(introductions)) or f"Skills: {'; '.join(skill.title for skill in skills)}."
    )
    return SkillFile(
        name=name,
        title=readable(name),
        skills=tuple(skills),
        task_types=task_types,
        description=description,
        source=str(source.path),
        sha256=source.sha256,
        lines=tuple(lines),
    )


def _split(source: SourceText) -> list[tuple[int, str, list[str]]]:
    """(line, header, lines after it) of every section."""
    sections: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(source.text.split("\n"), 1):
        header = _SECTION.fullmatch(line)
        if header:
            sections.append((number, header[1], []))
        elif sections:
            sections[-1][2].append(line)
        elif line.strip():
            raise source.fail(number, "text before the first section; begin with a line `### NAME ###`")
    return sections


def _parse_section(source: SourceText, start: int, text: list[str]) -> tuple[str, list[Skill], list[int]]:
    introduction: list[str] = []
    items: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text, start + 1):
        item = _ITEM.fullmatch(line.strip())
        if item:
            items.append((number, [item[1]]))
        elif items:
            items[-1][1].append(line)
        else:
            introduction.append(line)
    skills = [_parse_item(source, number, one_line(" ".join(parts))) for number, parts in items]
    return one_line(" ".join(introduction)), skills, [number for number, _ in items]


def _parse_item(source: SourceText, line: int, text: str) -> Skill:
    title, colon, rest = text.partition(":")
    title, rest = title.strip(" *"), rest.strip(" *")
    if not colon or not title or not rest:
        raise source.fail(line, "a skill is written `1. Title: Principle. Apply this when it applies.`")
    when = _WHEN.search(rest)
    if when is None or not rest[: when.start()].strip():
        return Skill(title, rest)
    applies = when[1].strip()
    return Skill(title, rest[: when.start()].strip(), applies[:1].upper() + applies[1:])


def _section_name(header: str) -> str:
    name = re.sub(r"(?i)^task\s*:\s*", "", header)
    return re.sub(r"[^A-Za-z0-9-]+", "_", name.lower()).strip("_")


def _load_mapping(source: SourceText) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise source.fail(_line_of(source, key, last=True), f"{key!r} is given twice; keep one")
            seen[key] = value
        return seen

    try:
        data = json.loads(source.text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise source.fail(error.lineno, f"not valid JSON: {error.msg}") from None
    except RecursionError:
        raise source.fail(1, "not valid JSON for a skill mapping: nested too deeply") from None
    if not isinstance(data, dict):
        raise source.fail(1, "must be an object with skill_files and task_to_skill")
    return data


def _names(data: dict[str, Any], key: str, source: SourceText) -> dict[str, str]:
    value = data.get(key)
    if value is None:
        raise source.fail(1, f"{key} is missing")
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value.values()):
        raise source.fail(_line_of(source, key), f"{key} must map names to names")
    return value


def _line_of(source: SourceText, key: str, *, last: bool = False) -> int:
    """The line on which `key` stands as a key of the JSON text (the first, or the last such line)."""
    pattern = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:")
    lines = [source.text.count("\n", 0, match.start()) + 1 for match in pattern.finditer(source.text)]
    return (lines[-1] if last else lines[0]) if lines else 1
