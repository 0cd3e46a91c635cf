"""What the values of a `TextEnv` must be. Shared by `EnvPool`, which turns a breach into a failed episode,
and `check_env`, which turns it into an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from skill0.envs.base import Observation, StepResult


def observation_problem(value: Any) -> str | None:
    """What is wrong with an observation, or `None`."""
    if not isinstance(value, Observation):
        return f"must be an Observation, not {_kind(value)}"
    for name in ("text", "instruction", "status"):
        if not isinstance(getattr(value, name), str):
            return f"must have a str as {name}, not {_kind(getattr(value, name))}"
    if value.admissible is None:
        return None
    if not isinstance(value.admissible, tuple):
        return f"must have a tuple of str, or None, as admissible, not {_kind(value.admissible)}"
    strange = next((command for command in value.admissible if not isinstance(command, str)), None)
    if strange is not None:
        return f"must have only str in admissible, found {_kind(strange)}"
    return None


def step_problem(value: Any) -> str | None:
    """What is wrong with the result of a step, or `None`."""
    if not isinstance(value, StepResult):
        return f"must be a StepResult, not {_kind(value)}"
    wrong = observation_problem(value.observation)
    if wrong:
        return f"has an observation that {wrong}"
    if (
        isinstance(value.reward, bool)
        or not isinstance(value.reward, Real)
        or not math.isfinite(value.reward)
    ):
        return f"must have a finite number as reward, not {value.reward!r}"
    for name in ("terminated", "truncated"):
        if not isinstance(getattr(value, name), bool):
            return f"must have a bool as {name}, not {_kind(getattr(value, name))}"
    if not isinstance(value.info, Mapping):
        return f"must have a mapping as info, not {_kind(value.info)}"
    over = value.terminated or value.truncated
    if (over or "won" in value.info) and not isinstance(value.info.get("won"), bool):
        return (
            f"must tell success by a bool in info['won'] when an episode ends, not {value.info.get('won')!r}"
        )
    return None


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__qualname__
