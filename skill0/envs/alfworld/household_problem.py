"""A furnished room with a goal, written as the PDDL problem the ALFWorld engine plays, and its winning plan.

The engine's own rules shape the text (each is tested against the engine):
- An id must contain `_bar_` to be numbered, and numbers are dealt out in descending order of the sorted ids;
  the suffix 999 - number makes the engine say "mug 2" where the household says mug number 2.
- A basin's id must read `Sink_bar_..._SinkBasin`: the engine appends "basin" to the name before `_bar_`.
- The agent starts where no receptacle is, so that the introduction says "in the middle of a room".
- Every receptacle has a location of its own; of two that share one, nobody can "go to" the second.
- `canContain` is needed for each pair of types, or "move" is never admissible and the goal out of reach.
- Types no thing of the household has (other tools, knives) may be absent.
- A thing is named by its type and number; facts not given are false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.rooms import APPLIANCES, Treatment

_START = "loc_bar_0"


@dataclass(frozen=True)
class Receptacle:
    """A place that holds things. `kind` is in lower case; numbers count from 1 within a kind."""

    kind: str
    number: int
    openable: bool

    @property
    def name(self) -> str:
        """What the engine calls it: "cabinet 2"."""
        return f"{self.kind} {self.number}"


@dataclass(frozen=True)
class Item:
    """A thing and the receptacle it is in."""

    kind: str
    number: int
    place: Receptacle

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"


@dataclass(frozen=True)
class Goal:
    """What to achieve: with one thing of kind `target` (two in the pick-two task) at a receptacle of kind
    `destination`, or, in the look task, in the hand under the `lamp`. The thing must have had `treatments`,
    and, if `nothing_else`, be in no state that another treatment would have left."""

    task_type: str
    target: str
    destination: str = ""
    lamp: str = ""
    treatments: tuple[Treatment, ...] = ()
    nothing_else: bool = False

    @property
    def count(self) -> int:
        return 2 if self.task_type == "pick_two_obj_and_place" else 1


@dataclass(frozen=True)
class Household:
    """One game's world at its start, all receptacles closed. The first `goal.count` items are those that the
    plan uses; the lamp follows them where the goal needs one. `accepts` are pairs (receptacle kind, item
    kind) that may be put together here, besides those that ALFWorld's own rooms allow."""

    room: str
    receptacles: tuple[Receptacle, ...]
    items: tuple[Item, ...]
    goal: Goal
    accepts: frozenset[tuple[str, str]] = field(default_factory=frozenset)


_INSTRUCTIONS = {
    "pick_and_place_simple": ("put a {o} in {d}.", "put some {o} on {d}."),
    "look_at_obj_in_light": ("look at {o} under the {l}.", "examine the {o} with the {l}."),
    "pick_clean_then_place_in_recep": ("put a clean {o} in {d}.", "clean some {o} and put it in {d}."),
    "pick_heat_then_place_in_recep": ("put a hot {o} in {d}.", "heat some {o} and put it in {d}."),
    "pick_cool_then_place_in_recep": ("put a cool {o} in {d}.", "cool some {o} and put it in {d}."),
    "pick_two_obj_and_place": ("put two {o} in {d}.", "find two {o} and put them in {d}."),
}


def instructions(goal: Goal) -> tuple[str, ...]:
    """The sentences ALFWorld has for the goal; the agent is given one of them."""
    return tuple(
        text.format(o=goal.target, d=goal.destination, l=goal.lamp) for text in _INSTRUCTIONS[goal.task_type]
    )


def winning_plan(household: Household) -> tuple[str, ...]:
    """The shortest commands that win, for one who knows where everything is.

    Each target is fetched (and treated, where the task says so) and brought to the first receptacle of the
    destination's kind; in the look task the lamp is switched on with the target in hand.
    """
    goal, commands = household.goal, []
    here: Receptacle | None = None
    opened: set[Receptacle] = set()

    def go(place: Receptacle) -> None:
        nonlocal here
        if place != here:
            commands.append(f"go to {place.name}")
            here = place

    def reach(place: Receptacle) -> None:
        go(place)
        if place.openable and place not in opened:
            commands.append(f"open {place.name}")
            opened.add(place)

    for item in household.items[: goal.count]:
        reach(item.place)
        commands.append(f"take {item.name} from {item.place.name}")
        for treatment in goal.treatments:
            tool = _first(household, treatment.tool, near=here)
            go(tool)
            commands.append(f"{treatment.verb} {item.name} with {tool.name}")
        if goal.lamp:
            lamp = household.items[goal.count]
            go(lamp.place)
            commands.append(f"use {lamp.name}")
        else:
            destination = _first(household, goal.destination)
            reach(destination)
            commands.append(f"move {item.name} to {destination.name}")
    return tuple(commands)


def _first(household: Household, kind: str, near: Receptacle | None = None) -> Receptacle:
    """A receptacle of a kind: the one the agent stands at, else one that needs no opening, else the first."""
    able = [place for place in household.receptacles if place.kind == kind]
    if near in able:
        return near
    return min(able, key=lambda place: (place.openable, place.number))


def problem_text(household: Household, name: str) -> str:
    """The PDDL problem (domain `alfred`). `name` must be a PDDL identifier."""
    return (
        f"(define (problem {name})\n(:domain alfred)\n"
        f"(:objects\n{_lines(_objects(household))})\n"
        f"(:init\n{_lines(_facts(household))})\n"
        f"(:goal (and {_goal(household.goal)}))\n)\n"
    )


def _lines(parts: Iterator[str]) -> str:
    return "".join(f"  {part}\n" for part in parts)


def _objects(household: Household) -> Iterator[str]:
    yield "agent1 - agent"
    yield f"{_START} - location"
    for index, place in enumerate(household.receptacles, start=1):
        yield f"loc_bar_{index} - location"
        yield f"{_identifier(place)} - receptacle"
    for item in household.items:
        yield f"{_identifier(item)} - object"
    for kind in sorted({place.kind for place in household.receptacles}):
        yield f"{_type(kind)} - rtype"
    for kind in sorted({item.kind for item in household.items}):
        yield f"{_type(kind)} - otype"


def _facts(household: Household) -> Iterator[str]:
    counted = placements()
    location = {place: f"loc_bar_{index}" for index, place in enumerate(household.receptacles, start=1)}
    yield f"(atLocation agent1 {_START})"
    for place in household.receptacles:
        yield f"(receptacleType {_identifier(place)} {_type(place.kind)})"
        yield f"(receptacleAtLocation {_identifier(place)} {location[place]})"
        if place.openable:
            yield f"(openable {_identifier(place)})"
    item_kinds = sorted({item.kind for item in household.items})
    for place_kind in sorted({place.kind for place in household.receptacles}):
        for kind in item_kinds:
            own = (place_kind, kind) in household.accepts
            if own or kind in counted.accepts.get(place_kind, frozenset()):
                yield f"(canContain {_type(place_kind)} {_type(kind)})"
    for item in household.items:
        yield f"(objectType {_identifier(item)} {_type(item.kind)})"
        yield f"(inReceptacle {_identifier(item)} {_identifier(item.place)})"
        yield f"(objectAtLocation {_identifier(item)} {location[item.place]})"
        for affordance in counted.objects[item.kind].affordances:
            yield f"({affordance} {_identifier(item)})"


def _goal(goal: Goal) -> str:
    """The goal formula of ALFWorld's goal library for the task type, bound to the goal's types. States that
    the thing must not be in are negative literals, which that library has none of."""
    target, place = _type(goal.target), goal.destination and _type(goal.destination)
    if goal.task_type == "look_at_obj_in_light":
        return (
            "(exists (?t - object ?r - receptacle ?a - agent ?l - location) (and "
            f"(objectType ?t {_type(goal.lamp)}) (toggleable ?t) (isToggled ?t) "
            "(receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?t ?r))) "
            f"(exists (?o - object ?a - agent) (and (objectType ?o {target}) (holds ?a ?o)))"
        )
    if goal.task_type == "pick_two_obj_and_place":
        return (
            f"(exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 {target}) "
            f"(receptacleType ?r {place}) (inReceptacle ?o1 ?r) (exists (?o2 - object) (and "
            f"(not (= ?o1 ?o2)) (objectType ?o2 {target}) (receptacleType ?r {place}) "
            "(inReceptacle ?o2 ?r))))))"
        )
    parts = [f"({treatment.affordance} ?o) ({treatment.state} ?o) " for treatment in goal.treatments]
    if goal.nothing_else:
        others = [other for other in APPLIANCES.values() if other not in goal.treatments]
        parts += [f"(not ({other.state} ?o)) " for other in others]
    return (
        f"(exists (?r - receptacle) (exists (?o - object) (and {''.join(parts)}(inReceptacle ?o ?r) "
        f"(objectType ?o {target}) (receptacleType ?r {place}))))"
    )


def _type(kind: str) -> str:
    return f"{placements().pddl[kind]}Type"


def _identifier(thing: Receptacle | Item) -> str:
    name, suffix = placements().pddl[thing.kind], f"{999 - thing.number:03d}"
    if thing.kind.endswith("basin"):
        return f"{name[: -len('basin')]}_bar_{suffix}_bar_{name}"
    return f"{name}_bar_{suffix}"
