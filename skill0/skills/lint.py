"""Checks of a skill bank that need no model: does it speak the environment's language, is it fit to be shown?

Commands in a skill's text stand in backquotes, and nothing else does. Each must have the form of some command
that the environment has offered: "take mug 1 from cabinet 2" has the form "take _ from _". In a skill a slot
is filled by a word in capitals (`take OBJECT from RECEPTACLE`), or by a name and number that has been offered
in that slot (`heat OBJECT with microwave 1`).

Left out: whether what a skill says is true, and what it might be used for (a finding about hidden characters
is no verdict about the rest of the text).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skill0.skills.bank import SkillBank
from skill0.skills.skill import Skill, SkillFile

MIN_SKILLS, MAX_SKILLS = 4, 12
"""How many skills a file should have (SKILL0's own files have 5 to 12)."""

MAX_TEXT = 400
"""Characters of title, principle and when-to-apply together that a rendered skill may take."""

MAX_BRIEF = 48
"""Characters of a brief, so that it stays one line on a page."""

_SLOT = "_"
_NAMED = re.compile(r"\b([a-z]+) [0-9]+\b")
_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z0-9_]*\b|<[^<>]+>|\{[^{}]+\}")
_BACKQUOTED = re.compile(r"`([^`]*)`")
_OLD_PUT = re.compile(r"\bput\s+[^.`]{1,40}?\bin/on\b", re.IGNORECASE)
_HIDDEN = ("Cc", "Cf", "Co", "Cn", "Cs")
"""Unicode categories of characters that a reader does not see: control, format, private use, unassigned."""


@dataclass(frozen=True, order=True)
class LintFinding:
    """Something to mend. `file` is the path it was read from, or the skill file's name."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def lint(bank: SkillBank, commands: Iterable[str]) -> list[LintFinding]:
    """Findings about a bank, by file and line.

    `commands` are commands that the environment has offered (admissible ones of many steps of many tasks);
    without any, commands in skills are not checked.
    """
    forms = command_forms(commands)
    return [finding for file in bank for finding in _lint_file(file, forms)]


def command_forms(commands: Iterable[str]) -> dict[str, tuple[set[str], ...]]:
    """The forms of commands: "go to _" -> for each slot, the names offered in it, without numbers.

    "take mug 1 from cabinet 2" gives "take _ from _" with ({"mug"}, {"cabinet"}).
    """
    forms: dict[str, tuple[set[str], ...]] = {}
    for command in commands:
        names = _NAMED.findall(command)
        slots = forms.setdefault(_NAMED.sub(_SLOT, command), tuple(set() for _ in names))
        for slot, name in zip(slots, names, strict=True):
            slot.add(name)
    return forms


def _lint_file(file: SkillFile, forms: Mapping[str, tuple[set[str], ...]]) -> Iterator[LintFinding]:
    where = file.source or file.name
    if not MIN_SKILLS <= len(file.skills) <= MAX_SKILLS:
        yield LintFinding(
            where, 1, f"{len(file.skills)} skills; a file should have {MIN_SKILLS} to {MAX_SKILLS}"
        )
    for text in (file.name, file.title, file.description):
        if hidden := _hidden(text):
            yield LintFinding(where, 1, f"hidden character {hidden} in the name, title or description")
    lines = file.lines or (1,) * len(file.skills)
    for skill, line in zip(file.skills, lines, strict=True):
        for message in _lint_skill(skill, forms):
            yield LintFinding(where, line, f"{skill.title!r}: {message}")


def _lint_skill(skill: Skill, forms: Mapping[str, tuple[set[str], ...]]) -> Iterator[str]:
    if not skill.when_to_apply:
        yield "does not say when to apply it; add a line `*When to apply:* ...`"
    texts = (skill.title, skill.principle, skill.when_to_apply)
    if (length := sum(map(len, texts))) > MAX_TEXT:
        yield f"{length} characters long; {MAX_TEXT} are enough for a skill, split or shorten it"
    if len(skill.brief) > MAX_BRIEF:
        yield f"its brief has {len(skill.brief)} characters; {MAX_BRIEF} fit on a line"
    for text in (*texts, skill.brief):
        if hidden := _hidden(text):
            yield f"hidden character {hidden}"
        if _OLD_PUT.search(text):
            yield 'speaks of "put ... in/on ...", which ALFWorld no longer understands; say `move X to Y`'
        if text.count("`") % 2:
            yield "has a backquote without its pair"
        if forms:
            for command in _BACKQUOTED.findall(text):
                if message := _command_problem(command, forms):
                    yield message


def _command_problem(command: str, forms: Mapping[str, tuple[set[str], ...]]) -> str:
    """Why a backquoted command could not be one that the environment offers; "" when it could."""
    marked = _PLACEHOLDER.sub(_SLOT, command)
    names = [match[1] for match in re.finditer(rf"{_NAMED.pattern}|(?<!\w){_SLOT}(?!\w)", marked)]
    form = _NAMED.sub(_SLOT, marked)
    slots = forms.get(form)
    if slots is None:
        verb = command.split(" ", 1)[0]
        offered = sorted(known for known in forms if known.split(" ", 1)[0] == verb) or sorted(forms)
        readable = ", ".join(known.replace(_SLOT, "X") for known in offered)
        return f"`{command}` is no command on offer; commands are: {readable} (names need their number)"
    for name, slot in zip(names, slots, strict=True):
        if name is not None and name not in slot:
            return f"`{command}`: {name!r} was never offered there, only {', '.join(sorted(slot))}"
    return ""


def _hidden(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in _HIDDEN:
            return f"U+{ord(character):04X}"
    return ""
