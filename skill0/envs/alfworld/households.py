"""Generated households: new ALFWorld games from a seed, for the same engine, with no download.

A household is a room (`rooms`) whose furniture, things, goal and instruction are drawn from a seed. Where
things are follows the household's convention with probability `adherence`, and otherwise location priors
counted from the official train games (`placements`). No target starts at the goal. The winning plan is
constructed, never searched for, and is the game's `walkthrough`.

Households of kind "procedure" are made in `procedures`; their games come from here too.

Left out: receptacles that share a location (in most official games some do), sliced targets, a movable
receptacle as the goal, human-written instructions.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from skill0.envs.alfworld.conventions import Convention, check_convention, sample_convention
from skill0.envs.alfworld.games import PROCEDURE_TASK_TYPES, TASK_TYPES, Game
from skill0.envs.alfworld.household_problem import (
    Goal,
    Household,
    Item,
    Receptacle,
    instructions,
    problem_text,
    winning_plan,
)
from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.procedures import generate_procedure
from skill0.envs.alfworld.rooms import TREATMENTS, HouseholdSettings, Room, rooms
from skill0.envs.alfworld.upstream import shipped_domain_and_grammar
from skill0.errors import ConfigError

__all__ = [
    "Convention",
    "HouseholdSettings",
    "generate_game",
    "generate_games",
    "generate_household",
    "sample_convention",
]

_SAME_KIND = 3  # at most so many things of one kind in a household
_ATTEMPTS = 100  # draws for a game that is new, before giving up


def generate_games(
    count: int,
    seed: int,
    settings: HouseholdSettings | None = None,
    convention: Convention | None = None,
    *,
    split: str = "train",
) -> list[Game]:
    """`count` different games, the settings' task types in turn.

    One convention for all, or, with `None`, a new one for each game. The same arguments give the same games,
    in every process; fewer games are a prefix of more; another `split` gives other games.

    Raises:
        ConfigError: the convention is impossible, or the settings leave no room for so many games.
        EnvError: alfworld is not installed.
    """
    settings = settings or HouseholdSettings()
    draw = random.Random(f"households {split} {seed}")
    games: dict[str, Game] = {}
    for index in range(count):
        task_type = settings.task_types[index % len(settings.task_types)]
        for _ in range(_ATTEMPTS):
            game_seed = draw.getrandbits(32)
            own = sample_convention(game_seed, settings) if convention is None else convention
            game = generate_game(task_type, game_seed, settings, own, split=split)
            if games.setdefault(game.problem + game.instruction, game) is game:
                break
        else:
            raise ConfigError(
                f"found only {index} different games of {count}: these settings have no more variety. "
                "Ask for fewer, or allow more extra objects or larger households."
            )
    return list(games.values())


def generate_game(
    task_type: str,
    seed: int,
    settings: HouseholdSettings | None = None,
    convention: Convention | None = None,
    *,
    split: str = "train",
) -> Game:
    """One game. Object types that the convention leaves out follow the location priors; with no convention
    all of them do. A task type of the kind "procedure" needs a whole convention of that kind.

    Raises:
        ConfigError: the task type is unknown, or the convention is not possible.
        EnvError: alfworld, whose wheel holds the PDDL domain and the grammar, is not installed.
    """
    settings, convention = settings or HouseholdSettings(), dict(convention or {})
    if task_type in PROCEDURE_TASK_TYPES:
        household, instruction = generate_procedure(task_type, seed, settings, convention)
    else:
        household = generate_household(task_type, seed, settings, convention)
        choices = instructions(household.goal)
        instruction = choices[random.Random(f"instruction {task_type} {seed}").randrange(len(choices))]
    goal = household.goal
    domain, grammar = shipped_domain_and_grammar()
    problem = problem_text(household, f"household_{task_type}")
    # Seed, convention and settings all show in the digest: equal ids mean equal games.
    digest = hashlib.sha256(f"{split}\n{instruction}\n{problem}".encode()).hexdigest()[:8]
    pddl = placements().pddl
    folder = f"{task_type}-{pddl[goal.target]}-None-{pddl[goal.destination or goal.lamp]}-{household.room}"
    return Game(
        id=f"{folder}/household_{seed}_{digest}",
        split=split,
        task_type=task_type,
        instruction=instruction,
        problem=problem,
        walkthrough=winning_plan(household),
        domain=domain,
        grammar=grammar,
        convention=convention,
    )


def generate_household(
    task_type: str, seed: int, settings: HouseholdSettings, convention: Convention
) -> Household:
    """The world of `generate_game`, before it is written for the engine. Needs no engine.

    Raises:
        ConfigError: as `generate_game`.
    """
    if task_type not in TASK_TYPES:
        raise ConfigError(f"unknown task type {task_type!r}; known: {', '.join(TASK_TYPES)}")
    check_convention(convention)
    draw = random.Random(f"household {settings.size} {task_type} {seed}")
    room = draw.choice([room for room in rooms(settings.size) if task_type in room.targets])
    receptacles = _furnish(draw, room, settings, convention)
    furnishing = _Furnishing(draw, receptacles, settings, convention)
    goal = furnishing.goal(task_type, room)
    for _ in range(goal.count):
        furnishing.put(goal.target, avoid=goal.destination)
    if goal.lamp:
        furnishing.put(goal.lamp)
    for _ in range(draw.randint(*settings.extra_range)):
        kinds = [kind for kind in room.objects if furnishing.counts[kind] < _SAME_KIND]
        if not kinds:
            break
        kind = draw.choice(kinds)
        # A second thing of the target's kind must not be at the goal from the start.
        furnishing.put(kind, avoid=goal.destination if kind == goal.target else "")
    return Household(room.name, receptacles, tuple(furnishing.items), goal)


def _furnish(
    draw: random.Random, room: Room, settings: HouseholdSettings, convention: Convention
) -> tuple[Receptacle, ...]:
    """The room's receptacles, with at least one of every type that something may be kept in."""
    numbers = dict(draw.choice(room.furniture))
    for kind in (*room.kept, *(convention[kind] for kind in room.objects if kind in convention)):
        numbers.setdefault(kind, 1)
    limit = settings.instance_limit
    openable = placements().openable
    return tuple(
        Receptacle(kind, number, openable=draw.random() < openable.get(kind, 0.0))
        for kind in sorted(numbers)
        for number in range(1, min(numbers[kind], limit or numbers[kind]) + 1)
    )


class _Furnishing:
    """Puts things into a furnished room, one after the other."""

    def __init__(
        self,
        draw: random.Random,
        receptacles: Sequence[Receptacle],
        settings: HouseholdSettings,
        convention: Convention,
    ) -> None:
        self.draw = draw
        self.receptacles = receptacles
        self.settings = settings
        self.convention = convention
        self.kinds = sorted({place.kind for place in receptacles})
        self.items: list[Item] = []
        self.counts: Counter[str] = Counter()

    def goal(self, task_type: str, room: Room) -> Goal:
        """A goal that can be reached and is not reached yet: a target, and a destination other than the
        place where the target is kept."""
        targets = list(room.targets[task_type])
        self.draw.shuffle(targets)
        if task_type == "look_at_obj_in_light":
            return Goal(task_type, targets[0], lamp=room.lamp)
        treatments = (TREATMENTS[task_type],) if task_type in TREATMENTS else ()
        for target in targets:
            taken = {self.convention.get(target), *(treatment.tool for treatment in treatments)}
            destinations = [
                kind for kind in self.kinds if placements().can_hold(kind, target) and kind not in taken
            ]
            elsewhere = {kind for kind in self.kinds if placements().can_hold(kind, target)}
            self.draw.shuffle(destinations)
            for destination in destinations:
                if elsewhere - {destination}:
                    return Goal(task_type, target, destination, treatments=treatments)
        raise ConfigError(f"no object of a {room.name} can be the target of {task_type}")

    def put(self, kind: str, avoid: str = "") -> None:
        """Add a thing of a kind, anywhere but in receptacles of kind `avoid`."""
        place_kind = self._place_kind(kind, avoid)
        place = self.draw.choice([place for place in self.receptacles if place.kind == place_kind])
        self.counts[kind] += 1
        self.items.append(Item(kind, self.counts[kind], place))

    def _place_kind(self, kind: str, avoid: str) -> str:
        able = [place for place in self.kinds if place != avoid and placements().can_hold(place, kind)]
        kept = self.convention.get(kind)
        if kept in able:
            others = [place for place in able if place != kept]
            if not others or self.draw.random() < self.settings.adherence:
                return kept
            able = others
        weights = self._weights(kind)
        likely = [weights.get(place, 0.0) for place in able]
        return self.draw.choices(able, likely if sum(likely) > 0 else None)[0]

    def _weights(self, kind: str) -> Mapping[str, float]:
        return self.settings.placements.get(kind) or placements().objects[kind].found
