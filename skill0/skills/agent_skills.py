"""Agent Skills folders: `<name>/SKILL.md` with front matter and a free Markdown body (agentskills.io).

What the public specification asks of the front matter is checked when strict and collected as warnings
when lenient. A body in our numbered form is read as such; any other body becomes one skill per heading, its
text on one line (the layout of lists and code blocks is lost; a note says so).

Left out: the files beside SKILL.md (scripts, references, assets) are neither read nor run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from skill0.errors import SkillError
from skill0.skills.front_matter import FrontMatter, dump_front_matter, split_front_matter
from skill0.skills.markdown import is_numbered, parse_skills, readable, skills_text, write_texts
from skill0.skills.reading import Deviations, SourceText, check_task_types, check_titles, one_line
from skill0.skills.skill import Skill, SkillFile

MAX_NAME = 64
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500
"""Limits of the specification, in characters."""

_KEYS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
_OWN_METADATA = {"title", "task-types", "order", "skill0-name"}
_HEADING = re.compile(r"#{1,6}[ \t]+(.*?)[ \t]*#*")


# Reading


def read_agent_skill(
    source: SourceText, known_task_types: Collection[str] | None, deviations: Deviations
) -> tuple[int | None, SkillFile]:
    """Read one SKILL.md. Returns its declared place in the bank, if any, and the file.

    Raises `SkillError` (file and line) for every departure from the specification when strict; when lenient,
    only for what leaves nothing to read: no front matter, no description, no skills.
    """
    front = split_front_matter(source, repair=deviations.lenient)
    folder = source.path.parent.name
    name = _check_name(front, folder, deviations)
    description = _check_description(front, deviations)
    _check_keys(front, deviations)
    task_types = check_task_types(
        front.words("metadata.task-types"), known_task_types, front.line("metadata.task-types"), source.fail
    )
    title = front.text("metadata.title") or readable(name)
    skills, lines = _read_body(front, title, deviations)
    return front.number("metadata.order"), SkillFile(
        name=front.text("metadata.skill0-name") or name,
        title=title,
        skills=skills,
        task_types=task_types,
        description=description,
        source=str(source.path),
        sha256=source.sha256,
        lines=lines,
    )


def name_problem(name: str) -> str:
    """Why `name` is not a name the specification allows; "" when it is one."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"must have 1-{MAX_NAME} characters, has {len(name)}"
    if name != name.lower():
        return "must be lower case"
    if not all(character.isalnum() or character == "-" for character in name):
        return "may hold letters, digits and hyphens only"
    if name.startswith("-") or name.endswith("-") or "--" in name:
        return "must neither begin nor end with a hyphen, nor have two in a row"
    return ""


def _check_name(front: FrontMatter, folder: str, deviations: Deviations) -> str:
    fail, line = front.source.fail, front.line("name")
    name = unicodedata.normalize("NFKC", front.text("name"))
    if not name:
        deviations.report(fail(line, f"`name` is missing; it must be the folder's name, {folder!r}"))
        return folder
    if problem := name_problem(name):
        deviations.report(fail(line, f"`name` {name!r} {problem}"))
    elif name != unicodedata.normalize("NFKC", folder):
        deviations.report(fail(line, f"`name` {name!r} must equal the folder's name, {folder!r}"))
    return name


def _check_description(front: FrontMatter, deviations: Deviations) -> str:
    fail, line = front.source.fail, front.line("description")
    description = front.text("description")
    if not description:
        raise fail(line, "`description` is missing; say what the skill does and when to use it")
    if len(description) > MAX_DESCRIPTION:
        deviations.report(
            fail(line, f"`description` has {len(description)} characters; {MAX_DESCRIPTION} are allowed")
        )
    return description


def _check_keys(front: FrontMatter, deviations: Deviations) -> None:
    fail = front.source.fail
    for key in front.values:
        if key not in _KEYS:
            deviations.report(
                fail(front.line(key), f"unknown key `{key}`; own data go under `metadata` ({sorted(_KEYS)})")
            )
    compatibility = front.values.get("compatibility")
    if isinstance(compatibility, str) and len(compatibility) > MAX_COMPATIBILITY:
        deviations.report(
            fail(front.line("compatibility"), f"`compatibility` has more than {MAX_COMPATIBILITY} characters")
        )
    metadata = front.values.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise fail(front.line("metadata"), "`metadata` must be `key: value` lines")
    unread = sorted(_KEYS & set(front.values) - {"name", "description", "metadata"})
    unread += [f"metadata.{key}" for key in metadata if key not in _OWN_METADATA]
    if unread:
        deviations.note(f"{front.source.path}:1: not kept: {', '.join(map(str, unread))}")


def _read_body(
    front: FrontMatter, title: str, deviations: Deviations
) -> tuple[tuple[Skill, ...], tuple[int, ...]]:
    """Numbered skills when the body begins with one, else its headings. A body that begins with a numbered
    skill and goes on otherwise is an error when strict, and read by its headings when lenient."""
    if is_numbered(front.body):
        try:
            return parse_skills(front.body, front.body_line, front.source.fail)
        except SkillError as error:
            deviations.report(error)
    skills, lines = _sections(front, title)
    deviations.note(
        f"{front.source.path}:{front.body_line}: free text, read as {len(skills)} skill(s) by its headings"
    )
    return skills, lines


def _sections(front: FrontMatter, title: str) -> tuple[tuple[Skill, ...], tuple[int, ...]]:
    """One skill per heading that has text under it; text before the first heading goes under `title`."""
    sections: list[tuple[int, str, list[str]]] = [(front.body_line, title, [])]
    fenced = False
    for number, line in enumerate(front.body.split("\n"), front.body_line):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading and one_line(heading[1]):
            sections.append((number, one_line(heading[1]), []))
        else:
            sections[-1][2].append(line)
    skills, lines = [], []
    for number, name, text in sections:
        if principle := one_line("\n".join(text)):
            skills.append(Skill(name, principle))
            lines.append(number)
    check_titles(skills, lines, front.source.fail)
    return tuple(skills), tuple(lines)


# Writing


def write_agent_skills(bank: Iterable[SkillFile], folder: str | Path) -> tuple[Path, ...]:
    """Write a bank as `<folder>/<name>/SKILL.md`, one folder each; returns the paths.

    Underscores and capitals, which the specification does not allow in names, become hyphens and small
    letters; the bank's own name is kept under `metadata`. Raises `SkillError` for a name or description
    outside the specification's limits, two names that become one, or another skill already in the folder.
    """
    folder = Path(folder)
    texts: dict[Path, str] = {}
    for order, file in enumerate(bank, 1):
        name = _specification_name(file)
        path = folder / name / "SKILL.md"
        if path in texts:
            raise SkillError(f"{path}: two skill files would be written here; rename {file.name!r}")
        texts[path] = _skill_text(file, name, order)
    for path in folder.glob("*/SKILL.md"):
        if path not in texts:
            raise SkillError(f"{path}: would be read as part of the bank written here; use an empty folder")
    return write_texts(texts)


def _specification_name(file: SkillFile) -> str:
    name = re.sub(r"-+", "-", unicodedata.normalize("NFKC", file.name).lower().replace("_", "-")).strip("-")
    if problem := name_problem(name):
        raise SkillError(
            f"the skill file {file.name!r} cannot be an Agent Skill: its name {name!r} {problem}"
        )
    return name


def _skill_text(file: SkillFile, name: str, order: int) -> str:
    description = one_line(file.description)
    if not 1 <= len(description) <= MAX_DESCRIPTION:
        raise SkillError(
            f"the skill file {file.name!r} cannot be an Agent Skill: its description must have "
            f"1-{MAX_DESCRIPTION} characters, has {len(description)}"
        )
    metadata = {"title": one_line(file.title)}
    if file.task_types:
        metadata["task-types"] = " ".join(file.task_types)  # the specification allows text values only
    metadata["order"] = str(order)
    if name != file.name:
        metadata["skill0-name"] = file.name
    front = dump_front_matter({"name": name, "description": description, "metadata": metadata})
    return front + "\n" + skills_text(file)
