"""One line about an episode's state, kept from the observations alone: what is held, what was not visited.

It tells nothing that an attentive reader of the episode would not know. Very short prompts show it instead of
a history.
"""

from __future__ import annotations

import re

_LISTED = re.compile(r"you see (.+?)\.", re.DOTALL)
_ARRIVED = re.compile(r"^You arrive at (.+?)\. ")
_TAKEN = re.compile(r"^You pick up the (.+?) from the ")
_PLACED = re.compile(r"^You move the (.+?) to the ")


class EpisodeStatus:
    """Follows one episode.

    Args:
        intro: The first observation, which names every receptacle of the room.
    """

    def __init__(self, intro: str):
        self._held = ""
        self._unvisited = sorted(receptacles_named(intro), key=_by_name_and_number)

    def update(self, observation: str) -> None:
        """Take in the engine's answer to one command."""
        if match := _ARRIVED.match(observation):
            self._unvisited = [name for name in self._unvisited if name != match[1]]
        elif match := _TAKEN.match(observation):
            self._held = match[1]
        elif _PLACED.match(observation):
            self._held = ""

    def __str__(self) -> str:
        """For instance "holding: mug 2 | unvisited: cabinet 1, fridge 1"."""
        return f"holding: {self._held or 'nothing'} | unvisited: {', '.join(self._unvisited) or 'none'}"


def receptacles_named(intro: str) -> list[str]:
    """ "... you see a cabinet 2, a cabinet 1, and a fridge 1." -> cabinet 2, cabinet 1, fridge 1."""
    listed = _LISTED.search(intro)
    if listed is None or listed[1] == "nothing":
        return []
    items = re.split(r", (?:and )?", listed[1])
    return [item.removeprefix("a ").strip() for item in items]


def _by_name_and_number(receptacle: str) -> tuple[str, int]:
    name, _, number = receptacle.rpartition(" ")
    return (name, int(number)) if number.isdigit() else (receptacle, 0)
