"""A scripted expert for the official games: it searches where such things usually are.

Where things lie differs from game to game, and nobody wrote it down; but mugs are on countertops and in
coffee machines more often than in drawers. The expert goes first to the kind of place where a look finds
most, counted from the train games alone (`placements`), and its thought names that kind ("mug: countertop"),
so that a policy which imitates it can store the order in its weights. "anywhere" is left for places where no
train game had such a thing.

Some receptacles share a place; "go to" the other is then answered with "Nothing happens.". The expert tries,
as a policy must whose prompt does not list commands, and takes the answer for what it says.

Left out on purpose: what else a room tells (a cup beside the coffee machine), and the shortest walk.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from skill0.agent.policy import EpisodeState
from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.status import REFUSED
from skill0.training.searching_expert import (
    CLOSED,
    HERE,
    SEEN,
    TOOLS,
    Choice,
    Decision,
    SearchingExpert,
    facts_of,
    kind,
)


@cache
def usual_places(object_kind: str) -> tuple[str, ...]:
    """Kinds of receptacles where train games had such an object, the one with most per step first.

    A step is one of searching: the count is divided by how many receptacles of the kind a room has, and by
    the commands that one takes, two where it must be opened. Ties are broken by name.
    """
    known = placements()
    if object_kind not in known.objects:
        return ()
    found = known.objects[object_kind].found
    steps = {place: _usual_number(place) * (1.0 + known.openable.get(place, 0.0)) for place in found}
    return tuple(sorted(found, key=lambda place: (-found[place] / steps[place], place)))


@cache
def _usual_number(place: str) -> float:
    """How many receptacles of a kind there are in rooms that have one, on average."""
    counts = [scene[place] for scenes in placements().scenes.values() for scene in scenes if scene.get(place)]
    return sum(counts) / len(counts) if counts else 1.0


class OfficialExpert(SearchingExpert):
    """A `Policy` for official games; facts of skill files in context ("clean: sinkbasin") come before usual
    places. The same state and seed give the same reply."""

    def choose(self, state: EpisodeState, seed: int) -> Choice:
        facts = {**self.convention, **facts_of(state.skills)}
        return _OfficialDecision(state, facts, random.Random(seed)).choice()


class _OfficialDecision(Decision):
    """One decision, that of the searching expert but for the order of search and shared places."""

    def __init__(self, state: EpisodeState, facts: Mapping[str, str], draw: random.Random) -> None:
        super().__init__(state, facts, draw)
        last = state.history[-1].action if state.history else ""
        walked = last.startswith("go to ") and state.observation.text.strip() == REFUSED
        place = last.removeprefix("go to ")
        elsewhere = place in self.memory.receptacles and place != self.memory.at
        self.beside = place if walked and elsewhere else None
        """The receptacle that shares this place, when that has just come out."""

    def _seek(self, object_type: str, *, take: bool) -> Choice:
        if take and self.beside in self.memory.places_of(object_type):
            for name in self.memory.contents[str(self.beside)]:
                action = f"take {name} from {self.beside}"
                wanted = kind(name) == object_type and name not in self.memory.placed
                if wanted and action in self.admissible:
                    return Choice(object_type, SEEN, action)
        return super()._seek(object_type, take=take)

    def _unsearched(self) -> list[str]:
        """Also not what shares this place, nor others of its kind (as a rule they share it too): the way to
        look at them is to come from elsewhere."""
        places = super()._unsearched()
        if self.beside is None:
            return places
        others = [name for name in places if kind(name) != kind(str(self.beside))]
        return others or [name for name in places if name != self.beside]

    def _search(self, object_type: str) -> Choice:
        """The first kind of usual places of which any is left. The goal's place and the tool come after all
        other usual ones: what is wanted is seldom there. What need not be treated never lies at its goal."""
        left: dict[str, list[str]] = defaultdict(list)
        for name in self._unsearched():
            left[kind(name)].append(name)
        early = self._early(object_type)
        tool = TOOLS.get(self.task_type, ("", ""))[1]
        for place in (*early, *([self.goal.place, tool] if tool else [])):
            if place in left:
                among = tuple(left[place])
                return Choice(object_type, place, f"go to {among[0]}", among)
        return super()._search(object_type)

    def _early(self, object_type: str) -> list[str]:
        """Kinds of usual places but for the goal's and the tool's, first things first."""
        late = (self.goal.place, TOOLS.get(self.task_type, ("", ""))[1])
        return [name for name in usual_places(object_type) if name not in late]

    def _worth_opening(self, object_type: str) -> bool:
        """Also at the goal, once the other usual places were looked into."""
        left = {kind(name) for name in self._unsearched()}
        return super()._worth_opening(object_type) or left.isdisjoint(self._early(object_type))

    def _deliver(self, held: str) -> Choice:
        if self.beside is not None and kind(self.beside) == self.goal.place:
            for reason, action in ((HERE, f"move {held} to {self.beside}"), (CLOSED, f"open {self.beside}")):
                if action in self.admissible:
                    return Choice("put", reason, action)
        return super()._deliver(held)

    def _nearest(self, receptacle_type: str) -> str:
        memory = self.memory
        others = [
            name
            for name in memory.receptacles
            if kind(name) == receptacle_type and name not in (memory.at, self.beside)
        ]
        if others:
            # One that a short prompt tells comes before one that was looked into.
            told = [name for name in others if name in super(_OfficialDecision, self)._unsearched()]
            delivered = [name for name in others if self._holds_delivered(name)]
            return (*delivered, *told, *others)[0]
        # It is here, and nothing can be done at it: come back from elsewhere.
        return self.draw.choice([name for name in memory.receptacles if name not in (memory.at, self.beside)])

    def _holds_delivered(self, place: str) -> bool:
        return bool(set(self.memory.contents.get(place, ())) & self.memory.placed)
