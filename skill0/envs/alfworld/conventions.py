"""A household's conventions: for every object type, the receptacle type where it is usually kept.

A convention is what the skill files of a household tell. It says nothing about how many receptacles of the
type there are, or which of them holds the object. In households of kind "procedure" the keys are the
household's own words instead of object types (`procedures`); a settings' kind decides.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeAlias

from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.procedures import FAMILIES, family_and_form, procedure_options, sample_procedure
from skill0.envs.alfworld.rooms import HouseholdSettings, rooms
from skill0.errors import ConfigError

Convention: TypeAlias = Mapping[str, str]
"""Object type -> receptacle type, both in lower case as the engine names them: "mug" -> "cabinet"; or a word
of the household -> receptacle type: "festive" -> "sinkbasin"."""


def sample_convention(seed: int, settings: HouseholdSettings | None = None) -> dict[str, str]:
    """A convention for every object type of the settings' rooms, the lamp included, from a seed; or for every
    word of a household of kind "procedure".

    Each type is kept in one of the receptacle types that `options` names; all are equally likely. The order
    is alphabetical.
    """
    settings = settings or HouseholdSettings()
    if settings.kind == "procedure":
        return sample_procedure(seed)
    draw = random.Random(f"convention {settings.size} {seed}")
    return {key: draw.choice(values) for key, values in options(settings).items()}


def options(settings: HouseholdSettings | None = None) -> dict[str, tuple[str, ...]]:
    """Every key of the settings' conventions, in alphabetical order, and the values that it may have.

    An object type may be kept in the receptacle types that can hold it and are in its room whatever the
    household.
    """
    settings = settings or HouseholdSettings()
    if settings.kind == "procedure":
        return procedure_options()
    found: dict[str, tuple[str, ...]] = {}
    for room in rooms(settings.size):
        for kind in (*room.objects, *([room.lamp] if room.lamp else [])):
            places = room.places_for(kind)
            # A lamp may stand in several rooms: keep it where all of them have a place for it.
            both = tuple(place for place in places if place in found.get(kind, places))
            found[kind] = both or found[kind]
    return {kind: found[kind] for kind in sorted(found)}


def targets(settings: HouseholdSettings | None = None) -> dict[str, tuple[str, ...]]:
    """The object types that each task type may ask for, or the words that it may use, in the order of the
    settings' task types."""
    settings = settings or HouseholdSettings()
    if settings.kind == "procedure":
        families = {name: FAMILIES[family_and_form(name)[0]] for name in settings.task_types}
        return {name: (*family.words, *family.recipients) for name, family in families.items()}
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
