"""`skill0 warmup`, whole and tiny: it repeats itself, goes on after a kill, and says what it made."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import PartialState
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from skill0 import cli
from skill0.agent import AgentSettings
from skill0.errors import CheckpointError, ConfigError
from skill0.policy import load_policy, shipped
from skill0.training.policy_source import prepare_policy
from skill0.training.recipe import load_recipe
from skill0.training.run import training_config
from skill0.training.tiny_warmup import demonstrate
from skill0.training.warmup import Warmup
from skill0.training.warmup_run import run_warmup
from skill0.training.world import build_world

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(util.find_spec("alfworld") is None, reason="needs the extra 'alfworld'"),
]

ROOT = Path(__file__).parents[2]

RECIPE: dict[str, Any] = {
    "output_dir": "run",
    "environment": {"train_tasks": 6, "validation_tasks": 6, "heldout_tasks": 6},
    "skills": {"bank": str(ROOT / "skills/household")},
    "policy": {"tiny": {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 2,
                        "num_key_value_heads": 2, "vision_width": 16, "vision_heads": 2}},
    "warmup": {
        "demonstrations": {"games": 4, "max_steps": 25},
        "learning": {"reading_steps": 2, "acting_steps": 3, "reading_lessons": 2, "replayed_lessons": 1,
                     "plain_lessons": 2, "skilled_lessons": 2, "save_every": 2},
    },
    "training": {"use_cpu": True, "template": "household", "skill_form": "brief", "history_in": "none",
                 "page_cell": "7x14", "page_width": 168, "page_leading": 14, "max_turns": 4},
}  # fmt: skip

MADE_BY = {"command": "skill0 warmup", "recipe": "recipe.yaml"}


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warmup") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def warmed(recipe_file: Path) -> Path:
    """A warm-up by the command, with a reading check of six households."""
    folder = recipe_file.parent / "warmed"
    found = CliRunner().invoke(
        cli.app, ["warmup", str(recipe_file), "--output", str(folder), "--seed", "3", "--check", "6"]
    )
    assert found.exit_code == 0, found.output
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_folder_holds_policy_prompts_report_and_card(warmed: Path):
    model, _ = load_policy(warmed)
    agent = AgentSettings.load(warmed)
    assert (agent.skill_form, agent.style.cell, agent.max_steps) == ("brief", "7x14", 4)
    report = json.loads((warmed / "warmup_report.json").read_text(encoding="utf-8"))
    assert report["schema"] == 1
    assert report["seed"] == 3
    assert report["learning"]["steps"] == 5
    assert report["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert report["command"] == "skill0 warmup recipe.yaml --output warmed --seed 3 --check 6"
    assert set(report["check"]["success"]) == {
        "right page", "blank page", "wrong page", "random", "blind expert",
    }  # fmt: skip
    card = (warmed / "README.md").read_text(encoding="utf-8")
    assert report["command"] in card
    assert report["warmup_sha256"] in card
    assert "6 held-out households" in card
    # Nothing but what loads: no checkpoints, no trace of the work.
    assert {file.suffix for file in warmed.iterdir()} == {".json", ".md", ".safetensors", ".jinja"}
    assert not (warmed.parent / "warmed.in-progress").exists()


def test_only_the_task_types_that_the_warmup_names_are_demonstrated(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    named = {"warmup": {**RECIPE["warmup"], "task_types": ["look_at_obj_in_light"]}}
    path.write_text(yaml.safe_dump({**RECIPE, **named}), encoding="utf-8")
    recipe = load_recipe(path)
    section = recipe.warmup
    assert section is not None
    agent = training_config(recipe, tmp_path).agent_settings()
    shown = demonstrate(recipe, section, build_world(recipe), agent, Console(quiet=True))
    assert {episode.trajectory.task.task_type for episode in shown.episodes} == {"look_at_obj_in_light"}


def test_made_again_it_is_the_same_and_with_another_seed_another(warmed: Path, recipe_file: Path):
    first = weights(warmed)
    for seed, same in ((3, True), (4, False)):
        folder = recipe_file.parent / f"again{seed}"
        run_warmup(load_recipe(recipe_file, seed=seed), folder, made_by=MADE_BY)
        again = weights(folder)
        assert again.keys() == first.keys()
        assert all(torch.equal(again[name], first[name]) for name in first) == same


def test_killed_and_called_again_it_goes_on(warmed: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed at its last step, after checkpoints of steps 2 and 4. It then has one step to go."""

    class Killed(BaseException):
        pass

    taken: list[int] = []

    def counted(warmup, step=Warmup.train_step):
        taken.append(warmup.step)
        if len(taken) == 5:
            raise Killed
        return step(warmup)

    monkeypatch.setattr(Warmup, "train_step", counted)
    recipe, folder = load_recipe(recipe_file, seed=3), recipe_file.parent / "killed"
    with pytest.raises(Killed):
        run_warmup(recipe, folder, made_by=MADE_BY)
    assert not folder.exists()
    with pytest.raises(CheckpointError, match="other"):
        run_warmup(load_recipe(recipe_file, seed=4), folder, made_by=MADE_BY)
    run_warmup(recipe, folder, made_by=MADE_BY)
    assert taken == [0, 1, 2, 3, 4, 4]
    first, resumed = weights(warmed), weights(folder)
    assert all(torch.equal(resumed[name], first[name]) for name in first)


def test_no_resume_starts_anew(recipe_file: Path):
    folder = recipe_file.parent / "anew"
    work = folder.parent / "anew.in-progress"
    (work / "checkpoint-4").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="cannot resume"):
        run_warmup(load_recipe(recipe_file), folder, made_by=MADE_BY)
    report = run_warmup(load_recipe(recipe_file), folder, made_by=MADE_BY, resume=False)
    assert report["learning"]["steps"] == 5
    assert report["check"] is None


@pytest.mark.parametrize(
    ("changes", "check", "message"),
    [
        ({"warmup": None}, 0, "has no warmup section"),
        ({"policy": {"model": "some/model"}}, 0, "'some/model', which has learnt already.*export-sft"),
        ({"environment": {"games": "store"}}, 6, "--check .*official games have none"),
        (
            {"warmup": {**RECIPE["warmup"], "corrections": {"rounds": 1}}},
            0,
            "corrections .*official games alone",
        ),
    ],
)
def test_recipes_without_a_warmup_are_refused(tmp_path: Path, changes: Any, check: int, message: str):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        run_warmup(load_recipe(path), tmp_path / "out", made_by=MADE_BY, check=check)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, recipe_file: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        run_warmup(load_recipe(recipe_file), tmp_path, made_by=MADE_BY)


def test_a_recipe_of_shipped_weights_says_how_they_were_made(
    warmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """`policy.model: shipped/...` with a warmup section: `skill0 warmup` makes such weights from nothing, and
    a run of the same recipe knows them as its own."""
    path = tmp_path / "recipe.yaml"
    policy = {**RECIPE["policy"], "model": "shipped/household"}
    path.write_text(yaml.safe_dump({**RECIPE, "policy": policy}), encoding="utf-8")
    folder = tmp_path / "weights/household"
    folder.parent.mkdir()
    recipe = load_recipe(path, seed=3)
    run_warmup(recipe, folder, made_by=MADE_BY)
    assert all(torch.equal(tensor, weights(warmed)[name]) for name, tensor in weights(folder).items())
    monkeypatch.setattr(shipped, "WEIGHTS", folder.parent)
    config = training_config(recipe, tmp_path / "run")
    prepare_policy(recipe, None, config, tmp_path / "run", Console(width=200), PartialState())  # type: ignore[arg-type]
    assert "policy: shipped/household, which this recipe's warmup section made" in capsys.readouterr().out
