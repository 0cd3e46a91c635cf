"""What the readers of all skill formats share: bytes to text, errors that name a line, deviations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skill0.errors import SkillError
from skill0.skills.skill import EVERY_TASK_TYPE, Skill

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a skill file may be called where its name becomes a file name."""

Fail = Callable[[int, str], SkillError]
"""Makes the error for (line, message) of the file that is being read."""


@dataclass(frozen=True)
class SourceText:
    """A file as read: text with "\\n" line ends and no byte-order mark, and the hash of its bytes."""

    path: Path
    text: str
    sha256: str

    def fail(self, line: int, message: str) -> SkillError:
        return SkillError(f"{self.path}:{line}: {message}")


@dataclass
class Deviations:
    """Departures from a specification: errors when strict, collected messages when lenient."""

    lenient: bool
    messages: list[str] = field(default_factory=list)

    def report(self, error: SkillError) -> None:
        """Raise `error`, or keep its message when lenient."""
        if not self.lenient:
            raise error
        self.messages.append(str(error))

    def note(self, message: str) -> None:
        """Keep a message about something that is allowed but is worth telling."""
        self.messages.append(message)


def read_source(path: Path) -> SourceText:
    """Read a UTF-8 text file.

    Raises `SkillError` when it is missing, unreadable, empty, or not UTF-8 (naming the line of the first bad
    byte).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SkillError(f"{path}:1: no such skill file; check the path") from None
    except OSError as error:
        raise SkillError(f"{path}:1: cannot be read ({error.strerror or error})") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SkillError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise SkillError(f"{path}:1: the file is empty; write its skills or remove it")
    return SourceText(path, text, hashlib.sha256(data).hexdigest())


def one_line(text: str) -> str:
    """`text` with every run of white space made one space, and none at its ends: Markdown's own reading of
    a paragraph, and the only thing that writing and reading a skill changes about its text."""
    return " ".join(text.split())


def check_titles(skills: Sequence[Skill], lines: Sequence[int], fail: Fail) -> None:
    """Raise when there is no skill, or when two skills have the same title."""
    if not skills:
        raise fail(1, "the file has no skills; each is written `1. **Title.** Principle.`")
    first: dict[str, int] = {}
    for skill, line in zip(skills, lines, strict=True):
        if skill.title in first:
            raise fail(
                line,
                f"the skill title {skill.title!r} is already used on line {first[skill.title]}; rename one",
            )
        first[skill.title] = line


def check_task_types(
    task_types: Sequence[str], known: Collection[str] | None, line: int, fail: Fail
) -> tuple[str, ...]:
    """The declared task types, checked to be words, distinct, and (where `known` is given) known ones."""
    for index, task_type in enumerate(task_types):
        if not isinstance(task_type, str) or not task_type or task_type.split() != [task_type]:
            raise fail(line, f"a task type is one word, not {task_type!r}")
        if task_type in task_types[:index]:
            raise fail(line, f"the task type {task_type!r} is declared twice")
        if known is not None and task_type != EVERY_TASK_TYPE and task_type not in known:
            raise fail(
                line,
                f"unknown task type {task_type!r}; known are {', '.join(sorted(known))} "
                f"and {EVERY_TASK_TYPE!r} for all of them",
            )
    return tuple(task_types)
