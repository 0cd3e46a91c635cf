"""`TextEnv` over the ALFWorld text engine. A task's payload is a `Game`.

The observation is the engine's text without its banner and without the task sentence, which is the
`instruction`. The reward is 1 on winning and 0 otherwise. The step limit is this class's own: the
engine has none.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from skill0.envs.alfworld.games import Game
from skill0.envs.alfworld.status import EpisodeStatus
from skill0.envs.alfworld.upstream import (
    ENGINE_LOCK,
    TESTED_TEXTWORLD,
    process_state_kept,
    textworld_is_tested,
    upstream,
)
from skill0.envs.base import Observation, StepResult, Task
from skill0.errors import ConfigError, EnvError, GameError

_BANNER = "-= Welcome to TextWorld, ALFRED! =-\n\n"


class AlfWorldEnv:
    """Plays one game at a time. Use it for many, and close it: each one open holds its own 34 MB copy of
    the engine's library.

    Args:
        max_steps: Actions after which an episode is truncated.
        stock: Use textworld's own engine: the same texts, about 100 times slower.
        cache_dir: Folder for translated games, shared between processes; `None` keeps them in memory only.

    Raises:
        EnvError: alfworld is not installed.
        ConfigError: `max_steps` is not positive.
    """

    def __init__(self, max_steps: int = 50, *, stock: bool = False, cache_dir: str | None = None):
        if max_steps < 1:
            raise ConfigError(f"max_steps must be at least 1, not {max_steps}")
        self.max_steps = max_steps
        self._engine, self.stock = _make_engine(stock, cache_dir)
        from skill0.envs.alfworld.library import return_library

        # Also when the environment is dropped without being closed.
        self._release = weakref.finalize(self, return_library, self._engine.downward_lib)
        self._game: Game | None = None
        self._status: EpisodeStatus | None = None
        self._steps = 0
        self._playing = False

    def reset(self, task: Task) -> Observation:
        """Start the task's game from its beginning.

        Raises:
            GameError: the game is corrupt, unsolvable or already won; the message names it.
            EnvError: the task holds no `Game`.
        """
        game = task.payload
        if not isinstance(game, Game):
            raise EnvError(f"task {task.id!r} holds {type(game).__name__}, not a Game: use tasks_from(games)")
        self._playing = False
        state = self._start(game)
        if state["won"]:
            raise GameError(f"game {game.id!r} is won before anything is done; leave it out")
        text = state.feedback.removeprefix(_BANNER).partition("\n\nYour task is to: ")[0]
        self._status = EpisodeStatus(text, game.instruction, tells_refused=not game.convention)
        self._steps = 0
        self._playing = True
        return self._observation(text, state)

    def step(self, action: str) -> StepResult:
        """Do one command; one that the engine does not accept leads to "Nothing happens.".

        Raises:
            EnvError: no episode is running.
        """
        if not self._playing or self._status is None or self._engine is None:
            raise EnvError("no episode is running: call reset before the first step and after the last")
        with self._guard():
            state, _, _ = self._engine.step(action)
        self._steps += 1
        self._status.update(state.feedback, action)
        won = bool(state["won"])
        truncated = not won and self._steps >= self.max_steps
        self._playing = not (won or truncated)
        observation = self._observation(state.feedback, state)
        return StepResult(observation, float(won), won, truncated, {"won": won})

    def close(self) -> None:
        """Leave the engine's library to the next environment. This one cannot be used afterwards."""
        self._playing = False
        if self._engine is not None:
            self._engine = None
            self._release()

    def _start(self, game: Game) -> Any:
        if self._engine is None:
            raise EnvError("this environment is closed: make a new one")
        try:
            with self._guard():
                if game != self._game:
                    self._game = None
                    self._engine.load(game.engine_data())
                    self._game = game
                return self._engine.reset()
        except GameError as error:
            raise GameError(f"game {game.id!r} ({game.split}): {error}") from error
        except (Exception, SystemExit) as error:  # the stock engine raises whatever its parsers stumble on
            raise GameError(
                f"game {game.id!r} ({game.split}): the engine cannot load it, so it is corrupt or unsolvable "
                f"({type(error).__name__}: {error}). Fetch or generate it again, or leave it out."
            ) from error

    def _guard(self) -> Any:
        """The stock engine parses at every step, which two threads must not do at once."""
        return _exclusive() if self.stock else nullcontext()

    def _observation(self, text: str, state: Any) -> Observation:
        assert self._game is not None
        admissible = tuple(state["admissible_commands"])
        return Observation(text, self._game.instruction, admissible, str(self._status))


@dataclass(frozen=True)
class AlfWorldEnvFactory:
    """Makes environments; picklable, so that worker processes can call it. Fields as `AlfWorldEnv`."""

    max_steps: int = 50
    stock: bool = False
    cache_dir: str | None = None

    def __call__(self) -> AlfWorldEnv:
        return AlfWorldEnv(self.max_steps, stock=self.stock, cache_dir=self.cache_dir)


def _make_engine(stock: bool, cache_dir: str | None) -> tuple[Any, bool]:
    """The engine, and whether it is the stock one."""
    parts = upstream()
    if not stock and not textworld_is_tested():
        warnings.warn(
            f"the fast engine was checked against textworld {TESTED_TEXTWORLD}, another is installed: "
            "using the stock engine, which is about 100 times slower",
            RuntimeWarning,
            stacklevel=3,
        )
        stock = True
    infos = parts.textworld.EnvInfos(won=True, admissible_commands=True)
    if stock:
        return parts.demangler_wrapper(parts.pddl_env(infos), shuffle=False), True
    from skill0.envs.alfworld.engine import FastPddlEnv

    return FastPddlEnv(infos, cache_dir), False


@contextmanager
def _exclusive() -> Iterator[None]:
    with ENGINE_LOCK, process_state_kept():
        yield
