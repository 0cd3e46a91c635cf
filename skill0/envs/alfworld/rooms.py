"""The rooms that households are generated in, and the settings of the generator.

Small households are one-room flats made for a tiny policy: every receptacle type that things are kept in is
always there, in one or two instances, and each object type is the target of one kind of task only, so that a
skill file tells about its own tasks and no others. Medium and large households are furnished like ALFWorld's
own kitchens, living rooms, bedrooms and bathrooms (`placements`), at most four of a kind when medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from skill0.envs.alfworld.games import PROCEDURE_TASK_TYPES, TASK_TYPES
from skill0.envs.alfworld.placements import placements
from skill0.errors import ConfigError

LAMP = "desklamp"
"""The lamp of the look tasks: the only one the official games use."""


@dataclass(frozen=True)
class Treatment:
    """What a task does to the object on the way: the verb, the receptacle type that does it, the object's
    affordance, and the state it is in afterwards (a predicate of the domain)."""

    verb: str
    tool: str
    affordance: str
    state: str


TREATMENTS: Mapping[str, Treatment] = {
    "pick_clean_then_place_in_recep": Treatment("clean", "sinkbasin", "cleanable", "isClean"),
    "pick_heat_then_place_in_recep": Treatment("heat", "microwave", "heatable", "isHot"),
    "pick_cool_then_place_in_recep": Treatment("cool", "fridge", "coolable", "isCool"),
}

APPLIANCES: Mapping[str, Treatment] = {treatment.tool: treatment for treatment in TREATMENTS.values()}
"""Receptacle type -> what is done there."""


@dataclass(frozen=True)
class Room:
    """A kind of room.

    `furniture` lists possible numbers of receptacles per type, one mapping to be drawn for each household;
    `kept` are the receptacle types that a convention may name (there is always at least one of each);
    `targets` are the object types each task type may ask for here; `lamp` is "" where no lamp stands.
    """

    name: str
    furniture: tuple[Mapping[str, int], ...]
    kept: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]
    lamp: str = ""

    @property
    def objects(self) -> tuple[str, ...]:
        """All object types that may lie about in the room, in alphabetical order."""
        return tuple(sorted({kind for kinds in self.targets.values() for kind in kinds}))

    def places_for(self, object_kind: str) -> tuple[str, ...]:
        """The receptacle types where a convention may keep an object type."""
        return tuple(kind for kind in self.kept if placements().can_hold(kind, object_kind))


_FLAT_TARGETS = {
    "pick_and_place_simple": ("candle", "cd", "cellphone", "creditcard", "keychain", "pencil"),
    "pick_two_obj_and_place": ("candle", "cd", "cellphone", "creditcard", "keychain", "pencil"),
    "look_at_obj_in_light": ("alarmclock", "newspaper", "statue", "vase", "watch"),
    "pick_clean_then_place_in_recep": ("cloth", "dishsponge", "kettle", "ladle", "soapbar"),
    "pick_heat_then_place_in_recep": ("cup", "egg", "mug", "plate", "potato"),
    "pick_cool_then_place_in_recep": ("apple", "bowl", "pan", "pot", "winebottle"),
}
_FLAT_KEPT = ("cabinet", "countertop", "desk", "diningtable", "drawer", "fridge", "shelf", "sidetable")
_FLAT_TWICE = ("cabinet", "drawer", "shelf", "countertop")


def _flat() -> Room:
    """Ten receptacles, or up to two more: one type at a time may be there twice."""
    once = dict.fromkeys((*_FLAT_KEPT, "microwave", "sinkbasin"), 1)
    pairs = [(a, b) for i, a in enumerate(_FLAT_TWICE) for b in _FLAT_TWICE[i + 1 :]]
    furniture = [once, *({**once, a: 2} for a in _FLAT_TWICE), *({**once, a: 2, b: 2} for a, b in pairs)]
    return Room("flat", tuple(furniture), _FLAT_KEPT, _FLAT_TARGETS, LAMP)


_KEPT = {
    "kitchen": ("cabinet", "countertop", "diningtable", "drawer", "fridge", "sidetable"),
    "living": ("armchair", "coffeetable", "diningtable", "drawer", "dresser", "shelf", "sidetable", "sofa"),
    "bedroom": ("bed", "desk", "drawer", "dresser", "shelf", "sidetable"),
    "bathroom": ("cabinet", "countertop", "drawer", "shelf", "toilet"),
}


def _official_room(name: str) -> Room:
    """One of ALFWorld's four rooms, with the object types that are mostly found in it."""
    counted, kept = placements(), _KEPT[name]
    homes = [
        kind
        for kind, facts in counted.objects.items()
        if max(facts.rooms, key=lambda room: facts.rooms[room]) == name
        and "pickupable" in facts.affordances
        and sum(counted.can_hold(place, kind) for place in kept) >= 2
    ]
    lamp = LAMP if name in ("bedroom", "living") else ""
    furniture = counted.scenes[name]
    present = {kind for scene in furniture for kind in scene}
    targets = {}
    for task_type in TASK_TYPES:
        treatment = TREATMENTS.get(task_type)
        if treatment is None:
            possible = lamp != "" or task_type != "look_at_obj_in_light"
            kinds = homes if possible else []
        else:
            able = [kind for kind in homes if treatment.affordance in counted.objects[kind].affordances]
            kinds = able if treatment.tool in present else []
        if kinds:
            targets[task_type] = tuple(sorted(kinds))
    return Room(name, furniture, kept, targets, lamp)


@lru_cache(maxsize=3)
def rooms(size: str) -> tuple[Room, ...]:
    """The rooms a household of the size may be."""
    return (_flat(),) if size == "small" else tuple(map(_official_room, _KEPT))


@dataclass(frozen=True)
class HouseholdSettings:
    """What generated households are like.

    Args:
        kind (`str`, *optional*, defaults to `"facts"`):
            What a household's convention tells: `"facts"`, where things are kept, or `"procedure"`, what the
            household's own words ask to be done with them (see `procedures`; small households only).
        size (`str`, *optional*, defaults to `"small"`):
            `"small"` (10-12 receptacles, for a tiny policy), `"medium"` or `"large"` (furnished like
            ALFWorld's own rooms, at most four receptacles of a type when medium).
        task_types (`tuple[str, ...]`, *optional*, defaults to all of the kind):
            The task types, taken in turn: some of `TASK_TYPES`, or of `PROCEDURE_TASK_TYPES`.
        adherence (`float`, *optional*, defaults to `1.0`):
            Probability that an object is where the convention says. Otherwise it is drawn from the
            location priors among the other places.
        extra_objects (`tuple[int, int]`, *optional*):
            Smallest and largest number of objects besides the task's own; there are fewer only where a
            room has three of every kind. Defaults to (4, 8), (10, 20) and (20, 40) by size.
        max_instances (`int`, *optional*):
            At most so many receptacles of one type. Defaults to 2, 4 and no limit by size.
        placements (`Mapping[str, Mapping[str, float]]`, *optional*, defaults to `{}`):
            Location priors that replace the counted ones: object type -> receptacle type -> weight.

    Raises:
        ConfigError: a value is out of range, or a name is unknown.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    kind: Literal["facts", "procedure"] = "facts"
    size: Literal["small", "medium", "large"] = "small"
    task_types: tuple[str, ...] = ()
    adherence: float = 1.0
    extra_objects: tuple[int, int] | None = None
    max_instances: int | None = None
    placements: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size not in _SIZES:
            raise ConfigError(f"size must be one of {', '.join(_SIZES)}; got {self.size!r}")
        if self.kind not in _TASK_TYPES:
            raise ConfigError(f"kind must be one of {', '.join(_TASK_TYPES)}; got {self.kind!r}")
        if self.kind == "procedure" and self.size != "small":
            raise ConfigError(f"households of kind 'procedure' are small; got size={self.size!r}")
        known = _TASK_TYPES[self.kind]
        if not self.task_types:
            object.__setattr__(self, "task_types", known)
        if [name for name in self.task_types if name not in known]:
            raise ConfigError(
                f"task_types must be some of {', '.join(known)} in households of kind {self.kind!r}; "
                f"got {self.task_types!r}"
            )
        if not 0 <= self.adherence <= 1:
            raise ConfigError(f"adherence is a probability, so between 0 and 1; got {self.adherence}")
        low, high = self.extra_range
        if not 0 <= low <= high:
            raise ConfigError(
                f"extra_objects must be (smallest, largest) with 0 <= smallest <= largest; got {low, high}"
            )
        if self.max_instances is not None and self.max_instances < 1:
            raise ConfigError(f"max_instances must be at least 1; got {self.max_instances}")
        self._check_placements()

    def _check_placements(self) -> None:
        counted = placements()
        for kind, weights in self.placements.items():
            if kind not in counted.objects:
                raise ConfigError(f"placements: unknown object type {kind!r} (lower case, as in 'sinkbasin')")
            for place, weight in weights.items():
                if weight < 0 or not counted.can_hold(place, kind):
                    raise ConfigError(
                        f"placements: a {place!r} cannot hold a {kind!r}, or the weight {weight} is negative"
                    )

    @property
    def extra_range(self) -> tuple[int, int]:
        return self.extra_objects if self.extra_objects is not None else _SIZES[self.size][0]

    @property
    def instance_limit(self) -> int | None:
        return self.max_instances if self.max_instances is not None else _SIZES[self.size][1]


_TASK_TYPES: Mapping[str, tuple[str, ...]] = {"facts": TASK_TYPES, "procedure": PROCEDURE_TASK_TYPES}

# size -> (range of extra objects, receptacles of one type at most)
_SIZES: Mapping[str, tuple[tuple[int, int], int | None]] = {
    "small": ((4, 8), 2),
    "medium": ((10, 20), 4),
    "large": ((20, 40), None),
}
