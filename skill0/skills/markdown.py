r"""Our skill files: front matter, then numbered skills.

    ---
    name: heat
    description: Know-how for tasks that ask for a hot object.
    metadata:
      title: Heating
      task-types: [pick_heat_then_place_in_recep]
      order: 5
    ---

    1. **Carry it to the microwave.** With the object in hand, `heat OBJECT with microwave 1`.
       *When to apply:* As soon as the object that must be hot is in hand.
       *Brief:* heat: microwave

Text of a skill may run over several indented lines, which are joined. `\*` and `\\` stand for an asterisk
and a backslash; every other character stands for itself. Writing and reading back keeps every field
character by character except white space, whose runs become one space.

Left out: nested lists, several paragraphs, and text outside the skills (an error, since nobody would see it).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skill0.errors import SkillError
from skill0.skills.front_matter import FrontMatter, dump_front_matter, split_front_matter
from skill0.skills.reading import NAME, Fail, SourceText, check_task_types, check_titles, one_line
from skill0.skills.skill import Skill, SkillFile

_SKILL = re.compile(r"[0-9]+\.[ \t]+\*\*((?:\\.|[^\\*]|\*(?!\*))+)\*\*(.*)")
_FIELD = re.compile(r"\*(When to apply|Brief):\*(.*)", re.IGNORECASE)
_KEYS = {"name", "description", "metadata"}
_METADATA_KEYS = {"title", "task-types", "order"}
IGNORED_FILES = {"readme.md"}
"""Files beside the skill files that are not skill files (in lower case)."""


# Reading


@dataclass
class _Draft:
    """A skill while its lines are collected."""

    line: int
    title: str
    fields: dict[str, list[str]] = field(default_factory=lambda: {"principle": []})
    open_field: str = "principle"

    def text(self, name: str) -> str:
        return _unescape(one_line(" ".join(self.fields.get(name, []))))


def read_markdown(
    source: SourceText, known_task_types: Collection[str] | None = None
) -> tuple[int | None, SkillFile]:
    """Read one of our files. Returns its declared place in the bank, if any, and the file.

    Raises `SkillError` (file and line) for anything that is not of the form above.
    """
    front = split_front_matter(source)
    _check_keys(front)
    name = front.text("name")
    if not NAME.fullmatch(name):
        raise source.fail(
            front.line("name"),
            f"`name` must be 1-64 letters, digits, hyphens and underscores, not {name!r}",
        )
    description = front.text("description")
    if not description:
        raise source.fail(front.line("description"), "`description` is missing; say what the skills are for")
    task_types = check_task_types(
        front.words("metadata.task-types"), known_task_types, front.line("metadata.task-types"), source.fail
    )
    skills, lines = parse_skills(front.body, front.body_line, source.fail)
    return front.number("metadata.order"), SkillFile(
        name=name,
        title=front.text("metadata.title") or readable(name),
        skills=skills,
        task_types=task_types,
        description=description,
        source=str(source.path),
        sha256=source.sha256,
        lines=lines,
    )


def parse_skills(body: str, first_line: int, fail: Fail) -> tuple[tuple[Skill, ...], tuple[int, ...]]:
    """Numbered skills and the line each starts on; `body` begins on line `first_line` of its file."""
    drafts: list[_Draft] = []
    for number, line in enumerate(body.split("\n"), first_line):
        start = _SKILL.fullmatch(line)
        if start:
            title = _unescape(one_line(start[1]).removesuffix("."))
            if not title:
                raise fail(number, "the skill has no title; write `1. **Title.** Principle.`")
            drafts.append(_Draft(number, title, {"principle": [start[2]]}))
        elif not line.strip():
            continue
        elif not drafts or not line[0].isspace():
            raise fail(
                number,
                "text outside a skill; a skill is written `1. **Title.** Principle.` and its further lines "
                "are indented",
            )
        else:
            _continue(drafts[-1], line.strip(), number, fail)
    skills = tuple(_finish(draft, fail) for draft in drafts)
    lines = tuple(draft.line for draft in drafts)
    check_titles(skills, lines, fail)
    return skills, lines


def is_numbered(body: str) -> bool:
    """Whether the first line that is not blank begins a numbered skill."""
    return _SKILL.fullmatch(body.lstrip().split("\n", 1)[0]) is not None


def readable(name: str) -> str:
    """A title for a file that has none: its name with spaces, beginning with a capital."""
    words = one_line(re.sub(r"[_-]+", " ", name)) or name
    return words[0].upper() + words[1:]


def _continue(draft: _Draft, text: str, line: int, fail: Fail) -> None:
    match = _FIELD.fullmatch(text)
    if match is None:
        draft.fields[draft.open_field].append(text)
        return
    draft.open_field = match[1].lower()
    if draft.open_field in draft.fields:
        raise fail(line, f"the skill {draft.title!r} has two `*{match[1]}:*` lines; keep one")
    draft.fields[draft.open_field] = [match[2]]


def _finish(draft: _Draft, fail: Fail) -> Skill:
    principle = draft.text("principle")
    if not principle:
        raise fail(draft.line, f"the skill {draft.title!r} has no principle; say what to do after its title")
    return Skill(draft.title, principle, draft.text("when to apply"), draft.text("brief"))


def _check_keys(front: FrontMatter) -> None:
    for key in front.values:
        if key not in _KEYS:
            raise front.source.fail(
                front.line(key),
                f"unknown key `{key}`; allowed are name, description, metadata (own data go there)",
            )
    metadata = front.values.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise front.source.fail(front.line("metadata"), "`metadata` must be `key: value` lines")
    for key in metadata:
        if key not in _METADATA_KEYS:
            raise front.source.fail(
                front.line(f"metadata.{key}"),
                f"unknown key `{key}` under `metadata`; allowed are {', '.join(sorted(_METADATA_KEYS))}",
            )


def _unescape(text: str) -> str:
    return re.sub(r"\\([\\*])", r"\1", text)


# Writing


def write_markdown(bank: Iterable[SkillFile], folder: str | Path) -> tuple[Path, ...]:
    """Write a bank as `<folder>/<name>.md`, one file each; returns the paths.

    Raises `SkillError` for a name that cannot be a file name, a missing description, a skill without title
    or principle, a character UTF-8 cannot hold, or another Markdown file already in the folder (it would be
    read as part of the bank).
    """
    folder = Path(folder)
    texts = {}
    for order, file in enumerate(bank, 1):
        if not NAME.fullmatch(file.name):
            raise SkillError(
                f"the skill file {file.name!r} cannot be written: its name must match {NAME.pattern}"
            )
        texts[folder / f"{file.name}.md"] = markdown_text(file, order)
    for path in folder.glob("*.md"):
        if path not in texts and path.name.lower() not in IGNORED_FILES:
            raise SkillError(f"{path}: would be read as part of the bank written here; use an empty folder")
    return write_texts(texts)


def markdown_text(file: SkillFile, order: int) -> str:
    """The text of one of our files; `order` is its place in the bank, from 1."""
    description = one_line(file.description)
    if not description:
        raise SkillError(f"the skill file {file.name!r} has no description; give it one to write it")
    metadata: dict[str, object] = {"title": one_line(file.title)}
    if file.task_types:
        metadata["task-types"] = list(file.task_types)
    metadata["order"] = order
    front = dump_front_matter({"name": file.name, "description": description, "metadata": metadata})
    return front + "\n" + skills_text(file)


def skills_text(file: SkillFile) -> str:
    """The numbered skills of a file, as Markdown."""
    parts = []
    for number, skill in enumerate(file.skills, 1):
        title, principle = _escape(skill.title), _escape(skill.principle)
        if not title or not principle:
            raise SkillError(f"skill {number} of {file.name!r} lacks a title or a principle")
        # A title that ends in "?" or "!" needs no full stop; one that ends in "." gets a second, which is
        # the one that reading takes away.
        stop = "" if title[-1] in "?!" else "."
        indent = " " * len(f"{number}. ")
        lines = [f"{number}. **{title}{stop}** {principle}"]
        if when := _escape(skill.when_to_apply):
            lines.append(f"{indent}*When to apply:* {when}")
        if brief := _escape(skill.brief):
            lines.append(f"{indent}*Brief:* {brief}")
        parts.append("\n".join(lines) + "\n")
    if not parts:
        raise SkillError(f"the skill file {file.name!r} has no skills")
    return "\n".join(parts)


def write_texts(texts: dict[Path, str]) -> tuple[Path, ...]:
    """Write all of them, encoded before the first is written."""
    encoded = {}
    for path, text in texts.items():
        try:
            encoded[path] = text.encode("utf-8")
        except UnicodeEncodeError as error:
            character = f"U+{ord(text[error.start]):04X}"
            raise SkillError(
                f"{path}: the character {character} cannot be written as UTF-8; remove it"
            ) from None
    for path, data in encoded.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tuple(encoded)


def _escape(text: str) -> str:
    return re.sub(r"([\\*])", r"\\\1", one_line(text))
