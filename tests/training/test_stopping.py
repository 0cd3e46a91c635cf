"""SIGTERM, and numbers that are not finite: training stops, and what it leaves behind can be used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import make_trainer, parameters
from colours_processes import score
from colours_world import make_tasks
from transformers import TrainerCallback
from trl import GRPOTrainer

from skill0.errors import NonFiniteError, TrainingStopped

# A round serves two optimizer steps: steps 1 and 3 lie inside a round.
ROUNDS: dict[str, Any] = {"steps_per_generation": 2, "per_device_train_batch_size": 8, "save_strategy": "no"}


class Terminate(TrainerCallback):
    """SIGTERM to this process when a step begins, and again, as from a launcher that passes it on."""

    def __init__(self, step: int, times: int = 1) -> None:
        self.step = step
        self.times = times

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for _ in range(self.times if state.global_step == self.step else 0):
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_finishes_the_round_saves_and_is_taken_up(colours_policy: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped = make_trainer(colours_policy, tmp_path / "run", callbacks=[Terminate(0, times=3)], **ROUNDS)
    with pytest.raises(TrainingStopped, match=r"by SIGTERM at step 2, with a checkpoint in .*run"):
        stopped.train()
    assert TrainingStopped.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-2"]
    resumed = make_trainer(colours_policy, tmp_path / "run", **ROUNDS)
    resumed.train(resume_from_checkpoint=True)
    whole = make_trainer(colours_policy, tmp_path / "whole", **ROUNDS)
    whole.train()
    assert torch.equal(parameters(resumed), parameters(whole))


def test_sigterm_saves_where_only_the_best_is_saved(colours_policy: Path, tmp_path: Path) -> None:
    """An evaluation at the same step that finds nothing better does not call the checkpoint off."""
    stopped = make_trainer(
        colours_policy, tmp_path, callbacks=[Terminate(2)], eval_tasks=make_tasks(4, "eval"),
        **{**ROUNDS, "save_strategy": "best"}, eval_strategy="steps", eval_steps=2,
        metric_for_best_model="success_without_skills",
    )  # fmt: skip
    score(stopped, 0.75, 0.25)
    with pytest.raises(TrainingStopped, match="at step 4"):
        stopped.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]


def test_a_sigterm_that_comes_later_ends_the_process_at_once() -> None:
    program = """
import os, signal, time
from skill0.training import stopping
stopping.REPEATS_S = 0.2
with stopping.StopOnSignal(None, 1).listening():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    time.sleep(0.4)
    os.kill(os.getpid(), signal.SIGTERM)
    print("here too long", flush=True)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (-signal.SIGTERM, "still here\n"), found.stderr[-3000:]


def test_sigterm_in_the_last_step_stops_what_comes_after_training(
    colours_policy: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(colours_policy, tmp_path, callbacks=[Terminate(1)], max_steps=2, **ROUNDS)
    with pytest.raises(TrainingStopped, match="at step 2"):
        trainer.train()


def test_a_gradient_that_is_not_finite_stops_before_it_is_learnt_from(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(colours_policy, tmp_path, **ROUNDS)
    before = parameters(trainer)
    monkeypatch.setattr(GRPOTrainer, "_get_grad_norm", lambda self, model, grad_norm=None: float("nan"))
    with pytest.raises(NonFiniteError, match=r"step 0, process 0: the gradient's norm is nan; the turns"):
        trainer.train()
    assert torch.equal(parameters(trainer), before)
    lines = (tmp_path / "nonfinite-0-0.jsonl").read_text().splitlines()
    turns = [json.loads(line) for line in lines]
    # The turns themselves are well: nothing is marked.
    assert turns
    assert all(turn["finite"] for turn in turns)
    assert all("say" in turn["prompt"] and turn["page"] is not None for turn in turns if not turn["padding"])


def test_the_turns_of_a_gradient_are_those_of_all_windows_of_its_step(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step accumulates the gradients of both windows of its round; the second step's cannot be computed."""
    trainer = make_trainer(
        colours_policy, tmp_path, gradient_accumulation_steps=2, beta=0.01, turn_micro_batch_size=5, **ROUNDS
    )
    monkeypatch.setattr(
        GRPOTrainer,
        "_get_grad_norm",
        lambda self, model, grad_norm=None: float("nan") if self.state.global_step == 1 else 1.0,
    )
    with pytest.raises(NonFiniteError, match="step 1, process 0: the gradient's norm is nan"):
        trainer.train()
    lines = (tmp_path / "nonfinite-1-0.jsonl").read_text().splitlines()
    played = [item.turn for window in trainer._buffered_inputs for batch in window for item in batch]
    assert len(trainer._buffered_inputs) == 2
    assert [json.loads(line)["reply"] for line in lines] == [turn.reply for turn in played]


def test_float16_leaves_such_a_gradient_to_its_scaler(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(colours_policy, tmp_path, max_steps=2, **ROUNDS)
    monkeypatch.setattr(GRPOTrainer, "_get_grad_norm", lambda self, model, grad_norm=None: float("inf"))
    trainer.args.fp16 = True
    trainer.train()
    assert trainer.state.global_step == 2
