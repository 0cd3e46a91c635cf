"""The run folder: finished runs are never touched, unfinished ones are resumed by their own recipe only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from skill0.errors import ConfigError
from skill0.training.recipe import Recipe, SkillsSection
from skill0.training.run_folder import claim, run_folder


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(output_dir=str(tmp_path / "run"), skills=SkillsSection(bank="bank"))


def test_a_fresh_run_takes_the_folder_named(recipe: Recipe):
    assert run_folder(recipe) == Path(recipe.output_dir)


def test_the_same_recipe_resumes_an_unfinished_run(recipe: Recipe):
    claim(run_folder(recipe), recipe)
    assert run_folder(recipe) == Path(recipe.output_dir)


def test_another_recipe_may_not_take_over_an_unfinished_run(recipe: Recipe):
    claim(run_folder(recipe), recipe)
    with pytest.raises(ConfigError, match="unfinished run of another recipe"):
        run_folder(replace(recipe, seed=1))


def test_after_a_finished_run_the_next_gets_a_folder_of_its_own(recipe: Recipe):
    folder = run_folder(recipe)
    claim(folder, recipe)
    (folder / "results.json").write_text("{}", encoding="utf-8")
    assert run_folder(recipe) == Path(f"{recipe.output_dir}-2")


def test_a_folder_with_something_else_in_it_is_refused(recipe: Recipe):
    Path(recipe.output_dir).mkdir()
    (Path(recipe.output_dir) / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match="no run of skill0"):
        run_folder(recipe)


def test_the_folder_says_what_runs_in_it(recipe: Recipe):
    folder = run_folder(recipe)
    claim(folder, recipe)
    assert yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))["skills"]["bank"] == "bank"
    assert "torch" in json.loads((folder / "versions.json").read_text(encoding="utf-8"))
