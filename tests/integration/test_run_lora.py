"""`skill0 train` with an adapter: a policy saved in 16 bits, trained, evaluated, and loaded as any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from colours_runs import launch
from safetensors.torch import load_file

pytest.importorskip("alfworld")
pytest.importorskip("peft")
pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LAYERS = ["q_proj", "v_proj"]

RECIPE: dict[str, Any] = {
    "output_dir": "run",
    "environment": {"train_tasks": 12, "validation_tasks": 6, "heldout_tasks": 6},
    "skills": {"bank": str(ROOT / "skills/household")},
    "policy": {"model": "policy", "lora": {"rank": 4, "alpha": 8, "target_modules": LAYERS}},
    "training": {
        "use_cpu": True, "max_steps": 2, "learning_rate": 1e-2, "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 12, "beta": 0.02,
        "gradient_checkpointing": False, "template": "household", "skill_form": "brief",
        "history_in": "none", "page_cell": "7x14", "page_leading": 14, "page_width": 168, "max_turns": 2,
        "num_stages": 2, "curriculum_interval": 1, "helpfulness_filter": "none", "env_workers": 0,
        "save_steps": 2,
    },
    "evaluation": {"batch_size": 12},
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, beside the household policy in bfloat16."""
    from skill0.policy import load_policy, save_policy

    path = tmp_path_factory.mktemp("lora") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    model, processor = load_policy("shipped/household")
    save_policy(model.to(torch.bfloat16), processor, path.parent / "policy")
    return path


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    folder = recipe.parent / "run"
    skill0("train", str(recipe), "--output", str(folder))
    return folder


def skill0(*arguments: str) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "skill0", *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_the_policy_of_a_run_is_an_adapter_with_what_is_needed_to_use_it(recipe: Path, finished: Path):
    names = {path.name for path in (finished / "policy").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "agent.json"} <= names
    assert "model.safetensors" not in names
    belongs_to = json.loads((finished / "policy/adapter_config.json").read_text())["base_model_name_or_path"]
    assert belongs_to == str(recipe.parent / "policy")
    weights = adapter(finished / "policy")
    assert {name.split(".")[-3] for name in weights} == set(LAYERS)
    assert all(value.dtype is torch.float32 and value.any() for value in weights.values())


def test_it_is_evaluated_as_any_other_policy(finished: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    skill0("evaluate", str(finished / "policy"), "--tasks", "2", "--workers", "0", "--json", str(report))
    (arm,) = json.loads(report.read_text())["arms"].values()
    assert len(arm["outcomes"]) == 2


def test_it_is_loaded_whole_and_so_is_a_checkpoint(recipe: Path, finished: Path):
    from skill0.policy import load_policy

    base, _ = load_policy(recipe.parent / "policy", dtype="float32")
    model, _ = load_policy(finished / "policy")
    saved, _ = load_policy(finished / "checkpoints/checkpoint-2")
    changed = [
        name for name, value in model.state_dict().items() if not torch.equal(value, base.state_dict()[name])
    ]
    assert len(changed) == 4 * len(LAYERS)  # four text layers
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in model.state_dict().items())


def test_it_trains_on_two_processes_with_split_weights(recipe: Path, finished: Path):
    folder = recipe.parent / "fsdp2"
    program = (str(ROOT / "examples/train_skill0.py"), "--config", str(recipe), "--output", str(folder))
    found = launch("fsdp2", *program)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    weights = adapter(folder / "policy")
    assert weights.keys() == adapter(finished / "policy").keys()
    assert all(value.any() for value in weights.values())
