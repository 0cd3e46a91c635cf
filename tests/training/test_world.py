"""The world of a run: three sets of tasks that share nothing, and a bank that tells the truth about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from skill0.envs.alfworld import HouseholdSettings
from skill0.errors import ConfigError, GameStoreError
from skill0.training.recipe import EnvironmentSection, Recipe, SkillsSection
from skill0.training.world import build_world

pytest.importorskip("alfworld")

BANKS = Path(__file__).parents[2] / "skills"


@pytest.fixture
def recipe() -> Recipe:
    environment = EnvironmentSection(train_tasks=12, validation_tasks=6, heldout_tasks=6)
    return Recipe("unused", environment=environment, skills=SkillsSection(bank=str(BANKS / "household")))


def test_training_validation_and_held_out_households_are_different_games(recipe: Recipe):
    world = build_world(recipe)
    ids = [task.id for tasks in (world.train, world.validation, world.heldout) for task in tasks]
    assert len(ids) == len(set(ids)) == 24
    assert set(Counter(task.task_type for task in world.heldout).values()) == {1}


def test_the_same_recipe_makes_the_same_world(recipe: Recipe):
    assert build_world(recipe) == build_world(recipe)
    assert build_world(replace(recipe, seed=1)).train != build_world(recipe).train


def test_a_bank_that_tells_another_convention_is_an_error(recipe: Recipe):
    other = replace(recipe, environment=replace(recipe.environment, convention_seed=1))
    with pytest.raises(ConfigError, match=r"a brief says that a .* is kept in .*convention_seed=1"):
        build_world(other)


def test_so_is_one_whose_words_stand_for_something_else(recipe: Recipe):
    households = HouseholdSettings(kind="procedure")
    environment = replace(recipe.environment, households=households, convention_seed=1)
    other = replace(recipe, environment=environment, skills=SkillsSection(str(BANKS / "household_procedure")))
    message = r"a brief says that '.*' stands for '.*', but for .*convention_seed=1 for .*--kind procedure "
    with pytest.raises(ConfigError, match=message + "--convention-seed 1 FOLDER"):
        build_world(other)


def test_official_validation_games_are_taken_out_of_the_train_split(recipe: Recipe, shared_data: Path):
    environment = replace(recipe.environment, games=str(shared_data / "alfworld"))
    skills = SkillsSection(bank=str(BANKS / "alfworld"))
    world = build_world(replace(recipe, environment=environment, skills=skills))
    assert {task.payload.split for task in (*world.train, *world.validation)} == {"train"}
    assert {task.payload.split for task in world.heldout} == {"valid_seen"}
    assert not {task.id for task in world.train} & {task.id for task in world.validation}


def test_asking_for_more_games_than_there_are(recipe: Recipe, shared_data: Path):
    environment = replace(recipe.environment, games=str(shared_data / "alfworld"), train_tasks=4000)
    with pytest.raises(GameStoreError, match="has 3553 games, but the recipe asks for 4000"):
        build_world(replace(recipe, environment=environment))
