"""Households whose skills are procedure: their own words for what is done with a thing, and for whom.

"bring a festive and merry mug to the guests." The words say nothing to a stranger: a household's convention
tells which appliance each stands for ("festive" -> "sinkbasin") and where what is for the guests is put
("guests" -> "shelf"). One has to find several of these facts and chain them. Words come in families; a family
has a word for every appliance, is explained by one skill file, and has three task types:

- *one word*: one treatment.
- *two words*: two treatments that last: to be cleaned and heated, or cleaned and cooled. Only the engine's
  final state counts, and cleaning is undone by nothing, so either order wins.
- *last word*: heating and cooling. Each undoes the other in ALFWorld's domain, so the order matters really:
  the thing must end in the state that the last word asks for. The plan leaves the first out.

A thing must be in no state that was not asked for: needless cleaning cannot be undone, and there is only one
thing of the target's kind. The things that are brought stand in plain sight, all in one kind of place.

The engine and its domain are ALFWorld's own. Two things about a problem are not: the goal has negative
literals, and every place holds whatever is brought (ALFWorld allows no apple on a shelf).

Left out: words that forbid a treatment that another word asks for, treatments by hand (slicing), other rooms.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skill0.envs.alfworld.games import PROCEDURE_FAMILIES, PROCEDURE_TASK_TYPES
from skill0.envs.alfworld.household_problem import Goal, Household, Item, Receptacle
from skill0.envs.alfworld.placements import placements
from skill0.envs.alfworld.rooms import APPLIANCES, HouseholdSettings, Treatment, rooms
from skill0.errors import ConfigError

THINGS = "things"
"""The convention's key for the place where things that are brought stand."""

SERVED = ("apple", "cup", "egg", "mug", "plate", "potato")
"""What may be brought: all that can be cleaned, heated and cooled in the small rooms."""

OPEN_PLACES = ("countertop", "desk", "diningtable", "shelf", "sidetable")
PLACES = ("cabinet", *OPEN_PLACES)

_SAME_KIND = 3  # at most so many things of one kind in a household


@dataclass(frozen=True)
class Family:
    """Words that belong together: as many as there are appliances, and those that things are brought to."""

    words: tuple[str, str, str]
    recipients: tuple[str, str]


FAMILIES: Mapping[str, Family] = {
    "party": Family(("festive", "grand", "merry"), ("guests", "twins")),
    "parlour": Family(("noble", "proper", "solemn"), ("captain", "elders")),
    "garden": Family(("humble", "rustic", "sturdy"), ("gardener", "neighbour")),
    "study": Family(("modest", "quaint", "royal"), ("teacher", "tenant")),
}


def family_and_form(task_type: str) -> tuple[str, str]:
    """ "party_one_word" -> "party", "one_word".

    Raises `ConfigError` for another task type.
    """
    if task_type not in PROCEDURE_TASK_TYPES:
        raise ConfigError(f"unknown task type {task_type!r}; known: {', '.join(PROCEDURE_TASK_TYPES)}")
    family, _, form = task_type.partition("_")
    return family, form


def procedure_options() -> dict[str, tuple[str, ...]]:
    """Every key of a procedure convention and what it may stand for, in alphabetical order of the keys."""
    options = {THINGS: OPEN_PLACES}
    for family in FAMILIES.values():
        options |= dict.fromkeys(family.words, tuple(APPLIANCES)) | dict.fromkeys(family.recipients, PLACES)
    return {key: options[key] for key in sorted(options)}


def sample_procedure(seed: int) -> dict[str, str]:
    """A convention from a seed: the words of a family stand for different appliances, its recipients for
    different places, none of them the one where things stand; all equally likely."""
    draw = random.Random(f"procedure {seed}")
    convention = {THINGS: draw.choice(OPEN_PLACES)}
    others = [place for place in PLACES if place != convention[THINGS]]
    for name in PROCEDURE_FAMILIES:
        family = FAMILIES[name]
        convention |= zip(family.words, draw.sample(tuple(APPLIANCES), len(family.words)), strict=True)
        convention |= zip(family.recipients, draw.sample(others, len(family.recipients)), strict=True)
    return {key: convention[key] for key in sorted(convention)}


def check_procedure(convention: Mapping[str, str]) -> None:
    """Raise `ConfigError` if `sample_procedure` could not have made the convention: then some tasks would
    have no goal."""
    options = procedure_options()
    if set(convention) != set(options):
        odd = ", ".join(sorted(set(convention) ^ set(options)))
        raise ConfigError(
            f"a procedure convention needs exactly the keys of sample_procedure; look at: {odd}"
        )
    for key, value in convention.items():
        if value not in options[key]:
            raise ConfigError(
                f"convention: {key!r} cannot stand for {value!r}, only for {', '.join(options[key])}"
            )
    for name, family in FAMILIES.items():
        for keys in (family.words, (*family.recipients, THINGS)):
            if len({convention[key] for key in keys}) < len(keys):
                raise ConfigError(
                    f"convention: {', '.join(keys)} of the {name} must stand for different things"
                )


def lasting(appliances: Iterable[str]) -> tuple[Treatment, ...]:
    """The treatments whose effect is still there after all, in order: heating and cooling undo each other."""
    kept: list[Treatment] = []
    for appliance in appliances:
        treatment = APPLIANCES[appliance]
        undone = {"isHot", "isCool"} - {treatment.state} if treatment.state != "isClean" else set()
        kept = [other for other in kept if other.state not in undone and other != treatment] + [treatment]
    return tuple(kept)


def word_choices(task_type: str, convention: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The words, in order, that tasks of the type may use in a household of the convention."""
    family, form = family_and_form(task_type)
    words = FAMILIES[family].words
    if form == "one_word":
        return [(word,) for word in words]
    pairs = itertools.permutations(words, 2)
    left = 2 if form == "two_words" else 1
    return [pair for pair in pairs if len(lasting(convention[word] for word in pair)) == left]


def chance(task_type: str) -> float:
    """Probability that one guess wins: different appliances for the words, in the order said, and a place
    other than that where things stand, all equally likely; by enumeration."""
    convention = sample_procedure(0)
    shares = []
    for words in word_choices(task_type, convention):
        wanted = set(lasting(convention[word] for word in words))
        guesses = list(itertools.permutations(APPLIANCES, len(words)))
        shares.append(sum(set(lasting(guess)) == wanted for guess in guesses) / len(guesses))
    return sum(shares) / len(shares) / (len(PLACES) - 1)


def instruction(words: tuple[str, ...], target: str, recipient: str) -> str:
    """The sentence that the agent is given."""
    return f"bring a {' and '.join(words)} {target} to the {recipient}."


def generate_procedure(
    task_type: str, seed: int, settings: HouseholdSettings, convention: Mapping[str, str]
) -> tuple[Household, str]:
    """A household and its instruction. Needs no engine.

    Raises:
        ConfigError: the task type is unknown, or the convention is none of this kind.
    """
    family, _ = family_and_form(task_type)
    check_procedure(convention)
    draw = random.Random(f"procedure household {task_type} {seed}")
    words = draw.choice(word_choices(task_type, convention))
    recipient, target = draw.choice(FAMILIES[family].recipients), draw.choice(SERVED)
    goal = Goal(
        task_type,
        target,
        convention[recipient],
        treatments=lasting(convention[word] for word in words),
        nothing_else=True,
    )
    receptacles = _furnish(draw, settings)
    items = _fill(draw, settings, convention[THINGS], goal, receptacles)
    accepts = frozenset((place, kind) for place in PLACES for kind in SERVED)
    return Household("room", receptacles, items, goal, accepts), instruction(words, target, recipient)


def _furnish(draw: random.Random, settings: HouseholdSettings) -> tuple[Receptacle, ...]:
    """One receptacle of every type that may matter, or one type twice."""
    twice = draw.choice((None, *PLACES))
    openable = placements().openable
    return tuple(
        Receptacle(kind, number, openable=draw.random() < openable.get(kind, 0.0))
        for kind in sorted((*PLACES, *APPLIANCES))
        for number in range(1, min(1 + (kind == twice), settings.instance_limit or 2) + 1)
    )


def _fill(
    draw: random.Random,
    settings: HouseholdSettings,
    stand: str,
    goal: Goal,
    receptacles: tuple[Receptacle, ...],
) -> tuple[Item, ...]:
    """The target, then other things: those that could be brought stand with it, the rest lies about."""
    counts: Counter[str] = Counter()

    def put(kind: str) -> Item:
        counts[kind] += 1
        if kind in SERVED:
            places = [place for place in OPEN_PLACES if place != goal.destination]
            others = [place for place in places if place != stand]
            place_kind = stand if draw.random() < settings.adherence else draw.choice(others)
        else:
            able = [place for place in PLACES if placements().can_hold(place, kind)]
            found = settings.placements.get(kind) or placements().objects[kind].found
            weights = [found.get(place, 0.0) for place in able]
            place_kind = draw.choices(able, weights if sum(weights) > 0 else None)[0]
        return Item(
            kind, counts[kind], draw.choice([place for place in receptacles if place.kind == place_kind])
        )

    items = [put(goal.target)]
    kinds = [
        kind
        for kind in sorted({*SERVED, *(kind for room in rooms("small") for kind in room.objects)})
        if kind != goal.target and (kind in SERVED or any(placements().can_hold(p, kind) for p in PLACES))
    ]
    for _ in range(draw.randint(*settings.extra_range)):
        if left := [kind for kind in kinds if counts[kind] < _SAME_KIND]:
            items.append(put(draw.choice(left)))
    return tuple(items)
