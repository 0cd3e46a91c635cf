"""The weights that come with the package: they are there, small, described, in what is packed, and read."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from importlib import util
from pathlib import Path

import pytest

from skill0.agent import AgentSettings
from skill0.errors import PolicyError
from skill0.policy import load_policy, load_processor, policy_folder, shipped_names

MOST_BYTES = 6_000_000
RIGHT_PAGE_AT_LEAST, WRONG_PAGE_AT_MOST = 0.8, 0.1
GAMES, SEED = 24, 7
"""Of the reading test: 24 games are few, and the thresholds lie beyond what chance makes of 90 % and 5 %."""

ROOT = Path(__file__).parents[2]
NAMES = ("shipped/alfworld", "shipped/household")
FOLDER = policy_folder("shipped/household")


def test_what_comes_along_has_a_name():
    assert shipped_names() == NAMES
    assert policy_folder("runs/mine") == Path("runs/mine")
    with pytest.raises(PolicyError, match=r"'shipped/castle' does not come with skill0; .*shipped/household"):
        load_policy("shipped/castle")
    with pytest.raises(PolicyError, match="does not come with skill0"):
        policy_folder("shipped/")


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_safe(name: str):
    files = [file for file in policy_folder(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES
    assert not [file.name for file in files if file.suffix in {".bin", ".pt", ".pth", ".pkl"}]


@pytest.mark.parametrize("name", NAMES)
def test_model_processor_and_prompts_load(name: str):
    model, processor = load_policy(name)
    assert model.config.model_type == "qwen2_5_vl"
    assert load_processor(name).tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert AgentSettings.load(policy_folder(name)).shows_page


@pytest.mark.parametrize("name", NAMES)
def test_the_model_card_says_how_they_were_made(name: str):
    card = (policy_folder(name) / "README.md").read_text(encoding="utf-8")
    for words in ("license: apache-2.0", "skill0 warmup curricula/", "Seed", "Versions: python", "## Limits"):
        assert words in card


@pytest.mark.parametrize("name", NAMES)
def test_they_were_made_by_the_recipe_that_they_name(name: str):
    """After a change of that recipe's warm-up, make them again: the card has the command."""
    from skill0.training.recipe import load_recipe
    from skill0.training.run import training_config
    from skill0.training.tiny_warmup import warmup_digest

    report = json.loads((policy_folder(name) / "warmup_report.json").read_text(encoding="utf-8"))
    games = report["settings"]["environment"]["games"]
    recipe = load_recipe(ROOT / report["recipe"], games=games, seed=report["seed"])
    assert recipe.warmup is not None
    agent = training_config(recipe, policy_folder(name)).agent_settings()
    assert warmup_digest(recipe, recipe.warmup, agent) == report["warmup_sha256"]


@pytest.mark.integration
@pytest.mark.skipif(util.find_spec("alfworld") is None, reason="needs the extra 'alfworld'")
def test_the_first_steps_of_the_recipe_go_as_the_report_says(tmp_path: Path):
    """Ten steps anew, from the same seed and demonstrations: losses as they were, up to the processor's
    rounding."""
    from rich.console import Console

    from skill0.policy import build_tiny_policy
    from skill0.training.recipe import load_recipe
    from skill0.training.run import training_config
    from skill0.training.tiny_warmup import demonstrate
    from skill0.training.warmup import LOG_EVERY, Warmup
    from skill0.training.world import build_world

    report = json.loads((FOLDER / "warmup_report.json").read_text(encoding="utf-8"))
    recipe = load_recipe(ROOT / report["recipe"], seed=report["seed"])
    assert recipe.warmup is not None
    agent = training_config(recipe, tmp_path).agent_settings()
    shown = demonstrate(recipe, recipe.warmup, build_world(recipe), agent, Console(quiet=True))
    assert (len(shown), shown.turns) == (
        report["demonstrations"]["episodes"],
        report["demonstrations"]["turns"],
    )
    tiny = recipe.policy.tiny
    model, processor = build_tiny_policy(tiny, shown.lexicon(), recipe.seed, names=shown.whole_names())
    warmup = Warmup(model, processor, shown, recipe.warmup.learning, tmp_path)
    for _ in range(LOG_EVERY):
        warmup.train_step()
    (found,) = warmup.report.curve
    expected = report["learning"]["curve"][0]
    names = [name for name in expected if name != "seconds"]
    assert {name: found[name] for name in names} == pytest.approx(
        {name: expected[name] for name in names}, rel=1e-3, abs=1e-3
    )


@pytest.mark.integration
def test_wheel_and_source_archive_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What setuptools packs, from a copy of the repository: every file of the folder, nothing beside it."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "skill0", copy / "skill0", ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    monkeypatch.chdir(copy)
    build_meta = pytest.importorskip("setuptools.build_meta")
    wheel = tmp_path / build_meta.build_wheel(str(tmp_path))
    archive = tmp_path / build_meta.build_sdist(str(tmp_path))
    folders = [policy_folder(name) for name in NAMES]
    wanted = {
        f"skill0/policy/weights/{folder.name}/{file.name}" for folder in folders for file in folder.iterdir()
    }
    with zipfile.ZipFile(wheel) as packed:
        assert wanted == {name for name in packed.namelist() if "/weights/" in name}
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert wanted <= names


@pytest.mark.integration
@pytest.mark.skipif(util.find_spec("alfworld") is None, reason="needs the extra 'alfworld'")
def test_it_reads_pages_of_conventions_that_nobody_has_seen():
    from skill0 import TransformersPolicy
    from skill0.envs import EnvPool
    from skill0.envs.alfworld import AlfWorldEnvFactory, generate_games
    from skill0.training.reading_check import reading_check

    agent = AgentSettings.load(FOLDER)
    games = generate_games(GAMES, SEED, convention=None, split="tests")
    with EnvPool(AlfWorldEnvFactory(max_steps=agent.max_steps)) as pool:
        policy = TransformersPolicy(*load_policy("shipped/household"))
        found = reading_check(policy, games, agent, pool, arms=("right", "wrong"))
    assert (found["right page"].success().value or 0) >= RIGHT_PAGE_AT_LEAST
    assert (found["wrong page"].success().value or 0) <= WRONG_PAGE_AT_MOST
