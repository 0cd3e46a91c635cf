"""Episodes as JSON lines, to be shown.

A *transcript* says who said what: `{"role": "observation", "text": "You see a mug 1."}` each, other keys are
passed over. *Recorded turns* are those of a run, each with the page as the policy saw it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill0.context.page import Page
from skill0.context.roles import ROLE_COLOURS, ROLES, Segment
from skill0.errors import ConfigError, RenderError

TURNS_FILE = "turns.jsonl"
"""Where a run's folder keeps its recorded turns."""


@dataclass(frozen=True)
class RecordedTurn:
    """One turn of a run: whose, what the policy acted on and replied, and its page (None without one)."""

    task: str
    arm: str
    turn: int
    observation: str
    reply: str
    valid: bool
    page: Page | None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "page": None if self.page is None else self.page.to_json()}


def read_turns(path: str | Path) -> list[RecordedTurn]:
    """The turns of a file that a run has written, in order.

    Raises `RenderError`, naming file and line, for a missing file and for a line that is no turn.
    """
    path = Path(path)
    return [_turn(line, f"{path}:{number}") for number, line in _lines(path)]


def _turn(line: str, place: str) -> RecordedTurn:
    try:
        content = json.loads(line)
        page = None if content["page"] is None else Page.from_json(content["page"])
        return RecordedTurn(**{**content, "page": page})
    except (ValueError, KeyError, TypeError, ConfigError, RecursionError) as error:
        raise RenderError(f"{place}: is no recorded turn: {error!r}") from error


def read_transcript(path: str | Path) -> list[Segment]:
    """The segments of a transcript, in order.

    Raises `RenderError`, naming file and line, for a missing file and for a line that is no role and text.
    """
    path = Path(path)
    return [_segment(line, f"{path}:{number}") for number, line in _lines(path)]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that hold something, numbered from 1."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"{path}: cannot be read as lines of an episode: {error}") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _segment(line: str, place: str) -> Segment:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RenderError(f"{place}: is not JSON: {error}") from error
    role = record.get("role") if isinstance(record, dict) else None
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(role, str) or role not in ROLE_COLOURS:
        raise RenderError(f'{place}: a line needs a "role", one of {", ".join(ROLES)}, not {role!r}')
    if not isinstance(text, str):
        raise RenderError(f'{place}: a line needs a "text" that is a string, not {type(text).__name__}')
    return Segment(role, text)
