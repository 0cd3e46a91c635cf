"""The metrics file holds every step once; checkpoints and evaluations wait for the end of a round."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from skill0.errors import CheckpointError
from skill0.training.callbacks import BetweenRounds, MetricsWriter

ARGS: Any = None


def begin(writer: MetricsWriter, step: int) -> TrainerState:
    state = TrainerState(global_step=step, is_world_process_zero=True)
    writer.on_train_begin(ARGS, state, TrainerControl())
    return state


def log(writer: MetricsWriter, state: TrainerState, *steps: int) -> None:
    for step in steps:
        state.global_step = step
        writer.on_log(ARGS, state, TrainerControl(), logs={"reward": step / 10})


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_writes_over_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    log(writer, begin(writer, 0), 1, 2, 3, 4, 5)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "rew')  # killed while writing
    log(writer, begin(writer, 3), 4, 5, 6)
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("line", ['{"step": 2, "rew', '{"step": 2}{"step": 3}', "", "3"])
def test_any_other_line_that_is_no_row_is_an_error(tmp_path: Path, line: str) -> None:
    """Only the end of the file can be torn. On every process, or the others would wait for the first."""
    writer = MetricsWriter(tmp_path)
    log(writer, begin(writer, 0), 1)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write(f'{line}\n{{"step": 4}}\n')
    before = (tmp_path / "metrics.jsonl").read_text()
    for is_first in (True, False):
        state = TrainerState(global_step=3, is_world_process_zero=is_first)
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2: no row of metrics"):
            writer.on_train_begin(ARGS, state, TrainerControl())
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_new_run_begins_with_an_empty_file(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    log(writer, begin(writer, 0), 1, 2)
    log(writer, begin(writer, 0), 1)
    assert steps(tmp_path) == [1]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    state = TrainerState(global_step=0, is_world_process_zero=False)
    writer.on_train_begin(ARGS, state, TrainerControl())
    log(writer, state, 1)
    assert not (tmp_path / "metrics.jsonl").exists()


def done_at(due: set[int], *, windows_per_round: int, max_steps: int) -> list[int]:
    """The steps at which a checkpoint is written and success is evaluated, one window a step, when both are
    due at some."""
    trainer = SimpleNamespace(_step=0)
    callback = BetweenRounds(trainer, windows_per_round)
    state = TrainerState(max_steps=max_steps)
    saved, evaluated = [], []
    for step in range(1, max_steps + 1):
        trainer._step = state.global_step = step
        control = TrainerControl(should_save=step in due, should_evaluate=step in due)
        callback.on_step_end(ARGS, state, control)
        saved += [step] * control.should_save
        evaluated += [step] * control.should_evaluate
    assert evaluated == saved
    return saved


def test_what_is_due_inside_a_round_waits_for_its_end() -> None:
    assert done_at({2, 5}, windows_per_round=1, max_steps=8) == [2, 5]
    assert done_at({2, 5}, windows_per_round=4, max_steps=8) == [4, 8]
    assert done_at({1, 2, 3}, windows_per_round=4, max_steps=8) == [4]
    assert done_at({4}, windows_per_round=4, max_steps=8) == [4]


def test_the_last_step_is_done_wherever_it_falls() -> None:
    assert done_at({6}, windows_per_round=4, max_steps=6) == [6]
    assert done_at({5}, windows_per_round=4, max_steps=6) == [6]


def test_a_checkpoint_alone_does_not_evaluate() -> None:
    callback = BetweenRounds(SimpleNamespace(_step=4), 4)
    control = TrainerControl(should_save=True)
    callback.on_step_end(ARGS, TrainerState(global_step=4, max_steps=8), control)
    assert (control.should_save, control.should_evaluate) == (True, False)
