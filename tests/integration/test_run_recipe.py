"""`skill0 train`, whole: real engine, model and processes, at the smallest size that has every phase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas
import pytest
import yaml
from colours_runs import nobody_is_left
from safetensors.torch import load_file

pytest.importorskip("alfworld")
pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

RECIPE = {
    "output_dir": "run",
    "environment": {"train_tasks": 12, "validation_tasks": 6, "heldout_tasks": 6},
    "skills": {"bank": str(ROOT / "skills/household"), "bank_for_games": str(ROOT / "skills/alfworld")},
    "policy": {"tiny": {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 2,
                        "num_key_value_heads": 2, "vision_width": 16, "vision_heads": 2}},
    "warmup": {
        "demonstrations": {"games": 6, "max_steps": 25},
        "learning": {"reading_steps": 2, "acting_steps": 4, "save_every": 2},
    },
    "training": {
        "use_cpu": True, "max_steps": 4, "learning_rate": 1e-3, "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 12,
        "gradient_checkpointing": False, "turn_micro_batch_size": 16, "template": "household",
        "skill_form": "brief", "history_in": "none", "page_cell": "7x14", "page_leading": 14, "max_turns": 3,
        "num_stages": 2, "curriculum_interval": 1, "helpfulness_filter": "none", "env_workers": 1,
        "save_steps": 1,
    },
    "evaluation": {"probe_every": 2, "batch_size": 12},
}  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    """A run from start to end."""
    return train(recipe, recipe.parent / "finished")


def command(recipe: Path, folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "skill0", "train", str(recipe), "--output", str(folder), *options]


def train(recipe: Path, folder: Path, *options: str) -> Path:
    found = subprocess.run(
        command(recipe, folder, *options),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return folder


def test_the_run_leaves_everything_it_promises(finished: Path):
    for name in (
        "recipe.yaml", "versions.json", "warmup/policy/model.safetensors", "checkpoints/metrics.jsonl",
        "metrics.parquet", "policy/model.safetensors", "policy/agent.json", "evaluation_before.json",
        "evaluation_after.json", "curriculum.png", "success.png", "pages.png",
    ):  # fmt: skip
        assert (finished / name).is_file(), name
    results = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    assert results["schema"] == 1
    assert results["steps"] == 4
    assert set(results["success"]) == {"without skills", "with skills", "random policy"}
    assert results["success"]["with skills"]["after"]["tasks"] == 6


def test_the_last_stage_has_budget_0_and_an_empty_context(finished: Path):
    """Two stages of two steps, budgets 6 and 0. An empty page is 56 x 56 pixels: 4 visual tokens."""
    rows = pandas.read_parquet(finished / "metrics.parquet")
    steps = rows[rows["success"].notna()].drop_duplicates("step").set_index("step")
    assert list(steps["curriculum/budget"]) == [6, 6, 0, 0]
    assert list(steps["curriculum/active_files"]) == [6, 6, 0, 0]
    assert (steps["context/visual_tokens"][:2] > 20).all()
    assert list(steps["context/visual_tokens"][2:]) == [4, 4]


def test_the_policy_loads_with_plain_transformers_in_a_process_without_skill0(finished: Path):
    """Every weight is found, and the model answers a prompt with an image."""
    code = """
import sys
sys.modules["skill0"] = None  # importing it is an error from here on
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
folder = sys.argv[1]
model, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
tokenizer = AutoTokenizer.from_pretrained(folder)
text = "<|im_start|>user\\n<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>task: look<|im_end|>\\n"
ids = tokenizer(text, return_tensors="pt").input_ids
reply = model.generate(
    input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=torch.zeros(16, 1176),
    image_grid_thw=torch.tensor([[1, 4, 4]]), mm_token_type_ids=(ids == model.config.image_token_id).long(),
    max_new_tokens=3, do_sample=False,
)
print(type(model).__name__, reply.shape[1] - ids.shape[1])
"""
    found = subprocess.run(
        [sys.executable, "-c", code, str(finished / "policy")], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
    name, length = found.stdout.split()
    assert name == "Qwen2_5_VLForConditionalGeneration"
    assert 1 <= int(length) <= 3


def test_a_run_killed_in_the_middle_and_called_again_ends_like_one_that_was_not(recipe: Path, finished: Path):
    """kill -9 as soon as the second checkpoint is whole; then the same command again."""
    folder = recipe.parent / "killed"
    process = subprocess.Popen(
        command(recipe, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    deadline = time.monotonic() + 500
    while not (folder / "checkpoints" / "checkpoint-2").is_dir():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "results.json").exists()
    train(recipe, folder)
    assert same_weights(folder, finished)
    assert curriculum_of(folder) == curriculum_of(finished)
    assert outcomes_of(folder) == outcomes_of(finished)
    steps = [json.loads(line) for line in (folder / "checkpoints/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "success" in row] == [1, 2, 3, 4]


def test_a_run_that_sigterm_stops_leaves_no_process_and_ends_like_one_that_was_not(
    recipe: Path, finished: Path
):
    """Schedulers send SIGTERM to all processes of a job: here to the run and its environment worker."""
    folder = recipe.parent / "stopped"
    process = subprocess.Popen(
        command(recipe, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment(), start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 500
    while not (folder / "checkpoints" / "checkpoint-1").is_dir():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143, errors[-3000:]
    assert "TrainingStopped: training was stopped by SIGTERM at step" in errors
    assert nobody_is_left(process.pid)
    assert not (folder / "results.json").exists()
    train(recipe, folder)
    assert same_weights(folder, finished)
    assert outcomes_of(folder) == outcomes_of(finished)


def test_a_recipe_keeps_the_best_checkpoint_by_zero_shot_success(recipe: Path):
    """Validation tasks are played without skills at every step; the weights of the best are the result."""
    best = {
        "max_steps": 3, "eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True,
        "metric_for_best_model": "eval_success_without_skills", "save_total_limit": 1,
    }  # fmt: skip
    path = recipe.with_name("best.yaml")
    path.write_text(yaml.safe_dump({**RECIPE, "training": {**RECIPE["training"], **best}}), encoding="utf-8")
    folder = train(path, recipe.parent / "best")
    rows = [json.loads(line) for line in (folder / "checkpoints/metrics.jsonl").read_text().splitlines()]
    success = {row["step"]: row[key] for row in rows if (key := "eval_success_without_skills") in row}
    assert sorted(success) == [1, 2, 3]
    # The first of the best. The newest checkpoint stays beside it, to resume from.
    step = max(success, key=lambda step: (success[step], -step))
    saved = load_file(folder / f"checkpoints/checkpoint-{step}/model.safetensors")
    result = load_file(folder / "policy/model.safetensors")
    assert saved.keys() == result.keys()
    assert all(saved[name].equal(result[name]) for name in saved)
    assert {path.name for path in (folder / "checkpoints").glob("checkpoint-*")} <= {
        f"checkpoint-{step}", "checkpoint-3"
    }  # fmt: skip


def test_two_runs_with_one_seed_are_one_and_another_seed_is_another(recipe: Path, finished: Path):
    again = train(recipe, recipe.parent / "again")
    assert same_weights(again, finished)
    assert outcomes_of(again) == outcomes_of(finished)
    other = train(recipe, recipe.parent / "other", "--seed", "1")
    assert not same_weights(other, finished)


@pytest.mark.parametrize("way", ["single", "ddp", "fsdp2", "zero2", "zero3"])
def test_every_way_of_launching_trains_the_same_recipe(recipe: Path, finished: Path, way: str):
    if way.startswith("zero"):
        pytest.importorskip("deepspeed")
    folder = recipe.parent / way
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    options = ["--config_file", str(ROOT / f"examples/accelerate/{way}.yaml")]
    program = [str(ROOT / "examples/train_skill0.py"), "--config", str(recipe), "--output", str(folder)]
    found = subprocess.run(
        [*launcher, *options, *program, "--max-steps", "2"],
        capture_output=True, text=True, env={**environment(), "DS_ACCELERATOR": "cpu"}, timeout=800,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["steps"] == 2
    # Each process plays its own 8 trajectories a step.
    rows = pandas.read_parquet(folder / "metrics.parquet")
    assert rows["rollout/trajectories"].dropna().iloc[0] == (8 if way == "single" else 16)
    # What was saved is whole.
    start, end = (
        load_file(place / "model.safetensors") for place in (finished / "warmup/policy", folder / "policy")
    )
    shapes = [Counter(value.shape for value in weights.values()) for weights in (start, end)]
    assert not shapes[0] - shapes[1]  # by shape: ZeRO-3 saves longer names


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "policy/model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return all(first[name].equal(second[name]) for name in first)


def curriculum_of(folder: Path) -> list:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["curriculum"]


def outcomes_of(folder: Path) -> list:
    arms = json.loads((folder / "evaluation_after.json").read_text(encoding="utf-8"))["arms"]
    return [(name, [item["outcome"] for item in arm["outcomes"]]) for name, arm in arms.items()]
