"""A small environment with a known answer, and ways to make it misbehave.

Behind one of `doors` doors is the prize; the task's payload says which. Opening that door wins, every other
is empty, and the fourth action is the last. All of it is picklable, so that worker processes can run it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass

from skill0.envs import Observation, StepResult, Task

MAX_STEPS = 4


@dataclass(frozen=True)
class Doors:
    """Payload. `fault` happens at `reset` when `fault_at` is 0, else at that step."""

    prize: int
    doors: int = 3
    fault: str = ""
    fault_at: int = 0


def task(name: str, prize: int = 1, *, fault: str = "", fault_at: int = 0) -> Task:
    return Task(name, "doors", "open_doors", "find the prize.", Doors(prize, fault=fault, fault_at=fault_at))


class DoorsEnv:
    """The environment itself."""

    def __init__(self) -> None:
        self.doors: Doors | None = None
        self.steps = 0
        self.over = True

    def reset(self, task: Task) -> Observation:
        self.doors, self.steps, self.over = task.payload, 0, False
        strange = self._fault()
        return strange or self._observe(f"You see {self.doors.doors} doors.")

    def step(self, action: str) -> StepResult:
        if self.over or self.doors is None:
            raise RuntimeError("the episode is over")
        self.steps += 1
        strange = self._fault()
        if strange is not None:
            return strange
        won = action == f"open door {self.doors.prize}"
        empty = action.startswith("open door ") and action.endswith(tuple(map(str, range(1, 4))))
        text = "The prize!" if won else "It is empty." if empty else "Nothing happens."
        truncated = not won and self.steps == MAX_STEPS
        self.over = won or truncated
        return StepResult(self._observe(text), float(won), won, truncated, {"won": won})

    def close(self) -> None:
        self.doors = None

    def _observe(self, text: str) -> Observation:
        commands = tuple(f"open door {number}" for number in range(1, self.doors.doors + 1))
        return Observation(text, "find the prize.", commands, status=f"step {self.steps}")

    def _fault(self):
        if self.doors.fault and self.doors.fault_at == self.steps:
            return FAULTS[self.doors.fault]()
        return None


def _raise():
    raise ValueError("the door is jammed")


def _hang():
    time.sleep(600)


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _unpicklable():
    observation = Observation("a lock", "", None)
    return StepResult(observation, 0.0, False, False, {"lock": threading.Lock()})


FAULTS = {
    "raise": _raise,
    "hang": _hang,
    "kill": _kill,
    "exit": lambda: sys.exit(3),
    "os_exit": lambda: os._exit(3),
    "text": lambda: "just a text",
    "nan": lambda: StepResult(Observation("", "", None), float("nan"), False, False),
    "no_verdict": lambda: StepResult(Observation("", "", None), 1.0, True, False),
    "unpicklable": _unpicklable,
}


class WhereEnv(DoorsEnv):
    """Tells in its status which process and which environment of it runs the episode, and how many resets the
    environment has seen."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        WhereEnv.made += 1
        self.number = WhereEnv.made
        self.resets = 0

    def reset(self, task: Task) -> Observation:
        self.resets += 1
        return super().reset(task)

    def _observe(self, text: str) -> Observation:
        observation = super()._observe(text)
        status = f"{os.getpid()} {self.number} {self.resets} {'torch' in sys.modules}"
        return Observation(text, observation.instruction, observation.admissible, status)


class NoisyEnv(DoorsEnv):
    """Prints, from Python and below it."""

    def reset(self, task: Task) -> Observation:
        print("python noise", flush=True)
        os.write(1, b"system noise\n")
        return super().reset(task)


class CannotBeMade(DoorsEnv):
    def __init__(self) -> None:
        raise FileNotFoundError("no such game folder: /nowhere")


class CannotBeClosed(DoorsEnv):
    def close(self) -> None:
        raise OSError("the engine is stuck")


class HangsOnClose(DoorsEnv):
    def close(self) -> None:
        time.sleep(600)


# Breaches of the contract that `check_env` finds: see its tests.


class RandomEnv(DoorsEnv):
    def _observe(self, text: str) -> Observation:
        observation = super()._observe(text)
        return Observation(f"{text} {os.urandom(8).hex()}", "find the prize.", observation.admissible)


class RemembersEnv(DoorsEnv):
    """Keeps the number of all steps it ever did: an earlier episode shows in a later one."""

    def __init__(self) -> None:
        super().__init__()
        self.ever = 0

    def step(self, action: str) -> StepResult:
        self.ever += 1
        result = super().step(action)
        return StepResult(
            Observation(f"{result.observation.text} ({self.ever})", "find the prize.", None),
            result.reward, result.terminated, result.truncated, result.info,
        )  # fmt: skip


class ListingEnv(DoorsEnv):
    def _observe(self, text: str) -> Observation:
        return Observation(text, "find the prize.", ["open door 1"])


class StrictEnv(DoorsEnv):
    """Raises at strings it does not know."""

    def step(self, action: str) -> StepResult:
        if action not in self._observe("").admissible:
            raise KeyError(action)
        return super().step(action)


class EndlessEnv(DoorsEnv):
    """Goes on after the end."""

    def step(self, action: str) -> StepResult:
        if self.over:
            return StepResult(self._observe("Again?"), 0.0, False, False, {"won": False})
        return super().step(action)


class StaysOverEnv(DoorsEnv):
    """Answers steps after the end with the end."""

    def step(self, action: str) -> StepResult:
        if self.over:
            return StepResult(self._observe("It is over."), 0.0, True, False, {"won": False})
        return super().step(action)


class UnlistedEnv(DoorsEnv):
    """Does not say what it accepts."""

    def _observe(self, text: str) -> Observation:
        return Observation(text, "find the prize.")
