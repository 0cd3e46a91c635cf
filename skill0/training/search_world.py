"""The world of a run that searches: questions in three sets, a retriever, a skill bank."""

from __future__ import annotations

import logging

from skill0.context import template_named
from skill0.envs.base import Task
from skill0.envs.search import SearchEnvFactory, SearchSettings, tasks_from
from skill0.envs.search.almanac.book import AlmanacSettings, true_arrangement
from skill0.envs.search.almanac.env import AlmanacEnvFactory
from skill0.envs.search.almanac.questions import split_games
from skill0.envs.search.engines import adjusted, index_facts, open_corpus
from skill0.envs.search.facts.world import build_facts
from skill0.envs.search.sets import load_files
from skill0.errors import ConfigError
from skill0.skills import SkillBank, group_by_relevance
from skill0.training.recipe import EnvironmentSection, Recipe, SearchSection
from skill0.training.searching_expert import facts_of
from skill0.training.world import World, spread

logger = logging.getLogger(__name__)

Sets = tuple[list[Task], list[Task], list[Task]]

TURNS = SearchSettings().max_steps
"""Turns of an episode where a recipe does not say."""


def search_world(recipe: Recipe, section: SearchSection) -> World:
    """The world of a recipe whose environment searches; the same for every process.

    Raises:
        EnvError, RetrievalError: questions or passages cannot be had.
        ConfigError: there are fewer questions than the recipe asks for, or its prompts do not search.
        SkillError, GroupingError: the bank cannot be read, or leaves a task type unserved.
    """
    check_template(recipe.training.get("template", "alfworld"))
    if recipe.warmup is not None:
        raise ConfigError("warmup: there are no demonstrations of searching yet; remove the section")
    if section.train:
        train, validation, heldout = _from_files(recipe, section)
        source = open_corpus(section.corpus or "")
    else:
        world = build_facts(section.facts)
        environment = recipe.environment
        counts = environment.train_tasks, environment.validation_tasks, environment.heldout_tasks
        train, validation, heldout = map(tasks_from, world.split(*counts))
        source = index_facts(world)
    bank = SkillBank.load(recipe.skills.bank)
    grouping = group_by_relevance(bank, [*train, *validation, *heldout], recipe.skills.allow_unmatched)
    source = adjusted(source, section.server, section.compiled)
    env = SearchEnvFactory(source, section.settings(recipe.training.get("max_turns", TURNS)))
    return World(tuple(train), tuple(validation), tuple(heldout), bank, grouping, env, {})


def almanac_world(recipe: Recipe, settings: AlmanacSettings) -> World:
    """The world of a recipe whose environment is the almanac, in its true arrangement.

    Raises:
        EnvError: the packages with the facts are not installed.
        ConfigError: there are fewer questions than the recipe asks for, its prompts do not search, or a brief
            says something else than the arrangement.
        SkillError, GroupingError: the bank cannot be read, or leaves a task type unserved.
    """
    check_template(recipe.training.get("template", "alfworld"))
    environment, arrangement = recipe.environment, true_arrangement()
    counts = environment.train_tasks, environment.validation_tasks, environment.heldout_tasks
    games = split_games(counts, recipe.seed, settings, arrangement)
    train, validation, heldout = (tuple(game.as_task() for game in split) for split in games)
    bank = SkillBank.load(recipe.skills.bank)
    for file in bank:
        for relation, section in facts_of([file]).items():
            if arrangement.get(relation, section) != section:
                raise ConfigError(
                    f"{file.source or file.name}: a brief says that {relation} stands in {section}, but the "
                    f"almanac tells it in {arrangement[relation]}"
                )
    grouping = group_by_relevance(bank, [*train, *validation, *heldout], recipe.skills.allow_unmatched)
    env = AlmanacEnvFactory(recipe.training.get("max_turns", TURNS))
    return World(train, validation, heldout, bank, grouping, env, arrangement)


def check_template(name: str) -> None:
    """Raises `ConfigError` unless prompts of this template ask for searches and answers."""
    if template_named(name).reply_form != "search":
        raise ConfigError(
            f"template={name!r} does not ask for searches and answers: set template to 'search', or to "
            "'question' for a tiny policy"
        )


def _from_files(recipe: Recipe, section: SearchSection) -> Sets:
    environment = recipe.environment
    train = _tasks("train", section)
    wanted = environment.train_tasks + (0 if section.validation else environment.validation_tasks)
    chosen = _enough(train, wanted, "train", environment, recipe.seed)
    if section.validation:
        others = _tasks("validation", section)
        validation = _enough(others, environment.validation_tasks, "validation", environment, recipe.seed)
    else:
        validation = spread(chosen, environment.validation_tasks, recipe.seed)
    taken = {task.id for task in validation}
    kept = [task for task in chosen if task.id not in taken]
    if section.validation and len(kept) < len(chosen):
        logger.warning(
            "environment.search: %d of %d training questions are for validation too and are left out",
            len(chosen) - len(kept), len(chosen),
        )  # fmt: skip
    last = _tasks("heldout", section)
    return kept, validation, _enough(last, environment.heldout_tasks, "heldout", environment, recipe.seed)


def _tasks(name: str, section: SearchSection) -> list[Task]:
    """The tasks of a set of files; what the published rule leaves out is said."""
    found = load_files(getattr(section, name), published_types=section.published_types)
    if found.dropped:
        logger.warning(
            "environment.search.%s: %d of %d questions have no task type by the published rule and are left "
            "out", name, found.dropped, found.dropped + len(found.questions),
        )  # fmt: skip
    return tasks_from(found.questions)


def _enough(
    tasks: list[Task], count: int, name: str, environment: EnvironmentSection, seed: int
) -> list[Task]:
    if len(tasks) < count:
        raise ConfigError(
            f"environment.search.{name}: {len(tasks)} questions, but the recipe asks for {count} "
            f"(train_tasks {environment.train_tasks}, validation_tasks {environment.validation_tasks}, "
            f"heldout_tasks {environment.heldout_tasks})"
        )
    return spread(tasks, count, seed)
