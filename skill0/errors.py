"""Every error skill0 raises on purpose.

    Skill0Error
    ├── ConfigError         a setting or YAML key that is unknown, contradictory or out of range
    ├── SkillError          a skill file that is missing, empty or malformed (names file and line)
    │   └── GroupingError   a task type that no skill file serves
    ├── EnvError            an environment that cannot be built, or breaks the TextEnv contract
    │   ├── GameError       a game that is corrupt or unsolvable (names the game)
    │   └── GameStoreError  a set of games that is missing, short or fails its checksums
    ├── RetrievalError      a corpus or index that is damaged, or a retriever that does not answer
    ├── RenderError         text that cannot be laid out under the style asked for
    ├── PolicyError         a model or processor that cannot do what is asked of it
    ├── CheckpointError     a checkpoint that cannot be written or does not match what loads it
    ├── NonFiniteError      a loss or gradient that is not a finite number (names the file with its turns)
    └── TrainingStopped     training was asked to stop, and did so with a checkpoint to go on from

Each message says what was wrong, where, and what to do about it. Failures *inside* an episode are not
exceptions: they are data, see `skill0.envs.EnvFailure`.
"""

import sys


class Skill0Error(Exception):
    """Base of all errors raised by skill0. A command that ends with one exits with `exit_code`."""

    exit_code = 2


class ConfigError(Skill0Error, ValueError):
    """A setting is unknown, contradictory or out of range."""


class SkillError(Skill0Error, ValueError):
    """A skill file is missing, empty or malformed."""


class GroupingError(SkillError):
    """A task type is served by no skill file."""


class EnvError(Skill0Error, RuntimeError):
    """An environment cannot be built or breaks the `TextEnv` contract."""


class GameError(EnvError):
    """A game is corrupt or unsolvable."""


class GameStoreError(EnvError):
    """A set of games is missing, short, or fails its checksums."""


class RetrievalError(Skill0Error, RuntimeError):
    """A corpus or an index cannot be used, or a retriever does not answer."""


class RenderError(Skill0Error, ValueError):
    """Text cannot be laid out under the style asked for."""


class PolicyError(Skill0Error, RuntimeError):
    """A model or processor cannot do what is asked of it."""


class CheckpointError(Skill0Error, RuntimeError):
    """A checkpoint cannot be written, or does not match what loads it."""


class NonFiniteError(PolicyError):
    """A loss or gradient is not a finite number."""


class TrainingStopped(Skill0Error, RuntimeError):
    """Training was asked to stop by SIGTERM: nothing is wrong, and nothing is lost.

    The exit code is what a shell reports for a process that SIGTERM ended, 128 + 15.
    """

    exit_code = 143


def tell(error: Skill0Error) -> int:
    """Says in a line what ended a command; returns its exit code."""
    print(f"skill0: {type(error).__name__}: {error}", file=sys.stderr)
    return error.exit_code
