"""One round of selection as it is recorded: an entry of the curriculum's timeline, JSON data in a checkpoint.

Tests: tests/curriculum/test_curriculum.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skill0.curriculum.helpfulness import Helpfulness
from skill0.errors import ConfigError


@dataclass(frozen=True)
class CurriculumChange:
    """One round of selection at `step`: what stayed, what went, and why, for every file that was active.

    `helpfulness` is that of files active when it was measured: of a file that is not shown there is none.

    Raises:
        ConfigError: helpfulness of a file that was not active, or filed under another name.
    """

    step: int
    stage: int
    budget: int
    kept: tuple[str, ...]
    withdrawn: tuple[str, ...]
    reasons: dict[str, str]
    helpfulness: dict[str, Helpfulness] = field(default_factory=dict)

    def __post_init__(self) -> None:
        absent = sorted(set(self.helpfulness) - {*self.kept, *self.withdrawn})
        if absent:
            raise ConfigError(f"helpfulness at step {self.step} of {absent}, which were not in context then")
        check_names(self.helpfulness)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "kept": list(self.kept),
            "withdrawn": list(self.withdrawn),
            "helpfulness": {name: item.to_json() for name, item in self.helpfulness.items()},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> CurriculumChange:
        return CurriculumChange(
            step=data["step"],
            stage=data["stage"],
            budget=data["budget"],
            kept=tuple(data["kept"]),
            withdrawn=tuple(data["withdrawn"]),
            reasons=dict(data["reasons"]),
            helpfulness={name: Helpfulness.from_json(item) for name, item in data["helpfulness"].items()},
        )


def check_names(helpfulness: Mapping[str, Helpfulness]) -> None:
    """Raises `ConfigError` where helpfulness is filed under another name than its own."""
    misfiled = [f"{item.name!r} as {name!r}" for name, item in helpfulness.items() if item.name != name]
    if misfiled:
        raise ConfigError(f"helpfulness is filed under another file's name: {', '.join(misfiled)}")
