"""Transcripts: an episode as JSON lines, `{"role": "observation", "text": "You see a mug 1."}` each.

Other keys are passed over, blank lines too. What is read is text to be shown, nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

from skill0.context.roles import ROLE_COLOURS, ROLES, Segment
from skill0.errors import RenderError


def read_transcript(path: str | Path) -> list[Segment]:
    """The segments of a transcript, in order.

    Raises `RenderError`, naming file and line, for a missing file and for a line that is no role and text.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"{path}: cannot be read as a transcript: {error}") from error
    return [_segment(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


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
