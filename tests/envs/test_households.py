"""Generated households: what must hold for every seed and setting, checked on the PDDL text alone.

`World` below plays a problem by the rules of ALFWorld's domain, from its facts; it shares no code with the
generator. That the real engine agrees is the subject of test_households_engine.py.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.envs.alfworld.conventions import check_convention, sample_convention, targets
from skill0.envs.alfworld.games import TASK_TYPES
from skill0.envs.alfworld.household_problem import problem_text, winning_plan
from skill0.envs.alfworld.households import generate_game, generate_games, generate_household
from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.rooms import HouseholdSettings, rooms
from skill0.errors import ConfigError

SMALL = HouseholdSettings()
SEEDS = st.integers(0, 2**32 - 1)
SETTINGS = st.builds(
    HouseholdSettings,
    size=st.sampled_from(["small", "medium", "large"]),
    adherence=st.sampled_from([0.0, 0.5, 1.0]),
    extra_objects=st.none() | st.tuples(st.integers(0, 3), st.integers(3, 25)),
    max_instances=st.none() | st.integers(1, 3),
)


class World:
    """A problem's state, by engine names ("mug 1"), and the goal read from its text."""

    def __init__(self, problem: str) -> None:
        init, goal = re.search(r"\(:init(.*)\(:goal(.*)", problem, re.S).groups()
        facts = defaultdict(list)
        for predicate, arguments in re.findall(r"\((\w+) ([^()]*)\)", init):
            facts[predicate].append(arguments.split())
        names = self._names(re.findall(r"^  (\S*_bar_\S*) - (?:receptacle|object)$", problem, re.M))
        self.kind = {names[a]: b.lower()[:-4] for a, b in facts["receptacleType"] + facts["objectType"]}
        self.location = {names[a]: b for a, b in facts["receptacleAtLocation"]}
        self.inside = {names[a]: names[b] for a, b in facts["inReceptacle"]}
        self.can = {
            predicate: {names[row[0]] for row in facts[predicate]}
            for predicate in ("openable", "pickupable", "cleanable", "heatable", "coolable", "toggleable")
        }
        self.accepts = {(a.lower()[:-4], b.lower()[:-4]) for a, b in facts["canContain"]}
        self.closed = set(self.can["openable"])
        self.at = self.holding = None
        self.states: dict[str, set[str]] = defaultdict(set)
        types = re.findall(r"\(objectType \?\w+ (\w+)Type\)", goal)
        self.target = types[-1].lower()
        self.lamp = types[0].lower() if "isToggled" in goal else None
        destination = re.search(r"\(receptacleType \?\w+ (\w+)Type\)", goal)
        self.destination = destination and destination[1].lower()
        self.needed = 2 if "?o2" in goal else 1
        state = re.search(r"\(is(Clean|Hot|Cool) ", goal)
        self.state = state and {"Clean": "clean", "Hot": "heat", "Cool": "cool"}[state[1]]

    @staticmethod
    def _names(identifiers: list[str]) -> dict[str, str]:
        """As the engine deals out numbers: descending, over the sorted ids, by the part before _bar_."""
        kinds = {i: i.split("_bar_")[0].lower() + "basin" * ("basin" in i.lower()) for i in identifiers}
        left = Counter(kinds.values())
        names = {}
        for identifier in sorted(identifiers):
            names[identifier] = f"{kinds[identifier]} {left[kinds[identifier]]}"
            left[kinds[identifier]] -= 1
        return names

    def do(self, command: str) -> None:
        """One command; an assertion fails where the engine would say "Nothing happens."."""
        words = re.fullmatch(
            r"(go to|open|take|move|use|clean|heat|cool) (\w+ \d+)(?: (?:from|to|with) (\w+ \d+))?", command
        )
        verb, first, second = words.groups()
        if verb == "go to":
            assert self.location[first] != self.at
            self.at = self.location[first]
        elif verb == "open":
            assert self.location[first] == self.at
            self.closed.remove(first)
        elif verb == "take":
            assert self.inside.pop(first) == second
            assert self.location[second] == self.at
            assert second not in self.closed
            assert self.holding is None
            assert first in self.can["pickupable"]
            self.holding = first
        elif verb == "move":
            assert self.holding == first
            assert self.location[second] == self.at
            assert second not in self.closed
            assert (self.kind[second], self.kind[first]) in self.accepts
            self.inside[first], self.holding = second, None
        elif verb == "use":
            assert first in self.can["toggleable"]
            assert self.location[self.inside[first]] == self.at
            self.states[first].add("on")
        else:
            assert self.holding == first
            assert self.location[second] == self.at
            assert self.kind[second] == {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}[verb]
            assert first in self.can[f"{verb}able"]
            self.states[first].add(verb)

    @property
    def won(self) -> bool:
        if self.lamp:
            lit = any(
                self.kind[name] == self.lamp
                and "on" in states
                and self.location[self.inside[name]] == self.at
                for name, states in self.states.items()
            )
            return lit and self.holding is not None and self.kind[self.holding] == self.target
        there = Counter(
            place
            for name, place in self.inside.items()
            if self.kind[name] == self.target
            and self.kind[place] == self.destination
            and (self.state is None or self.state in self.states[name])
        )
        return max(there.values(), default=0) >= self.needed


def play(household) -> World:
    """Play the plan: it must win with its last command and no sooner."""
    world = World(problem_text(household, "test"))
    for command in winning_plan(household):
        assert not world.won
        world.do(command)
    assert world.won
    return world


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from(TASK_TYPES), SETTINGS, st.booleans())
def test_every_household_is_won_by_its_plan_and_not_before(seed, task_type, chosen, with_convention):
    convention = sample_convention(seed, chosen) if with_convention else {}
    household = generate_household(task_type, seed, chosen, convention)
    world = play(household)

    goal = household.goal
    assert goal.target in targets(chosen)[task_type]
    assert goal.destination == (world.destination or "")
    # Nothing of the target's kind is at the goal from the start.
    there = [item.kind for item in household.items if item.place.kind == goal.destination]
    assert goal.target not in there
    low, high = chosen.extra_range
    fixed = goal.count + bool(goal.lamp)
    room = next(room for room in rooms(chosen.size) if room.name == household.room)
    assert min(fixed + low, 3 * len(room.objects)) <= len(household.items) <= fixed + high
    assert max(Counter(item.kind for item in household.items).values()) <= 3
    per_kind = Counter(place.kind for place in household.receptacles)
    if chosen.instance_limit is not None:
        assert max(per_kind.values()) <= chosen.instance_limit
    # Every receptacle has a location of its own, so each can be gone to.
    assert len(set(world.location.values())) == len(household.receptacles)
    # The engine will call things what the household calls them.
    assert {item.name for item in household.items} | {r.name for r in household.receptacles} == set(
        world.kind
    )
    for item in household.items:
        assert placements().can_hold(item.place.kind, item.kind)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SEEDS, st.sampled_from(TASK_TYPES), st.sampled_from(["small", "medium", "large"]))
def test_conventions_hold_at_full_adherence(seed, convention_seed, task_type, size):
    chosen = HouseholdSettings(size=size)
    convention = sample_convention(convention_seed, chosen)
    household = generate_household(task_type, seed, chosen, convention)
    for item in household.items:
        assert item.place.kind == convention[item.kind]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(TASK_TYPES))
def test_small_households_are_small(seed, task_type):
    household = generate_household(task_type, seed, SMALL, sample_convention(seed))
    assert 10 <= len(household.receptacles) <= 12
    assert 5 <= len(household.items) <= 10  # the target (or two, or target and lamp), and 4-8 more
    # go, open, take, go, treat, go, open, move; twice (with the destination opened once) for pick-two.
    assert 3 <= len(winning_plan(household)) <= (10 if task_type.startswith("pick_two") else 8)


def test_adherence_is_the_share_of_objects_in_their_place():
    chosen = HouseholdSettings(adherence=0.7, extra_objects=(8, 8))
    convention = sample_convention(5)
    kept = [
        item.place.kind == convention[item.kind]
        for seed in range(300)
        for item in generate_household(TASK_TYPES[seed % 6], seed, chosen, convention).items[2:]
    ]
    # About 2500 draws: the standard error is below .01. The target's kind may never start at the goal, which
    # moves a few objects only.
    assert sum(kept) / len(kept) == pytest.approx(0.7, abs=0.03)


def test_without_a_convention_the_counted_priors_decide():
    """Mugs in a flat: of the places there, countertop 1055 of 2781 finds, fridge 513, cabinet 611, ..."""
    found = placements().objects["mug"].found
    places = Counter()
    for seed in range(1500):
        household = generate_household("pick_and_place_simple", seed, SMALL, {})
        places.update(item.place.kind for item in household.items if item.kind == "mug")
    here = {kind for place in rooms("small")[0].furniture for kind in place}
    total = sum(found[kind] for kind in here if kind in found)
    for kind in ("countertop", "cabinet", "fridge", "desk"):
        assert places[kind] / places.total() == pytest.approx(found[kind] / total, abs=0.06)
    assert "coffeemachine" not in places


def test_priors_can_be_replaced():
    chosen = HouseholdSettings(placements={"mug": {"microwave": 3.0, "shelf": 1.0}})
    kinds = Counter(
        item.place.kind
        for seed in range(600)
        for item in generate_household("pick_and_place_simple", seed, chosen, {}).items
        if item.kind == "mug"
    )
    assert set(kinds) == {"microwave", "shelf"}
    assert kinds["microwave"] / kinds.total() == pytest.approx(0.75, abs=0.12)


def test_in_small_households_each_object_type_belongs_to_one_kind_of_task():
    by_task = targets()
    assert by_task["pick_and_place_simple"] == by_task["pick_two_obj_and_place"]
    kinds = [kind for task_type in TASK_TYPES[:5] for kind in by_task[task_type]]
    assert len(kinds) == len(set(kinds)) == 26
    assert set(sample_convention(0)) == {*kinds, "desklamp"}
    flat = rooms("small")[0]
    assert min(len(flat.places_for(kind)) for kind in (*kinds, "desklamp")) >= 3


def test_targets_of_chosen_task_types():
    chosen = HouseholdSettings(size="medium", task_types=("pick_heat_then_place_in_recep",))
    assert targets(chosen) == {
        "pick_heat_then_place_in_recep": ("apple", "bread", "cup", "egg", "mug", "plate", "potato", "tomato")
    }


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["small", "medium", "large"]))
def test_sampled_conventions_are_possible_and_vary(seed, size):
    chosen = HouseholdSettings(size=size)
    convention = sample_convention(seed, chosen)
    check_convention(convention)
    assert list(convention) == sorted(convention)
    assert convention == sample_convention(seed, chosen)
    assert convention != sample_convention(seed + 1, chosen)


def test_games_take_the_task_types_in_turn_and_differ():
    games = generate_games(30, 7)
    assert [game.task_type for game in games] == list(TASK_TYPES) * 5
    assert len({game.id for game in games}) == 30
    assert len({(game.instruction, game.problem) for game in games}) == 30
    assert generate_games(8, 7) == games[:8]
    assert len({tuple(game.convention.items()) for game in games}) == 30
    fixed = generate_games(6, 7, convention=sample_convention(1))
    assert all(game.convention == sample_convention(1) for game in fixed)
    assert pickle.loads(pickle.dumps(games)) == games


def test_splits_and_seeds_share_no_game():
    convention = sample_convention(0)
    made = [
        (game.instruction, game.problem)
        for seed, split in ((0, "train"), (0, "validation"), (1, "train"))
        for game in generate_games(200, seed, convention=convention, split=split)
    ]
    assert len(set(made)) == 600
    assert generate_games(1, 0, split="validation")[0].split == "validation"


def test_both_instructions_of_a_goal_are_used():
    said = {
        generate_game("pick_heat_then_place_in_recep", seed).instruction.replace(goal, "X")
        for seed in range(40)
        for goal in [generate_household("pick_heat_then_place_in_recep", seed, SMALL, {}).goal.target]
    }
    assert {sentence.split(" in ")[0] for sentence in said} == {"put a hot X", "heat some X and put it"}


PRINT_DIGEST = """
import hashlib
from skill0.envs.alfworld.households import HouseholdSettings, generate_games
digest = hashlib.sha256()
for size in ("small", "medium"):
    for game in generate_games(12, 3, HouseholdSettings(size=size)):
        digest.update(repr((game.id, game.instruction, game.problem, game.walkthrough)).encode())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_the_same_games_in_every_process(hash_seed):
    """Sets and hashes of strings must not decide anything."""
    result = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    digest = hashlib.sha256()
    for size in ("small", "medium"):
        for game in generate_games(12, 3, HouseholdSettings(size=size)):
            digest.update(repr((game.id, game.instruction, game.problem, game.walkthrough)).encode())
    assert result.stdout.strip() == digest.hexdigest()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": "huge"}, "size must be one of small, medium, large; got 'huge'"),
        ({"kind": "magic"}, "kind must be one of facts, procedure; got 'magic'"),
        ({"kind": "procedure", "size": "large"}, "households of kind 'procedure' are small"),
        (
            {"kind": "procedure", "task_types": ("pick_and_place_simple",)},
            "in households of kind 'procedure'",
        ),
        ({"task_types": ("juggle",)}, "got ('juggle',)"),
        ({"adherence": 1.2}, "adherence is a probability, so between 0 and 1; got 1.2"),
        ({"extra_objects": (5, 2)}, "0 <= smallest <= largest; got (5, 2)"),
        ({"max_instances": 0}, "max_instances must be at least 1; got 0"),
        ({"placements": {"unicorn": {"shelf": 1}}}, "unknown object type 'unicorn'"),
        ({"placements": {"mug": {"bed": 1}}}, "a 'bed' cannot hold a 'mug'"),
        ({"placements": {"mug": {"shelf": -1}}}, "the weight -1 is negative"),
    ],
)
def test_impossible_settings(fields, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        HouseholdSettings(**fields)


def test_impossible_conventions_and_tasks():
    with pytest.raises(ConfigError, match="a 'mug' cannot be kept in 'bed', only in cabinet, coffeemachine"):
        generate_game("pick_and_place_simple", 0, convention={"mug": "bed"})
    with pytest.raises(ConfigError, match="unknown object type 'Mug'"):
        generate_game("pick_and_place_simple", 0, convention={"Mug": "cabinet"})
    with pytest.raises(ConfigError, match="unknown task type 'juggle'"):
        generate_game("juggle", 0)


def test_a_convention_may_name_a_place_that_is_not_always_there():
    """The household then gets one."""
    household = generate_household("pick_heat_then_place_in_recep", 0, SMALL, {"mug": "coffeemachine"})
    assert [place.name for place in household.receptacles if place.kind == "coffeemachine"] == [
        "coffeemachine 1"
    ]


def test_running_out_of_different_games():
    narrow = HouseholdSettings(
        task_types=("look_at_obj_in_light",), adherence=1.0, extra_objects=(0, 0), max_instances=1
    )
    with pytest.raises(ConfigError, match=r"found only \d+ different games of 2000"):
        generate_games(2000, 0, narrow, sample_convention(0))
