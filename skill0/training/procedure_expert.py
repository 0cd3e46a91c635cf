"""The scripted expert for households whose skills are procedure: it guesses what it does not know.

What it knows are facts `word -> receptacle type`, from the briefs of the skill files in its context
("festive: sinkbasin", "guests: shelf") or from a convention given to it. For the rest it guesses as one would
who knows how such households work but not this one: different words stand for different appliances, any place
but the one where things stand may be right, and what was brought in vain to a place in some state is not
tried again.

Each decision follows from what can be seen now: at an appliance or place that may be right it acts there, so
a guess, once walked to, is carried out. A reader that knows all makes no detour, and leaves out a treatment
that the next would undo.

Left out on purpose: weighing a guess against the steps it takes to undo it.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skill0.agent.policy import EpisodeState
from skill0.envs.alfworld.procedures import THINGS, lasting
from skill0.envs.alfworld.rooms import APPLIANCES, HouseholdSettings
from skill0.errors import PolicyError
from skill0.training.searching_expert import (
    ANYWHERE,
    HERE,
    SEEN,
    Choice,
    SearchingExpert,
    facts_of,
    kind,
    remember,
)

_ERRAND = re.compile(
    r"bring a (?P<words>[a-z]+(?: and [a-z]+)*) (?P<object>[a-z]+) to the (?P<recipient>[a-z]+)\.?$"
)
_TREATED = re.compile(r"You (clean|heat|cool) the ([a-z]+ \d+)")
_MOVED = re.compile(r"You (?:move|put) the ([a-z]+ \d+) (?:to|in/on|in|on) the ([a-z]+) \d+")
_TOOK = re.compile(r"You (?:pick up|take) the ([a-z]+ \d+) from the ([a-z]+) \d+")

_APPLIANCE = {treatment.verb: appliance for appliance, treatment in APPLIANCES.items()}


@dataclass(frozen=True)
class Errand:
    """What the instruction asks for, in the household's own words."""

    words: tuple[str, ...]
    object: str
    recipient: str


def parse_errand(instruction: str) -> Errand:
    """ "bring a festive and merry mug to the guests." -> its words (festive, merry), mug, guests.

    Raises `PolicyError` for a sentence of another form.
    """
    match = _ERRAND.match(instruction.strip().lower())
    if match is None:
        raise PolicyError(
            f"the expert for procedures cannot read the instruction {instruction!r}; "
            "SearchingExpert reads those of ALFWorld"
        )
    return Errand(tuple(match["words"].split(" and ")), match["object"], match["recipient"])


@dataclass(frozen=True)
class Guess:
    """One way the convention may be: an appliance for each word of the errand, and the recipient's place."""

    appliances: tuple[str, ...]
    place: str

    @property
    def wanted(self) -> frozenset[str]:
        """The states that the object must end in."""
        return states_after(self.appliances)


def states_after(appliances: Sequence[str]) -> frozenset[str]:
    """The domain's states of a thing that had these treatments, in this order."""
    return frozenset(treatment.state for treatment in lasting(appliances))


@dataclass(frozen=True)
class Step:
    """The next thing to do under a guess: at a receptacle of type `place`, for the sake of the word `key`."""

    key: str
    place: str


def expert_for(
    households: HouseholdSettings | None, convention: Mapping[str, str] | None = None
) -> SearchingExpert:
    """The scripted expert for a kind of households; `convention` is what it knows besides its page."""
    if households is not None and households.kind == "procedure":
        return ProcedureExpert(convention)
    return SearchingExpert(convention)


class ProcedureExpert(SearchingExpert):
    """A `Policy` like `SearchingExpert`, for the task types of procedure."""

    def choose(self, state: EpisodeState, seed: int) -> Choice:
        """The decision at a state. `seed` draws the guesses.

        Raises `PolicyError` if the instruction is not of this kind.
        """
        facts = {**self.convention, **facts_of(state.skills)}
        return _Decision(state, facts, random.Random(seed)).choice()


class _Decision:
    """One decision, with everything it looks at in reach."""

    def __init__(self, state: EpisodeState, facts: Mapping[str, str], draw: random.Random) -> None:
        self.errand = parse_errand(state.task.instruction)
        self.memory = remember(state)
        self.facts = facts
        self.admissible = state.observation.admissible or ()
        self.draw = draw
        self.had: dict[str, list[str]] = defaultdict(list)  # thing -> appliances it was treated with
        self.in_vain: set[tuple[frozenset[str], str]] = set()  # (states, place) that did not win
        self.stood = facts.get(THINGS, "")
        for text in (*(past.observation for past in state.history), state.observation.text):
            self._take_in(text)

    def _take_in(self, text: str) -> None:
        if match := _TREATED.search(text):
            self.had[match[2]].append(_APPLIANCE[match[1]])
        elif (match := _MOVED.search(text)) and kind(match[1]) == self.errand.object:
            self.in_vain.add((states_after(self.had[match[1]]), match[2]))
        elif (match := _TOOK.search(text)) and kind(match[1]) == self.errand.object:
            self.stood = self.stood or match[2]

    def choice(self) -> Choice:
        held = self.memory.holding
        if held is None:
            return self._fetch()
        if kind(held) != self.errand.object:
            return self._put_down(held)
        return self._bring(held)

    def _fetch(self) -> Choice:
        memory, wanted = self.memory, self.errand.object
        seen = {place: [n for n in names if kind(n) == wanted] for place, names in memory.contents.items()}
        if memory.at is not None and seen.get(memory.at):
            return Choice(wanted, HERE, f"take {seen[memory.at][0]} from {memory.at}")
        elsewhere = [place for place, names in seen.items() if names]
        if elsewhere:
            return Choice(wanted, SEEN, f"go to {elsewhere[0]}")
        unsearched = [name for name in memory.receptacles if name not in memory.visited]
        known = [name for name in unsearched if kind(name) == self.facts.get(THINGS)]
        if known:
            return Choice(THINGS, kind(known[0]), f"go to {known[0]}")
        among = [name for name in unsearched if kind(name) not in APPLIANCES] or self._elsewhere()
        return Choice(wanted, ANYWHERE, f"go to {self.draw.choice(among)}", tuple(among))

    def _put_down(self, held: str) -> Choice:
        for action in self.admissible:
            if action.startswith(f"move {held} to "):
                return Choice("put", HERE, action)
        among = self._elsewhere()
        return Choice("put", ANYWHERE, f"go to {self.draw.choice(among)}", tuple(among))

    def _bring(self, held: str) -> Choice:
        """Carry out the step of some guess: one that can be done here, else one drawn at random."""
        had = self.had[held]
        steps = [self._step(guess, had) for guess in self._open_guesses(had)]
        here = self.memory.at
        for step in steps:
            if here is not None and kind(here) == step.place and (action := self._action(step, held, here)):
                return Choice(step.key, self.facts.get(step.key, HERE), action)
        step = self.draw.choice(steps)
        places = self._of_kind(step.place)
        if not places:
            raise PolicyError(f"no other {step.place} for {step.key} in {', '.join(self.memory.receptacles)}")
        if step.key in self.facts:
            return Choice(step.key, step.place, f"go to {places[0]}")
        kinds = sorted({other.place for other in steps if other.key == step.key})
        among = tuple(name for place in kinds for name in self._of_kind(place)[:1])
        return Choice(step.key, ANYWHERE, f"go to {places[0]}", among)

    def _open_guesses(self, had: Sequence[str]) -> list[Guess]:
        """Guesses worth following with a thing in hand that had these treatments: those not yet refuted that
        it is on the way to; else those whose state it is in; else those that can be reached; else any."""
        every = self._guesses()
        left = [guess for guess in every if (guess.wanted, guess.place) not in self.in_vain]
        now = states_after(had)
        # Nothing undoes cleaning, and what is hot or cool stays one of the two.
        able = [
            guess
            for guess in left
            if not now - guess.wanted - {"isHot", "isCool"}
            and (not now & {"isHot", "isCool"} or guess.wanted & {"isHot", "isCool"})
        ]
        begun = [guess for guess in able if self._lasting(guess)[: len(had)] == list(had)]
        ready = [guess for guess in able if guess.wanted == now]
        return begun or ready or able or left or every

    def _guesses(self) -> list[Guess]:
        """All ways the convention may be, given the facts."""
        errand, facts = self.errand, self.facts
        options = [(facts[word],) if word in facts else tuple(APPLIANCES) for word in errand.words]
        kinds = sorted({kind(name) for name in self.memory.receptacles} - {self.stood, *APPLIANCES})
        places = (facts[errand.recipient],) if errand.recipient in facts else tuple(kinds)
        known = all(word in facts for word in errand.words)
        return [
            Guess(appliances, place)
            for appliances in itertools.product(*options)
            if known or len(set(appliances)) == len(appliances)
            for place in places
        ]

    def _step(self, guess: Guess, had: Sequence[str]) -> Step:
        """The first treatment that lasts and has not been had, else to the recipient's place."""
        now, wanted = states_after(had), guess.wanted
        for word, appliance in zip(self.errand.words, guess.appliances, strict=True):
            if APPLIANCES[appliance].state in wanted - now:
                return Step(word, appliance)
        return Step(self.errand.recipient, guess.place)

    @staticmethod
    def _lasting(guess: Guess) -> list[str]:
        return [treatment.tool for treatment in lasting(guess.appliances)]

    def _action(self, step: Step, held: str, here: str) -> str:
        """What to do here for a step; "" if it cannot be done (here)."""
        if step.key == self.errand.recipient:
            actions = [f"move {held} to {here}", f"open {here}"]
        else:
            actions = [f"{APPLIANCES[step.place].verb} {held} with {here}"]
        return next((action for action in actions if action in self.admissible), "")

    def _of_kind(self, receptacle_type: str) -> list[str]:
        return [name for name in self._elsewhere() if kind(name) == receptacle_type]

    def _elsewhere(self) -> list[str]:
        return [name for name in self.memory.receptacles if name != self.memory.at]
