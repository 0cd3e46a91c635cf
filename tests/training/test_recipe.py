"""Recipes: what they may say, and what is said about those that are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skill0.errors import ConfigError
from skill0.policy.adapters import LoraSettings
from skill0.training.recipe import load_recipe

CURRICULA = Path(__file__).parents[2] / "curricula"

SMALL = """\
output_dir: out
environment:
  train_tasks: 12
skills:
  bank: bank
  bank_for_games: other_bank
training:
  max_steps: 3
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_paths_are_relative_to_the_recipe_and_absolute_once_read(write, tmp_path: Path):
    recipe = load_recipe(write(SMALL))
    assert recipe.output_dir == str(tmp_path / "out")
    assert recipe.skills.bank == str(tmp_path / "bank")
    assert recipe.environment.train_tasks == 12
    assert recipe.environment.heldout_tasks == 48  # the default


def test_official_games_bring_their_own_bank(write, tmp_path: Path):
    """Conventions of generated households do not hold in official games."""
    recipe = load_recipe(write(SMALL), games="games")
    assert recipe.skills.bank == str(tmp_path / "other_bank")
    assert recipe.environment.games == str(Path("games").resolve())


def test_official_games_may_bring_their_own_policy(write, tmp_path: Path):
    """Shipped weights know the words of households only; their name is never taken for a folder."""
    (tmp_path / "shipped/household").mkdir(parents=True)
    text = SMALL + "policy: {model: shipped/household, model_for_games: tiny}\n"
    assert load_recipe(write(text)).policy.model == "shipped/household"
    assert load_recipe(write(text), games="games").policy.model == "tiny"


def test_arguments_replace_what_the_file_says(write, tmp_path: Path):
    recipe = load_recipe(write(SMALL), skills="mine", output_dir="there", seed=7, max_steps=2)
    assert recipe.skills.bank == str(Path("mine").resolve())
    assert recipe.output_dir == str(Path("there").resolve())
    assert recipe.seed == 7
    assert recipe.training["max_steps"] == 2


def test_what_the_study_recorded_is_told_of_its_own_recipe_only(write):
    text = SMALL + "evaluation: {recorded: study.json}\n"
    assert load_recipe(write(text), seed=7, output_dir="there").evaluation.recorded is not None
    assert load_recipe(write(text), skills="mine").evaluation.recorded is None
    assert load_recipe(write(text), max_steps=2).evaluation.recorded is None


def test_the_digest_tells_two_runs_apart_but_not_two_folders(write):
    recipe = load_recipe(write(SMALL))
    assert load_recipe(write(SMALL), output_dir="elsewhere").digest == recipe.digest
    assert load_recipe(write(SMALL), seed=1).digest != recipe.digest
    told = replace(recipe, evaluation=replace(recipe.evaluation, recorded="study.json"))
    assert told.digest == recipe.digest  # what is only shown beside a run changes nothing in it


def test_an_adapter_is_part_of_a_recipe_where_there_is_one(write):
    plain = load_recipe(write(SMALL))
    assert "lora" not in plain.as_dict()["policy"]  # digests of recipes without one are what they were
    recipe = load_recipe(write(SMALL + "policy:\n  lora: {rank: 4, target_modules: [q_proj, v_proj]}\n"))
    assert recipe.policy.lora == LoraSettings(rank=4, target_modules=("q_proj", "v_proj"))
    assert recipe.digest != plain.digest
    assert load_recipe(write(SMALL + "policy: {lora: {}}\n")).policy.lora == LoraSettings()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "output_dir: out\nsed: 1\nskills: {bank: b}",
            r"recipe.yaml:2: sed: unknown key; did you mean 'seed'",
        ),
        (
            "output_dir: out\nskills: {bank: b}\nenvironment:\n  seed: 1\n  trian_tasks: 3",
            r"recipe.yaml:5: environment.trian_tasks: unknown key; did you mean 'train_tasks'",
        ),
        (
            "output_dir: out\nskills: {bank: b}\ntraining:\n  learnin_rate: 1",
            r"recipe.yaml:4: training.learnin_rate: unknown key; did you mean 'learning_rate'",
        ),
        ("output_dir: out\nskills: {bank: b}\ntraining:\n  seed: 1", "set the recipe's own seed instead"),
        (
            "output_dir: out\nskills: {bank: b}\ntraining:\n  learning_rate: 3e-4",
            "recipe.yaml:4: training.learning_rate: YAML reads '3e-4' as text",
        ),
        ("output_dir: out\nskills: {bank: b}\nseed: many", "recipe.yaml:3: seed: .*integer"),
        ("output_dir: out\nskills: {bank: b}\nenvironment: {train_tasks: 0}", "at least 1"),
        (
            "output_dir: out\nskills: {bank: b}\nenvironment:\n  households: {size: huge}",
            "recipe.yaml:4: environment.households.size",
        ),
        (
            "output_dir: out\nskills: {bank: b}\npolicy:\n  lora: {rnk: 4}",
            r"recipe.yaml:4: policy.lora.rnk: unknown key; did you mean 'rank'",
        ),
        (
            "output_dir: out\nskills: {bank: b}\npolicy:\n  lora: {dropout: 1.0}",
            "recipe.yaml:4: policy.lora: .*dropout must lie in",
        ),
        ("skills: {bank: b}", "output_dir"),
        ("output_dir: out", "skills.bank"),
        ("output_dir: [", "not valid YAML"),
        ("- a\n- b", "mapping of sections"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(write, wrong: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(wrong))


def test_a_recipe_on_a_base_says_only_how_it_differs(tmp_path: Path):
    """Sections merge, lists and scalars replace; paths stay relative to the file that names them."""
    (tmp_path / "base.yaml").write_text(
        "output_dir: out\nskills: {bank: bank}\npolicy: {model: weights}\n"
        "training: {max_steps: 3, budgets: [2, 1, 0]}\n"
    )
    (tmp_path / "weights").mkdir()
    (tmp_path / "arms").mkdir()
    arm = tmp_path / "arms" / "arm.yaml"
    arm.write_text("base: ../base.yaml\noutput_dir: own\ntraining: {budgets: [0]}\n")
    recipe = load_recipe(arm)
    assert recipe.training == {"max_steps": 3, "budgets": [0]}
    assert recipe.skills.bank == str(tmp_path / "bank")
    assert recipe.policy.model == str(tmp_path / "weights")
    assert recipe.output_dir == str(tmp_path / "arms" / "own")


def test_another_base_for_the_same_difference(tmp_path: Path):
    for name, steps in (("one", 1), ("two", 2)):
        (tmp_path / f"{name}.yaml").write_text(
            f"output_dir: out\nskills: {{bank: b}}\ntraining: {{max_steps: {steps}}}\n"
        )
    arm = tmp_path / "arm.yaml"
    arm.write_text("base: one.yaml\nseed: 5\n")
    assert load_recipe(arm).training["max_steps"] == 1
    assert load_recipe(arm, base=tmp_path / "two.yaml").training["max_steps"] == 2
    with pytest.raises(ConfigError, match="names no base"):
        load_recipe(tmp_path / "one.yaml", base=tmp_path / "two.yaml")


@pytest.mark.parametrize(
    ("base", "arm", "message"),
    [
        (
            SMALL,
            "base: base.yaml\n\ntraining:\n  learnin_rate: 1",
            r"arm.yaml:4: training.learnin_rate: unknown",
        ),
        (SMALL, "base: base.yaml\nseed: many", "arm.yaml:2: seed: .*integer"),
        (SMALL + "sed: 1\n", "base: base.yaml", "base.yaml:9: sed: unknown key"),
        (SMALL, "seed: 1\nbase: other.yaml", "arm.yaml:2: base: there is no recipe .*other.yaml"),
        (SMALL, "base: [base.yaml]", "arm.yaml:1: base: the path of a recipe is wanted"),
        ("base: arm.yaml\n" + SMALL, "base: base.yaml", "base.yaml has a base itself"),
    ],
)
def test_a_mistake_is_told_of_the_file_that_makes_it(tmp_path: Path, base: str, arm: str, message: str):
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "arm.yaml").write_text(arm)
    with pytest.raises(ConfigError, match=message):
        load_recipe(tmp_path / "arm.yaml")


def test_a_recipe_that_is_not_there():
    with pytest.raises(ConfigError, match="no such recipe"):
        load_recipe("nowhere.yaml")


@pytest.mark.parametrize("path", sorted(CURRICULA.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_that_comes_along_is_valid(path: Path):
    recipe = load_recipe(path)
    assert Path(recipe.skills.bank).is_dir()
