"""Whether an episode's commands show that a fact of the skill files is known: the first of them that tells.

Households of facts: the first `go to` leads to a place of the kind where the task's object is kept.
Households of procedure: the first `go to` an appliance leads to one that the task's words ask for, by a
treatment that lasts. The almanac: the first search of a section is of the one that tells what is asked.
None says that the task is won. A policy that picks commands at random gives the chance level; in the almanac,
which offers no commands to pick from, sections drawn at random would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from skill0.envs.alfworld import sample_convention
from skill0.envs.alfworld.procedures import lasting
from skill0.envs.alfworld.rooms import APPLIANCES
from skill0.envs.base import Task
from skill0.envs.search.almanac.book import SECTIONS, true_arrangement
from skill0.evaluation import TaskOutcome
from skill0.training.procedure_expert import parse_errand
from skill0.training.recipe import Recipe
from skill0.training.world import build_world

_GO_TO = re.compile(r"go to (\w+) \d+")
_SECTION = re.compile(rf"<search>({'|'.join(SECTIONS)}) of [^<]+</search>")

ShowsFact = Callable[[TaskOutcome], bool]


def shows_fact(recipe: Recipe) -> ShowsFact | None:
    """The test for a recipe's tasks; None for official games and questions to a corpus, where no convention
    holds."""
    environment = recipe.environment
    if environment.games is not None or environment.search is not None:
        return None
    if environment.almanac is not None:
        arrangement = true_arrangement()
        return lambda outcome: reads_where_told(outcome, arrangement)
    convention = sample_convention(environment.convention_seed, environment.households)
    if environment.households.kind == "facts":
        return lambda outcome: goes_where_kept(outcome, convention)
    world = build_world(recipe)
    wanted = wanted_appliances([*world.validation, *world.heldout], convention)
    return lambda outcome: first_place(outcome.actions, APPLIANCES) in wanted[outcome.task_id]


def goes_where_kept(outcome: TaskOutcome, convention: Mapping[str, str]) -> bool:
    """An ALFWorld task id names the task's object: pick_and_place_simple-Mug-None-Shelf-..."""
    target = outcome.task_id.split("-")[1].lower()
    return first_place(outcome.actions) == convention[target]


def reads_where_told(outcome: TaskOutcome, arrangement: Mapping[str, str]) -> bool:
    """A task id of the almanac begins with the relation that is asked for: "currency Mexico"."""
    relation = outcome.task_id.split()[0]
    searches = filter(None, map(_SECTION.fullmatch, outcome.actions))
    first = next(searches, None)
    return first is not None and first.group(1) == arrangement[relation]


def wanted_appliances(tasks: Sequence[Task], convention: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Task id -> the appliances of the treatments that have to last."""
    return {
        task.id: frozenset(
            treatment.tool
            for treatment in lasting(convention[word] for word in parse_errand(task.instruction).words)
        )
        for task in tasks
    }


def first_place(actions: Sequence[str], kinds: Mapping[str, object] | None = None) -> str | None:
    """The kind of receptacle that the first `go to` leads to; with `kinds`, the first to one of these."""
    for action in actions:
        move = _GO_TO.fullmatch(action.strip())
        if move and (kinds is None or move.group(1) in kinds):
            return move.group(1)
    return None
