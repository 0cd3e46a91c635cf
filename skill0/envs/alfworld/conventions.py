"""A household's conventions: for every object type, the receptacle type where it is usually kept.

A convention is what the skill files of a household tell. It says nothing about how many receptacles of the
type there are, or which of them holds the object.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeAlias

from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.rooms import HouseholdSettings, rooms
from skill0.errors import ConfigError

Convention: TypeAlias = Mapping[str, str]
"""Object type -> receptacle type, both in lower case as the engine names them: "mug" -> "cabinet"."""


def sample_convention(seed: int, settings: HouseholdSettings | None = None) -> dict[str, str]:
    """A convention for every object type of the settings' rooms, the lamp included, from a seed.

    Each type is kept in one of the receptacle types that can hold it and are in its room whatever the
    household; all are equally likely. The order is alphabetical.
    """
    settings = settings or HouseholdSettings()
    draw = random.Random(f"convention {settings.size} {seed}")
    options: dict[str, tuple[str, ...]] = {}
    for room in rooms(settings.size):
        for kind in (*room.objects, *([room.lamp] if room.lamp else [])):
            places = room.places_for(kind)
            # A lamp may stand in several rooms: keep it where all of them have a place for it.
            both = tuple(place for place in places if place in options.get(kind, places))
            options[kind] = both or options[kind]
    return {kind: draw.choice(options[kind]) for kind in sorted(options)}


def targets(settings: HouseholdSettings | None = None) -> dict[str, tuple[str, ...]]:
    """The object types that each task type may ask for, in the order of the settings' task types."""
    settings = settings or HouseholdSettings()
    kinds: dict[str, tuple[str, ...]] = {}
    for task_type in settings.task_types:
        found = {kind for room in rooms(settings.size) for kind in room.targets.get(task_type, ())}
        kinds[task_type] = tuple(sorted(found))
    return kinds


def check_convention(convention: Convention) -> None:
    """Raise `ConfigError` if a name is unknown or an object type is kept where it cannot be."""
    counted = placements()
    for kind, place in convention.items():
        if kind not in counted.objects:
            raise ConfigError(f"convention: unknown object type {kind!r} (lower case, as in 'soapbar')")
        if not counted.can_hold(place, kind):
            able = sorted(name for name in counted.accepts if counted.can_hold(name, kind))
            raise ConfigError(
                f"convention: a {kind!r} cannot be kept in {place!r}, only in {', '.join(able)}"
            )
