"""Stopping on SIGTERM: a checkpoint at the end of the round, then `TrainingStopped` on every process.

The end of a round is the next place from which a run can be resumed exactly (see `BetweenRounds`). It is
enough that one process hears the signal: at the end of a round the processes tell each other.

One wish to stop arrives more than once: a scheduler signals every process of a job, and a launcher that hears
it passes it on to its workers, milliseconds later. Repeats within `REPEATS_S` of the first are therefore the
same wish. A later SIGTERM ends a process at once, as it would have without this file.

Left out: stopping inside a round, whose episodes would have to be saved with it, and other signals. Ctrl-C
stays what it is in Python.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from skill0.errors import TrainingStopped
from skill0.training import processes, trl_internals

REPEATS_S = 10.0
"""Seconds after the first SIGTERM in which others mean the same."""


class StopOnSignal(TrainerCallback):
    """Turns SIGTERM into a checkpoint at the end of the round, and into the end of training.

    Args:
        trainer: the trainer whose steps it follows.
        windows_per_round: calls of `training_step` that a round serves.
    """

    def __init__(self, trainer: Any, windows_per_round: int) -> None:
        self.trainer = trainer
        self.windows_per_round = windows_per_round
        self.first_heard: float | None = None
        self.stopped_at: int | None = None

    @property
    def asked(self) -> bool:
        """Whether this process has heard the signal."""
        return self.first_heard is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for SIGTERM in the block. Only Python's main thread can; in another it acts as ever.

        Raises:
            TrainingStopped: at the end of the block, when training was stopped by the signal.
        """
        self.first_heard, self.stopped_at = None, None
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
        if self.stopped_at is not None:
            raise TrainingStopped(
                f"training was stopped by SIGTERM at step {self.stopped_at}, with a checkpoint in "
                f"{self.trainer.args.run_folder}; the same command resumes it"
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        inside = trl_internals.windows_done(self.trainer) % self.windows_per_round != 0
        if inside and state.global_step < state.max_steps:
            return
        if processes.any_of(self.trainer.accelerator, self.asked):
            control.should_save = True
            control.should_training_stop = True
            if args.save_strategy == SaveStrategy.BEST:
                # An evaluation would decide anew whether to save.
                control.should_evaluate = False
            self.stopped_at = state.global_step

    def _hear(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.first_heard is None:
            self.first_heard = now
        elif now - self.first_heard > REPEATS_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
