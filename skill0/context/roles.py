"""Who says a piece of text, and the colour that shows it.

Colour follows the role the caller gives, never what the text says: an observation that imitates an
action stays blue.
"""

from __future__ import annotations

from dataclasses import dataclass

from skill0.errors import ConfigError

BLACK, BLUE, RED, GREY = (0, 0, 0), (0, 0, 255), (255, 0, 0), (110, 110, 110)

ROLE_COLOURS: dict[str, tuple[int, int, int]] = {
    "skill": BLACK,
    "observation": BLUE,
    "action": RED,
    "query": BLUE,
    "information": RED,
    "note": GREY,
}
"""RGB by role. ALFWorld shows observations and actions, Search queries and information (SKILL0)."""

ROLES = tuple(ROLE_COLOURS)

HISTORY_ROLES = frozenset({"observation", "action", "query", "information"})
"""Roles that may be dropped, oldest first, when a page is full. Skills and notes may not."""


@dataclass(frozen=True)
class Segment:
    """A piece of text and who says it. It starts on a new line of the page.

    `role` is one of `ROLES`; any string is allowed as `text`. Raises `ConfigError` for another role.
    """

    role: str
    text: str

    def __post_init__(self) -> None:
        if self.role not in ROLE_COLOURS:
            raise ConfigError(f"a segment's role must be one of {', '.join(ROLES)}, not {self.role!r}")
