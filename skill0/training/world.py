"""The world of a run: its tasks in three sets, its skill bank, and which file serves which task type."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from skill0.envs.alfworld import (
    AlfWorldEnvFactory,
    Game,
    default_cache_dir,
    generate_games,
    load_games,
    sample_convention,
    tasks_from,
)
from skill0.envs.base import Task
from skill0.envs.search import SearchEnvFactory
from skill0.envs.search.almanac.env import AlmanacEnvFactory
from skill0.errors import ConfigError, GameStoreError
from skill0.skills import Grouping, SkillBank, group_by_relevance
from skill0.training.recipe import EnvironmentSection, Recipe
from skill0.training.searching_expert import facts_of

GameOrTask = TypeVar("GameOrTask", Game, Task)


@dataclass(frozen=True)
class World:
    """Everything a run acts on.

    `validation` tasks are taken out of the training data and measure helpfulness; `heldout` tasks are only
    ever evaluated. `convention` is what skill files tell of generated households and of the almanac, and
    empty for others.
    """

    train: tuple[Task, ...]
    validation: tuple[Task, ...]
    heldout: tuple[Task, ...]
    bank: SkillBank
    grouping: Grouping
    env: AlfWorldEnvFactory | SearchEnvFactory | AlmanacEnvFactory
    convention: Mapping[str, str]


def build_world(recipe: Recipe) -> World:
    """The world that a recipe describes; the same for every process.

    Raises:
        GameStoreError: there are no games, or fewer than the recipe asks for.
        EnvError, RetrievalError: the questions or passages of a recipe that searches cannot be had.
        SkillError, GroupingError: the bank cannot be read, or leaves a task type unserved.
        ConfigError: the bank's facts contradict the households' convention or the almanac's arrangement, or
            settings are for another retriever.
    """
    environment = recipe.environment
    if environment.almanac is not None:
        from skill0.training.search_world import almanac_world

        return almanac_world(recipe, environment.almanac)
    if environment.search is not None:
        from skill0.training.search_world import search_world

        return search_world(recipe, environment.search)
    convention: Mapping[str, str] = {}
    if environment.games is None:
        convention = sample_convention(environment.convention_seed, environment.households)
        train, validation, heldout = _generated(recipe, convention)
    else:
        train, validation, heldout = _from_store(recipe, environment.games)
    bank = SkillBank.load(recipe.skills.bank)
    if convention:
        check_bank_agrees(bank, convention, environment)
    tasks = tuple(tasks_from(games) for games in (train, validation, heldout))
    grouping = group_by_relevance(
        bank, [task for group in tasks for task in group], recipe.skills.allow_unmatched
    )
    factory = AlfWorldEnvFactory(
        max_steps=recipe.training.get("max_turns", 50), cache_dir=str(default_cache_dir())
    )
    return World(tuple(tasks[0]), tuple(tasks[1]), tuple(tasks[2]), bank, grouping, factory, convention)


def _generated(recipe: Recipe, convention: Mapping[str, str]) -> tuple[list[Game], list[Game], list[Game]]:
    environment, settings = recipe.environment, recipe.environment.households

    def households(count: int, split: str) -> list[Game]:
        return generate_games(count, recipe.seed, settings, convention, split=split)

    train = households(environment.train_tasks, "train")
    validation = households(environment.validation_tasks, "validation")
    heldout = households(environment.heldout_tasks, "heldout")
    return train, validation, heldout


def _from_store(recipe: Recipe, path: str) -> tuple[list[Game], list[Game], list[Game]]:
    environment = recipe.environment
    games, heldout = load_games(path, "train"), load_games(path, environment.heldout_split)
    if len(heldout) < environment.heldout_tasks:
        raise GameStoreError(
            f"{path}: the split {environment.heldout_split!r} has {len(heldout)} games, but the recipe asks "
            f"for {environment.heldout_tasks} held-out tasks"
        )
    wanted = environment.train_tasks + environment.validation_tasks
    if len(games) < wanted:
        raise GameStoreError(
            f"{path}: the split 'train' has {len(games)} games, but the recipe asks for "
            f"{environment.train_tasks} to train on and {environment.validation_tasks} to validate with"
        )
    chosen = spread(games, wanted, recipe.seed)
    validation = spread(chosen, environment.validation_tasks, recipe.seed)
    taken = {game.id for game in validation}
    train = [game for game in chosen if game.id not in taken]
    return train, validation, spread(heldout, environment.heldout_tasks, recipe.seed)


def spread(games: Sequence[GameOrTask], count: int, seed: int) -> list[GameOrTask]:
    """`count` games drawn without replacement (all, if there are fewer), the task types in turn as long as
    each has games left. The same for tasks."""
    piles: dict[str, list[GameOrTask]] = defaultdict(list)
    for game in games:
        piles[game.task_type].append(game)
    draw = random.Random(f"spread {seed}")
    for name in sorted(piles):
        draw.shuffle(piles[name])
    chosen: list[GameOrTask] = []
    while len(chosen) < min(count, len(games)):
        for name in sorted(piles):
            if piles[name] and len(chosen) < count:
                chosen.append(piles[name].pop())
    return chosen


def check_bank_agrees(
    bank: SkillBank, convention: Mapping[str, str], environment: EnvironmentSection
) -> None:
    """Raise `ConfigError` when a skill's brief says something else than the households' convention."""
    seed, kind = environment.convention_seed, environment.households.kind
    options = f"--kind {kind} --convention-seed {seed}"
    for file in bank:
        for key, told in facts_of([file]).items():
            true = convention.get(key, told)
            if true == told:
                continue
            if kind == "procedure":
                wrong = (
                    f"{key!r} stands for {told!r}, but for households of convention_seed={seed} for {true!r}"
                )
            else:
                wrong = (
                    f"a {key} is kept in {told}, but households of convention_seed={seed} keep it in {true}"
                )
            raise ConfigError(
                f"{file.source or file.name}: a brief says that {wrong}. Take another convention_seed, or "
                f"write the bank of this one: skill0 skills household {options} FOLDER"
            )
