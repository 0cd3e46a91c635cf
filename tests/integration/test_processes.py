"""One process, DDP, FSDP 2, ZeRO-2 and ZeRO-3 on two: one run, one result, and nothing lost.

Every way of training is launched as a user launches it: by accelerate, with a file of examples/accelerate.
The runs of a way share their processes (tests/training/colours_processes.py), on CPUs with gloo. DeepSpeed
compiles a helper when it first runs on a CPU: minutes, once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from colours_runs import LIMIT_S, PROGRAM, launch, launching, nobody_is_left, plan_of, policy
from filelock import FileLock
from safetensors.torch import load_file

pytestmark = pytest.mark.integration

SHARDED = {"single": False, "ddp": False, "fsdp2": True, "zero2": False, "zero3": True}
"""Ways of training, and whether a process then holds but a part of the weights."""

# 8 trajectories a round, in groups of 4: 1 process x 8 or 2 x 4. Micro-batches of 5 turns, cut elsewhere for
# each number of processes. The curriculum is at budget 2, helpfulness is measured at step 2.
RUN: dict[str, Any] = {
    "max_steps": 4,
    "num_tasks": 12,
    "num_stages": None,
    "budgets": [2],
    "curriculum_interval": 2,
    "turn_micro_batch_size": 5,
    "beta": 0.02,
    "save_strategy": "steps",
    "save_steps": 2,
}
ADAPTER = {**RUN, "lora": True, "learning_rate": 1e-2}


def plan(way: str, folder: Path) -> dict[str, Any]:
    """The runs of one way of training, by name."""
    evaluated = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True,
                 "metric_for_best_model": "eval_success_without_skills", "eval_tasks": 4}  # fmt: skip
    runs: dict[str, Any] = {
        "whole": {**RUN, "evaluate_first": True, "eval_tasks": 4},
        "resumed": {**RUN, "resume": str(folder / "whole/run/checkpoint-2")},
        "best": {**RUN, **evaluated, "scores": [0.75, 0.25], "save_total_limit": 1},
        "uneven": {**RUN, "max_steps": 1, "save_strategy": "no", "uneven": True, "max_turns": 12},
        "bf16": {
            **RUN,
            "max_steps": 2,
            "save_strategy": "no",
            "bf16": True,
            "activation_checkpointing": True,
        },
        "poisoned": {**RUN, "poison": [2]},
    }
    if way in ("ddp", "zero3"):
        runs |= {
            "told": {**RUN, "save_strategy": "no", "told": [1], "env_workers": 1},
            "taken_up": {**RUN, "resume": str(folder / "told/run/checkpoint-2")},
        }
    if way == "ddp":
        runs |= {
            "full_disk": {**RUN, "full_disk": [4]},
            "full_disk_own_state": {**RUN, "full_disk_at_end": [4, "write_state"]},
            "full_disk_flushing": {**RUN, "full_disk_at_end": [4, "_flush"]},
        }
    if importlib.util.find_spec("peft"):
        runs |= {
            "adapter": ADAPTER,
            "adapter_resumed": {**ADAPTER, "resume": str(folder / "adapter/run/checkpoint-2")},
        }
    return runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder with all runs of a way of training, which are played when it is first asked for."""
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist share what one of them has played.
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "processes"
    base.mkdir(exist_ok=True)

    def run(way: str) -> Path:
        folder = base / way
        with FileLock(base / f"{way}.lock"):
            if (folder / "done").is_file():
                return folder
            folder.mkdir()
            per_device = 8 if way == "single" else 4
            runs = {
                name: {**settings, "per_device_train_batch_size": per_device}
                for name, settings in plan(way, folder).items()
            }
            done = launch(way, *plan_of(folder, runs))
            assert done.returncode == 0, done.stderr[-6000:]
            (folder / "done").touch()
        return folder

    return run


def results(folder: Path, run: str) -> list[dict[str, Any]]:
    """What each process of a run tells."""
    return [json.loads(path.read_text()) for path in sorted((folder / run).glob("result-*.json"))]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Saved weights, or those of an adapter. DeepSpeed and FSDP save a tied head a second time, and ZeRO-3
    calls the text model by a longer name, which transformers reads as well."""
    adapter = folder / "adapter_model.safetensors"
    found = load_file(adapter if adapter.is_file() else folder / "model.safetensors")
    found.pop("lm_head.weight", None)
    return {name.replace("model.model.", "model.", 1): value.double() for name, value in found.items()}


def furthest(one: Path, other: Path) -> float:
    """The largest difference between two sets of saved weights."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert first
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.fixture(params=list(SHARDED))
def way(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("zero"):
        pytest.importorskip("deepspeed")
    return request.param


def test_the_processes_and_the_sharding_are_those_asked_for(way: str, trained: Any) -> None:
    found = results(trained(way), "whole")
    assert [result["processes"] for result in found] == ([1] if way == "single" else [2, 2])
    assert {result["kind"] for result in found} == {way}
    assert {result["sharded"] for result in found} == {SHARDED[way]}


@pytest.mark.parametrize("run", ["whole", "adapter"])
def test_every_way_trains_the_same(way: str, run: str, trained: Any) -> None:
    if run == "adapter":
        pytest.importorskip("peft")
    here, there = trained(way), trained("single")
    ours, theirs = (results(folder, run)[0]["history"] for folder in (here, there))
    assert len(ours) == len(theirs) == 4
    for our, their in zip(ours, theirs, strict=True):
        assert our["rollout/turns"] == their["rollout/turns"]
        assert our["reward"] == pytest.approx(their["reward"])
        assert our["loss"] == pytest.approx(their["loss"], abs=1e-6)
        assert our["grad_norm"] == pytest.approx(their["grad_norm"], rel=1e-4)
    # Adam's first steps are as long as the learning rate, 1e-3 or 1e-2, however small the gradient is.
    assert furthest(here / run / "policy", there / run / "policy") < 2e-5
    assert furthest(here / run / "policy", here / run / "run/checkpoint-2") > 1e-3


@pytest.mark.parametrize(("resumed", "whole"), [("resumed", "whole"), ("adapter_resumed", "adapter")])
def test_resumed_equals_uninterrupted(way: str, resumed: str, whole: str, trained: Any) -> None:
    if whole == "adapter":
        pytest.importorskip("peft")
    folder = trained(way)
    assert furthest(folder / resumed / "policy", folder / whole / "policy") == 0.0
    assert results(folder, resumed)[0]["history"] == results(folder, whole)[0]["history"]


def test_the_best_checkpoint_by_zero_shot_success_is_kept_and_loaded(way: str, trained: Any) -> None:
    # Success is 0.75 at step 2 and 0.25 at step 4: step 2 is best, and is what is left in the end.
    folder = trained(way)
    best = folder / "best/run/checkpoint-2"
    assert results(folder, "best")[0]["best"] == str(best)
    assert furthest(folder / "best/policy", best) == 0.0
    assert furthest(folder / "best/policy", folder / "whole/policy") > 1e-3
    # One checkpoint may stay, and it is the best, not the newest.
    assert [path.name for path in (folder / "best/run").glob("checkpoint-*")] == ["checkpoint-2"]


def test_very_uneven_episodes_do_not_hang(way: str, trained: Any) -> None:
    # One process plays 4 episodes of 1 turn, the other 4 of 12, with as many micro-batches in the end.
    found = results(trained(way), "uneven")
    assert found[0]["history"][0]["rollout/turns"] == 4 * 1 + 4 * 12
    assert len({tuple(result["played"]) for result in found}) == 1


def test_bfloat16_trains(way: str, trained: Any) -> None:
    exact, rounded = (results(trained(way), run)[0]["history"] for run in ("whole", "bf16"))
    assert len(rounded) == 2
    assert rounded[0]["grad_norm"] != exact[0]["grad_norm"]
    assert rounded[0]["grad_norm"] == pytest.approx(exact[0]["grad_norm"], rel=0.05)


def test_a_loss_that_is_not_finite_stops_all_and_leaves_its_turns(way: str, trained: Any) -> None:
    folder = trained(way) / "poisoned"
    found = results(folder.parent, "poisoned")
    assert {(result["error"], result["step"]) for result in found} == {("NonFiniteError", 2)}
    last = len(found) - 1
    assert [path.name for path in (folder / "run").glob("nonfinite-*")] == [f"nonfinite-2-{last}.jsonl"]
    lines = (folder / f"run/nonfinite-2-{last}.jsonl").read_text().splitlines()
    turns = [json.loads(line) for line in lines]
    assert 1 <= len(turns) <= 5
    assert [turn["advantage"] for turn in turns if not turn["finite"]] == ["inf"]
    bad = next(turn for turn in turns if not turn["finite"])
    assert "say the" in bad["prompt"]
    assert "</action>" in bad["reply"]
    assert len(bad["logprobs"]) == len(bad["reply_ids"])
    # Checkpoints from before are untouched.
    assert [path.name for path in (folder / "run").glob("checkpoint-*")] == ["checkpoint-2"]


@pytest.mark.parametrize("way", ["ddp", "zero3"], indirect=True)
def test_sigterm_to_one_process_stops_all_with_a_checkpoint(way: str, trained: Any) -> None:
    # It comes at the beginning of step 2, and the round of that step is finished first.
    folder = trained(way)
    assert {(found["error"], found["step"]) for found in results(folder, "told")} == {("TrainingStopped", 2)}
    assert [path.name for path in (folder / "told/run").glob("checkpoint-*")] == ["checkpoint-2"]
    assert furthest(folder / "taken_up/policy", folder / "whole/policy") == 0.0


def test_sigterm_to_every_process_of_a_launched_job_saves_and_is_taken_up(
    trained: Any, tmp_path: Path
) -> None:
    """As a scheduler does, one after another: the launcher, which passes it on, and then each process."""
    run = {**RUN, "per_device_train_batch_size": 4}
    told = plan_of(tmp_path, {"told": {**run, "save_strategy": "no", "waits": [1], "env_workers": 1}})
    # The launcher kills what has not ended by then; on a busy machine 30 s are not enough.
    job = launching("ddp", *told, TORCH_ELASTIC_SHUTDOWN_TIMEOUT=str(LIMIT_S))
    with (tmp_path / "errors").open("w") as errors:
        launcher = subprocess.Popen(**job, stdout=errors, stderr=errors, start_new_session=True)
    waiting = [tmp_path / f"told/run/waiting-{number}" for number in (0, 1)]
    deadline = time.monotonic() + LIMIT_S
    while not all(file.is_file() and file.read_text().endswith("\n") for file in waiting):
        assert launcher.poll() is None, (tmp_path / "errors").read_text()[-6000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Each process of the job has a group of its own, with its environment worker.
    groups = [launcher.pid, *(int(file.read_text()) for file in waiting)]
    for group in groups:
        os.killpg(group, signal.SIGTERM)
        time.sleep(0.5)  # or two signals would count as one
    assert launcher.wait(LIMIT_S) != 0
    assert all(nobody_is_left(group) for group in groups)
    stopped = results(tmp_path, "told")
    assert [(found["error"], found["step"]) for found in stopped] == [("TrainingStopped", 2)] * 2
    assert [path.name for path in (tmp_path / "told/run").glob("checkpoint-*")] == ["checkpoint-2"]
    resumed = {"resumed": {**run, "resume": str(tmp_path / "told/run/checkpoint-2")}}
    done = launch("ddp", *plan_of(tmp_path, resumed))
    assert done.returncode == 0, done.stderr[-6000:]
    assert furthest(tmp_path / "resumed/policy", trained("ddp") / "whole/policy") == 0.0


@pytest.mark.parametrize("run", ["full_disk", "full_disk_own_state", "full_disk_flushing"])
def test_a_disk_that_is_full_for_one_process_stops_all(run: str, trained: Any) -> None:
    """For the last process, or for the first in what it does alone."""
    folder = trained("ddp")
    for found in results(folder, run):
        assert found["error"] == "CheckpointError"
        assert "the disk became full while writing" in found["message"]
    assert sorted(path.name for path in (folder / run / "run").glob("*checkpoint*")) == ["checkpoint-2"]


def test_a_wish_for_several_processes_is_not_lost_in_silence(tmp_path: Path) -> None:
    settings = {"policy": str(policy()), "output_dir": str(tmp_path / "run"), "results": str(tmp_path / "r")}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    program = (str(PROGRAM), "train", str(tmp_path / "settings.json"))
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", *program],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode != 0
    assert "accelerate was asked for several processes and started one" in done.stderr
