"""Callbacks: the metrics file; saving and evaluating only where a run can be resumed exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from skill0.errors import CheckpointError
from skill0.training import trl_internals
from skill0.training.checkpoints import write_atomically

METRICS_FILE = "metrics.jsonl"


class MetricsWriter(TrainerCallback):
    """Appends every row of metrics to `metrics.jsonl` in the run folder, one JSON object a line.

    A resumed run first drops the rows after its checkpoint, which it is about to write again, so that every
    step stands there once. A run that starts anew drops all rows.

    Raises:
        CheckpointError: a resumed run finds a line that is no row; every process does, for all read the file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / METRICS_FILE

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        resumed = self._rows() if state.global_step else []
        if not state.is_world_process_zero:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for row in resumed if 0 < row.get("step", 0) <= state.global_step]
        write_atomically(self.path, "".join(f"{json.dumps(row)}\n" for row in rows))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": state.global_step, **logs}, default=float) + "\n")

    def _rows(self) -> list[dict[str, Any]]:
        """The rows so far. The last line of a process that was killed may be torn; it is not a row."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        # Behind the last line break is nothing, or the torn line.
        return [self._row(number, line) for number, line in enumerate(lines[:-1], start=1)]

    def _row(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
        except ValueError as error:
            raise CheckpointError(
                f"{self.path}, line {number}: no row of metrics ({error}); mend or remove that line, and "
                "resume again"
            ) from error
        return row


class RestorePhase(TrainerCallback):
    """When training has begun, puts the trainer where its checkpoint left off between rounds and logs."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        resumed = self.trainer.resumed
        trl_internals.set_windows_done(self.trainer, 0 if resumed is None else resumed.windows_done)
        if resumed is not None:
            trl_internals.restore_logging(self.trainer, resumed.logging)


class BetweenRounds(TrainerCallback):
    """Puts a checkpoint or an evaluation that is due inside a round of rollouts off to the end of that round.

    Inside a round the turns that are still to be trained on would have to be saved with it. Evaluations wait
    with the checkpoints, for the best one is that of the very step whose evaluation was best: found at a step
    without a checkpoint, it would be lost. The last step of a run is saved wherever it falls; a run that is
    later made longer and resumed from there begins with a fresh round.
    """

    def __init__(self, trainer: Any, windows_per_round: int) -> None:
        self.trainer = trainer
        self.windows_per_round = windows_per_round
        self.save = False
        self.evaluate = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.save |= control.should_save
        self.evaluate |= control.should_evaluate
        inside = trl_internals.windows_done(self.trainer) % self.windows_per_round != 0
        if inside and state.global_step < state.max_steps:
            control.should_save = control.should_evaluate = False
        else:
            control.should_save, control.should_evaluate = self.save, self.evaluate
            self.save = self.evaluate = False
