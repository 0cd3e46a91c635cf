"""What kinds of things there are in ALFWorld's rooms, and where: counted from the official train games.

The counts are in `placements.json`, with their source; `examples/count_placements.py` makes that file. Names
here are the engine's, in lower case ("sinkbasin"); `pddl` spells them as PDDL types do ("SinkBasin").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class ObjectKind:
    """An object type: what can be done to it, and in how many games' rooms and receptacles it was found."""

    affordances: tuple[str, ...]
    rooms: Mapping[str, int]
    found: Mapping[str, int]


@dataclass(frozen=True)
class Placements:
    """`accepts` tells which object types a receptacle type may hold (the engine's `canContain`), `openable`
    which share of a receptacle type's instances can be opened, `scenes` how many receptacles of each type the
    real rooms have."""

    objects: Mapping[str, ObjectKind]
    accepts: Mapping[str, frozenset[str]]
    openable: Mapping[str, float]
    scenes: Mapping[str, tuple[Mapping[str, int], ...]]
    pddl: Mapping[str, str]

    def can_hold(self, receptacle: str, object_kind: str) -> bool:
        """Whether an object of the kind can be in such a receptacle at the start of a game.

        Lamps cannot be moved, so no receptacle "accepts" one; they stand where they were found.
        """
        if "pickupable" not in self.objects[object_kind].affordances:
            return receptacle in self.objects[object_kind].found
        return object_kind in self.accepts.get(receptacle, frozenset())


@lru_cache(maxsize=1)
def placements() -> Placements:
    """The counts, read once."""
    text = (resources.files("skill0.envs.alfworld") / "placements.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    names = {*raw["accepts"], *raw["objects"]}
    names |= {kind for scenes in raw["scenes"].values() for scene in scenes for kind in scene}
    return Placements(
        objects={
            name.lower(): ObjectKind(tuple(kind["affordances"]), kind["rooms"], _lower(kind["found"]))
            for name, kind in raw["objects"].items()
        },
        accepts={name.lower(): frozenset(map(str.lower, kinds)) for name, kinds in raw["accepts"].items()},
        openable=_lower(raw["openable"]),
        scenes={room: tuple(map(_lower, scenes)) for room, scenes in raw["scenes"].items()},
        pddl={name.lower(): name for name in names},
    )


def _lower(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.lower(): number for name, number in counts.items()}
