"""What an attentive reader of an episode knows, in one line, kept from the observations alone.

Where the agent is and what it found there, what it holds and what was done to it, where things that the task
names were seen or put down, and which receptacles were not looked into. Very short prompts show it instead of
a history; a command that fails ("Nothing happens.") then hides nothing.
"""

from __future__ import annotations

import re

_NAME = r"[a-z]+ \d+"
_LISTED = re.compile(r"you see (.+?)\.", re.DOTALL)
_ARRIVED = re.compile(rf"^You arrive at ({_NAME})\.")
_OPENED = re.compile(rf"^You open the ({_NAME})\.")
_CLOSED = re.compile(rf"^You close the ({_NAME})\.")
_TAKEN = re.compile(rf"^You pick up the ({_NAME}) from the ({_NAME})\.")
_PLACED = re.compile(rf"^You move the ({_NAME}) to the ({_NAME})\.")
_TREATED = re.compile(rf"^You (clean|heat|cool) the ({_NAME}) ")

REFUSED = "Nothing happens."
"""How the engine answers a command that it does not accept."""

_MOST_REFUSED = 4
"""Refused commands that are told, the last ones: a policy may try any number."""

_STATE_AFTER = {"clean": "clean", "heat": "hot", "cool": "cool"}
_ENDS = {"heat": "cool", "cool": "hot"}
"""What a treatment undoes."""


class EpisodeStatus:
    """Follows one episode.

    Args:
        intro: The first observation, which names every receptacle of the room.
        instruction: The task. Of things elsewhere, only kinds that it names are told.
        tells_refused: Whether commands that were refused since the last accepted one are told.
    """

    def __init__(self, intro: str, instruction: str = "", *, tells_refused: bool = False):
        self._tells_refused = tells_refused
        self._refused: list[str] = []
        self._named = set(re.findall(r"[a-z]+", instruction.lower()))
        self._unsearched = sorted(names_listed(intro), key=_by_name_and_number)
        self._at = ""
        self._closed = False
        self._held = ""
        self._contents: dict[str, list[str]] = {}
        self._states: dict[str, list[str]] = {}
        self._placed: dict[str, str] = {}

    def update(self, observation: str, command: str = "") -> None:
        """Take in the engine's answer to one command."""
        if observation.strip() != REFUSED:
            self._refused.clear()
        elif command:
            others = [refused for refused in self._refused if refused != command]
            self._refused = [*others, command][-_MOST_REFUSED:]
        if match := _ARRIVED.match(observation):
            self._at = match[1]
            self._look(observation, closed=f"The {match[1]} is closed." in observation)
        elif match := _OPENED.match(observation):
            self._look(observation, closed=False)
        elif _CLOSED.match(observation):
            self._closed = True
        elif match := _TAKEN.match(observation):
            self._held = match[1]
            self._placed.pop(match[1], None)
            self._contents[match[2]] = [name for name in self._contents.get(match[2], []) if name != match[1]]
        elif match := _PLACED.match(observation):
            self._held = ""
            self._placed[match[1]] = match[2]
            self._contents.setdefault(match[2], []).append(match[1])
        elif match := _TREATED.match(observation):
            ended = _ENDS.get(match[1])
            states = [state for state in self._states.get(match[2], []) if state != ended]
            self._states[match[2]] = list(dict.fromkeys([*states, _STATE_AFTER[match[1]]]))

    def __str__(self) -> str:
        """For instance "at: shelf 1 | here: pan 1 | holding: mug 2 (clean) | unsearched: cabinet 1"."""
        parts = [f"at: {self._at or 'start'}"]
        if self._at:
            found = [name for name in self._contents.get(self._at, []) if name not in self._placed]
            parts.append(f"here: {'closed' if self._closed else ', '.join(found) or 'nothing'}")
        parts.append(f"holding: {self._described(self._held) or 'nothing'}")
        if self._refused and self._tells_refused:
            parts.append(f"refused: {', '.join(self._refused)}")
        parts += self._elsewhere()
        parts.append(f"unsearched: {', '.join(self._unsearched) or 'none'}")
        return " | ".join(parts)

    def _look(self, observation: str, closed: bool) -> None:
        self._closed = closed
        if not closed:
            self._contents[self._at] = names_listed(observation)
            self._unsearched = [name for name in self._unsearched if name != self._at]

    def _described(self, name: str) -> str:
        states = self._states.get(name)
        return f"{name} ({', '.join(states)})" if states else name

    def _elsewhere(self) -> list[str]:
        """Where things that the task names were put down, and where else they were seen."""
        seen = [
            f"{name} at {place}"
            for place, names in self._contents.items()
            for name in names
            if place != self._at and name not in self._placed and name.rpartition(" ")[0] in self._named
        ]
        placed = [f"{name} at {place}" for name, place in self._placed.items()]
        told = (("placed", placed), ("seen", seen))
        return [f"{word}: {', '.join(things)}" for word, things in told if things]


def names_listed(observation: str) -> list[str]:
    """ "... you see a cabinet 2, a cabinet 1, and a fridge 1." -> cabinet 2, cabinet 1, fridge 1."""
    listed = _LISTED.search(observation)
    return re.findall(_NAME, listed[1]) if listed else []


def _by_name_and_number(receptacle: str) -> tuple[str, int]:
    name, _, number = receptacle.rpartition(" ")
    return name, int(number)
