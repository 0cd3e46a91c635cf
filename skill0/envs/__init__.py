"""Environments: the contract, a checker for it, and a pool that runs many episodes at once.

`skill0.envs.alfworld` holds the ALFWorld text engine, `skill0.envs.search` questions and a retriever; both
are imported only when asked for.
"""

from skill0.envs.base import (
    EnvFailure,
    Observation,
    PatientFactory,
    PreparingEnv,
    StepResult,
    Task,
    TextEnv,
)
from skill0.envs.check import EnvReport, check_env
from skill0.envs.pool import EnvPool

__all__ = [
    "EnvFailure",
    "EnvPool",
    "EnvReport",
    "Observation",
    "PatientFactory",
    "PreparingEnv",
    "StepResult",
    "Task",
    "TextEnv",
    "check_env",
]
