"""An environment that fails on purpose: a share of its calls raise, hang, end the process or return rubbish.

Which calls do follows from a seed, the task, and how often the task was reset before. That count, and every
fault, stand in files of a ledger folder, for they must outlive the process that a fault ends.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill0.envs import Observation, StepResult, Task, TextEnv

FAULTS = {"raise": "raised", "hang": "timeout", "die": "died", "rubbish": "invalid"}
"""What a call does, and the kind of failure that it is counted as."""


@dataclass(frozen=True)
class Chaos:
    """Makes environments of which `rate` of the calls fail."""

    make_env: Callable[[], TextEnv]
    ledger: Path
    seed: int
    rate: float

    def __call__(self) -> TextEnv:
        return ChaoticEnv(self)

    def faults(self) -> Counter[str]:
        """How many calls did what, of all calls so far; "fine" did nothing."""
        return Counter(line for path in self.ledger.iterdir() for line in path.read_text().splitlines())


class ChaoticEnv:
    def __init__(self, chaos: Chaos) -> None:
        self.chaos, self.env = chaos, chaos.make_env()

    def reset(self, task: Task) -> Observation:
        self.ledger = self.chaos.ledger / f"{task.id}.txt"
        calls = len(self.ledger.read_text().splitlines()) if self.ledger.exists() else 0
        self.draw = random.Random(f"{self.chaos.seed} {task.id} {calls}")
        return self._call(lambda: self.env.reset(task))

    def step(self, action: str) -> StepResult:
        return self._call(lambda: self.env.step(action))

    def close(self) -> None:
        self.env.close()

    def _call(self, call: Callable[[], Any]) -> Any:
        fails = self.draw.random() < self.chaos.rate
        fault = self.draw.choice(list(FAULTS)) if fails else "fine"
        with self.ledger.open("a") as stream:
            stream.write(fault + "\n")
        if fault == "raise":
            raise OSError("chaos")
        if fault == "hang":
            time.sleep(3600)
        if fault == "die":
            os._exit(13)
        if fault == "rubbish":
            return self.draw.choice(
                [None, "rubbish", {}, StepResult(Observation("", ""), float("nan"), True, False)]
            )
        return call()
