"""A skill, and the file of skills that the curriculum keeps or withdraws as one."""

from __future__ import annotations

from dataclasses import dataclass, field

EVERY_TASK_TYPE = "*"
"""Declared as a task type, it means that the file serves all of them (general skills)."""


@dataclass(frozen=True)
class Skill:
    """One piece of know-how: *title: principle. When to apply.*

    `brief` is an optional one-line form (for instance `mug: cabinet`) that compact page styles show
    instead of the sentences.
    """

    title: str
    principle: str
    when_to_apply: str = ""
    brief: str = ""


@dataclass(frozen=True)
class SkillFile:
    """A named group of skills: the unit S_k that helpfulness is measured for (SKILL0, section 3).

    `task_types` are the declared task types the file serves; empty means undeclared.
    `source` is the path it was read from ("" for one made in memory); `sha256` is of the file's bytes;
    `lines` tells on which line of `source` each skill starts (empty for one made in memory).
    """

    name: str
    title: str
    skills: tuple[Skill, ...]
    task_types: tuple[str, ...] = ()
    description: str = ""
    source: str = field(default="", compare=False)
    sha256: str = field(default="", compare=False)
    lines: tuple[int, ...] = field(default=(), compare=False)

    def declares(self, task_type: str) -> bool:
        """Whether the file declares that it serves a task type, by name or as one of all."""
        return EVERY_TASK_TYPE in self.task_types or task_type in self.task_types
