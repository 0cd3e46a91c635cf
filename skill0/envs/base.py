"""The contract between skill0 and an environment: one text episode at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Task:
    """One thing to do, independent of any running environment. Must be picklable.

    `task_type` is what skills are grouped by; `instruction` is the sentence the agent is given;
    `payload` is whatever the environment needs to start the task.
    """

    id: str
    env: str
    task_type: str
    instruction: str
    payload: Any = None


@dataclass(frozen=True)
class Observation:
    """What the agent sees before it acts.

    `admissible` lists the commands the environment would accept now, or is `None` when it cannot tell.
    `status` is one optional line of state that an environment may offer beside the observation (for
    instance the inventory); prompt templates decide whether to show it.
    """

    text: str
    instruction: str
    admissible: tuple[str, ...] | None = None
    status: str = ""


@dataclass(frozen=True)
class StepResult:
    """The outcome of one action. `terminated`: the task is over; `truncated`: a limit was hit.

    `info["won"]` is a bool that tells success.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EnvFailure:
    """An environment call that went wrong through no fault of the policy.

    `kind` is one of "raised", "died", "timeout", "invalid" (rubbish returned).
    """

    kind: str
    message: str
    detail: str = ""


@runtime_checkable
class TextEnv(Protocol):
    """One episode at a time, reused for many."""

    def reset(self, task: Task) -> Observation: ...

    def step(self, action: str) -> StepResult: ...

    def close(self) -> None: ...


@runtime_checkable
class PreparingEnv(TextEnv, Protocol):
    """An environment whose steps are cheaper when several are known together, such as one that asks a server.

    Before the live episodes of a process act, `prepare_steps` is given all their environments, each with its
    action. What it finds out it leaves in them; each is stepped afterwards, in order, and must give the same
    result as it would unprepared. A step that cannot be prepared is no error here: it shows in the step.
    """

    @classmethod
    def prepare_steps(cls, steps: Sequence[tuple[TextEnv, str]]) -> None: ...


@runtime_checkable
class PatientFactory(Protocol):
    """Makes environments of which a call may take long and be well, such as one that asks a server until it
    answers."""

    @property
    def longest_call_s(self) -> float:
        """Seconds of the longest `reset` or `step`, `prepare_steps` before it included."""
        ...

    def __call__(self) -> TextEnv: ...
