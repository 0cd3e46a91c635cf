"""Scripted experts for household tasks: they search, and look less far when they know where things are kept.

The expert plays the text of the ALFWorld engine, real or generated games alike. What it knows are facts
`object type -> receptacle type`, from the briefs of the skill files in its context ("mug: cabinet") or from a
convention given to it. Without a fact for what it seeks it looks into places it has not looked into, in an
order drawn from the prompt's seed: the sensible blind searcher, the fair line of "no knowledge".

Its thought says what a step is for and why: "mug: here", "mug: seen", "mug: closed", "mug: cabinet" (a fact),
"mug: anywhere". All that decides is in one prompt of the household template.

Left out on purpose: planning the shortest walk, and remembering objects that are not asked for.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from skill0.agent.policy import EpisodeState, PolicyInput, PolicyOutput, Sampling
from skill0.errors import PolicyError
from skill0.skills.skill import SkillFile

TOOLS = {
    "pick_clean_then_place_in_recep": ("clean", "sinkbasin"),
    "pick_heat_then_place_in_recep": ("heat", "microwave"),
    "pick_cool_then_place_in_recep": ("cool", "fridge"),
}
"""Task type -> what is done to the object, and the receptacle type that does it."""

UNLIKELY = frozenset({"bathtubbasin", "coffeemachine", "microwave", "sinkbasin", "stoveburner", "toaster"})
"""Receptacle types that a blind search leaves for last: things are used there rather than kept."""

_GOAL = re.compile(
    r"(?:put|find|clean|heat|cool|examine|look at)\s+(?:(?:a|an|some|two|the)\s+)?(?:(?:clean|hot|cool)\s+)?"
    r"(?P<object>[a-z]+)\s+.*\s(?P<place>[a-z]+)\.?$"
)
_NAME = r"[a-z]+ \d+"
_NUMBERED = re.compile(r"([a-z]{2,}) \d+")
_SEEN = re.compile(r"you see ([^.]*)\.")
_ARRIVED = re.compile(rf"You arrive at (?:the )?({_NAME})")
_CLOSED = re.compile(rf"(?:The ({_NAME}) is closed|You close the ({_NAME}))")
_OPENED = re.compile(rf"You open the ({_NAME})")
_TOOK = re.compile(rf"You (?:pick up|take) the ({_NAME}) from the ({_NAME})")
_MOVED = re.compile(rf"You (?:move|put) the ({_NAME}) (?:to|in/on|in|on) the ({_NAME})")
_TREATED = re.compile(rf"You (?:clean|heat|cool) the ({_NAME})")


def facts_of(files: Iterable[SkillFile]) -> dict[str, str]:
    """`object type -> receptacle type`, from the briefs of skill files ("mug: cabinet").

    A brief of another form states no such fact and is passed over.
    """
    facts: dict[str, str] = {}
    for file in files:
        for skill in file.skills:
            key, colon, value = skill.brief.partition(":")
            if colon and re.fullmatch(r"[a-z]+", key.strip()) and re.fullmatch(r"[a-z]+", value.strip()):
                facts[key.strip()] = value.strip()
    return facts


@dataclass(frozen=True)
class Goal:
    """What the instruction asks for: an object type and the receptacle (or lamp) type it must get to."""

    object: str
    place: str


def parse_goal(instruction: str) -> Goal:
    """The goal of one of ALFWorld's templated instructions.

    Raises `PolicyError` for a sentence of another form (a human-written annotation, for instance).
    """
    match = _GOAL.match(instruction.strip().lower().removeprefix("your task is to:").strip())
    if match is None:
        raise PolicyError(
            f"the expert cannot read the instruction {instruction!r}; it knows ALFWorld's templated ones only"
        )
    return Goal(match["object"], match["place"])


@dataclass
class Memory:
    """What an episode has shown so far. Names are the engine's ("cabinet 2")."""

    receptacles: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    contents: dict[str, list[str]] = field(default_factory=dict)
    at: str | None = None
    holding: str | None = None
    treated: set[str] = field(default_factory=set)
    placed: set[str] = field(default_factory=set)

    def observe(self, text: str) -> None:
        """Take in one observation."""
        seen = _SEEN.search(text)
        if not self.receptacles and seen:
            self.receptacles = sorted(_names(seen[1]), key=_by_number)
            return
        if arrived := _ARRIVED.search(text):
            self.at = arrived[1]
            self.visited.add(arrived[1])
        if closed := _CLOSED.search(text):
            self.closed.add(closed[1] or closed[2])
        if opened := _OPENED.search(text):
            self.closed.discard(opened[1])
        if self.at and self.at not in self.closed and seen:
            self.contents[self.at] = _names(seen[1])
        if took := _TOOK.search(text):
            self.holding = took[1]
            self._forget(took[1])
        if moved := _MOVED.search(text):
            self.holding = None
            self.placed.add(moved[1])
            self.contents.setdefault(moved[2], []).append(moved[1])
        if treated := _TREATED.search(text):
            self.treated.add(treated[1])

    def places_of(self, object_type: str) -> list[str]:
        """Receptacles where an object of the type was last seen, leaving out objects put down on purpose."""
        return [
            place
            for place, names in self.contents.items()
            if any(kind(name) == object_type and name not in self.placed for name in names)
        ]

    def _forget(self, name: str) -> None:
        for names in self.contents.values():
            if name in names:
                names.remove(name)


def kind(name: str) -> str:
    """The type of a numbered name: "cabinet 2" -> "cabinet"; "" for any other text."""
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else ""


def remember(state: EpisodeState) -> Memory:
    """The memory of an episode, rebuilt from its whole history."""
    memory = Memory()
    for past in state.history:
        memory.observe(past.observation)
    memory.observe(state.observation.text)
    return memory


HERE, SEEN, CLOSED, ANYWHERE = "here", "seen", "closed", "anywhere"
"""Reasons that name no kind of place: it is here; it was seen elsewhere; this is closed, look into it;
nothing is known, search on."""


@dataclass(frozen=True)
class Choice:
    """One decision: the action, what it is for (`key`: an object type, a treatment or "put"), and its reason:
    a kind of place that is known to be right, or one of the words above.

    `among` are the places that a blind search drew from, each as likely as any other; empty when the expert
    had a reason.
    """

    key: str
    reason: str
    action: str
    among: tuple[str, ...] = ()

    @property
    def reply(self) -> str:
        return f"<think>{self.key}: {self.reason}</think><action>{self.action}</action>"

    @property
    def drawn(self) -> str:
        """The place that was drawn from `among`."""
        return self.action.rpartition(" to ")[2]


class SearchingExpert:
    """A `Policy` that looks at `PolicyInput.state` instead of the prompt.

    It knows what the skill files in context state, and `convention` if one is given (then whatever the
    context). The same state and seed give the same reply, in whatever batch.
    """

    def __init__(self, convention: Mapping[str, str] | None = None) -> None:
        self.convention = dict(convention or {})

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        replies = []
        for item in inputs:
            reply = "" if item.state is None else self.choose(item.state, item.seed).reply
            replies.append(PolicyOutput(reply, (), (), None))
        return replies

    def choose(self, state: EpisodeState, seed: int) -> Choice:
        """The decision at a state. `seed` orders the places a blind search may go to."""
        facts = {**self.convention, **facts_of(state.skills)}
        return Decision(state, facts, random.Random(seed)).choice()

    def detours(self, state: EpisodeState) -> list[str]:
        """Commands that a detour may be: walks, while nothing is held."""
        if remember(state).holding is not None:
            return []
        return [action for action in state.observation.admissible or () if action.startswith("go to ")]


class Decision:
    """One decision, with everything it looks at in reach."""

    def __init__(self, state: EpisodeState, facts: Mapping[str, str], draw: random.Random) -> None:
        self.goal = parse_goal(state.task.instruction)
        self.task_type = state.task.task_type
        self.memory = remember(state)
        self.facts = facts
        self.admissible = state.observation.admissible or ()
        self.draw = draw

    def choice(self) -> Choice:
        held = self.memory.holding
        if held is None:
            return self._seek(self.goal.object, take=True)
        if kind(held) != self.goal.object:
            return self._put_down(held)
        if self.task_type == "look_at_obj_in_light":
            return self._use_lamp()
        if self.task_type in TOOLS and held not in self.memory.treated:
            return self._treat(held, *TOOLS[self.task_type])
        return self._deliver(held)

    def _seek(self, object_type: str, *, take: bool) -> Choice:
        """Get to an object of a type: take it when it is here, else go where it was seen, else search."""
        memory, here = self.memory, self.memory.at
        for name in memory.contents.get(here or "", ()):
            action = f"take {name} from {here}"
            wanted = kind(name) == object_type and name not in memory.placed
            if take and wanted and action in self.admissible:
                return Choice(object_type, HERE, action)
        seen = [name for name in memory.places_of(object_type) if name != here]
        if seen:
            return Choice(object_type, SEEN, f"go to {seen[0]}")
        if here in memory.closed and f"open {here}" in self.admissible and self._worth_opening(object_type):
            return Choice(object_type, CLOSED, f"open {here}")
        kept = [name for name in self._unsearched() if kind(name) == self.facts.get(object_type)]
        if kept:
            return Choice(object_type, kind(kept[0]), f"go to {kept[0]}")
        return self._search(object_type)

    def _worth_opening(self, object_type: str) -> bool:
        """Whether to look into a closed place here, rather than go to a better one."""
        here, kept = kind(str(self.memory.at)), self.facts.get(object_type)
        if kept is not None and here != kept:
            return not any(kind(name) == kept for name in self._unsearched())
        return here != self.goal.place or not self._likely()

    def _unsearched(self) -> list[str]:
        """Places elsewhere that were not looked into."""
        memory = self.memory
        looked_into = memory.visited - memory.closed
        return [name for name in memory.receptacles if name not in looked_into and name != memory.at]

    def _likely(self) -> list[str]:
        """Where a blind search goes first. Not to the goal's own place: what is wanted there is not there."""
        unlikely = UNLIKELY | {self.goal.place}
        return [name for name in self._unsearched() if kind(name) not in unlikely]

    def _search(self, object_type: str) -> Choice:
        elsewhere = [name for name in self.memory.receptacles if name != self.memory.at]
        rest = [name for name in self._unsearched() if kind(name) != self.goal.place]
        among = self._likely() or rest or self._unsearched() or elsewhere
        return Choice(object_type, ANYWHERE, f"go to {self.draw.choice(among)}", tuple(among))

    def _treat(self, held: str, verb: str, tool: str) -> Choice:
        for action in self.admissible:
            if action.startswith(f"{verb} {held} with "):
                return Choice(verb, HERE, action)
        return Choice(verb, tool, f"go to {self._nearest(tool)}")

    def _deliver(self, held: str) -> Choice:
        here = self.memory.at
        if here is not None and kind(here) == self.goal.place:
            for reason, action in ((HERE, f"move {held} to {here}"), (CLOSED, f"open {here}")):
                if action in self.admissible:
                    return Choice("put", reason, action)
        return Choice("put", self.goal.place, f"go to {self._nearest(self.goal.place)}")

    def _put_down(self, held: str) -> Choice:
        for action in self.admissible:
            if action.startswith(f"move {held} to "):
                return Choice("put", HERE, action)
        among = tuple(name for name in self.memory.receptacles if name != self.memory.at)
        return Choice("put", ANYWHERE, f"go to {self.draw.choice(among)}", among)

    def _use_lamp(self) -> Choice:
        lamp = self.goal.place
        for action in self.admissible:
            if action.startswith(f"use {lamp} "):
                return Choice(lamp, HERE, action)
        return self._seek(lamp, take=False)

    def _nearest(self, receptacle_type: str) -> str:
        """The receptacle of a type to carry things to: one already seen if there is one, else the first."""
        places = [n for n in self.memory.receptacles if kind(n) == receptacle_type and n != self.memory.at]
        if not places:
            raise PolicyError(f"there is no other {receptacle_type} in {', '.join(self.memory.receptacles)}")
        placed = [n for n in places if set(self.memory.contents.get(n, ())) & self.memory.placed]
        return (placed or places)[0]


def _names(listing: str) -> list[str]:
    """Numbered names in a listing such as "a mug 1, and a bread 2"."""
    return re.findall(_NAME, listing)


def _by_number(name: str) -> tuple[str, int]:
    return kind(name), int(name.rsplit(" ", 1)[1])
