"""Plays the stored winning plan of many games, in parallel processes: does every game load, and is it won?"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection

from skill0.envs.alfworld.env import AlfWorldEnv, AlfWorldEnvFactory
from skill0.envs.alfworld.games import Game
from skill0.envs.base import TextEnv
from skill0.errors import ConfigError, EnvError


@dataclass(frozen=True)
class ReplayResult:
    """`problem` says why a game was not won and is empty when it was."""

    game_id: str
    split: str
    problem: str

    @property
    def won(self) -> bool:
        return not self.problem


def replay_games(
    games: Sequence[Game],
    workers: int = 0,
    *,
    cache_dir: str | None = None,
    progress: Callable[[ReplayResult], None] | None = None,
) -> list[ReplayResult]:
    """Play every game's `walkthrough` in the fast engine; results in the order of the games.

    A game that cannot be loaded, and one whose process dies, is a result with a problem, not an exception.

    Args:
        games: What to play.
        workers: Processes; 0 plays in this one.
        cache_dir: As in `AlfWorldEnv`.
        progress: Called with each result as it comes.

    Raises:
        ConfigError: `workers` is negative.
    """
    if workers < 0:
        raise ConfigError(f"workers must not be negative, got {workers}")
    longest = max((len(game.walkthrough) for game in games), default=1)
    factory = AlfWorldEnvFactory(max_steps=longest, cache_dir=cache_dir)
    results: list[ReplayResult | None] = [None] * len(games)
    played = _in_processes(games, factory, workers) if workers else _in_process(games, factory)
    for index, result in played:
        results[index] = result
        if progress is not None:
            progress(result)
    return [result for result in results if result is not None]


def replay(env: TextEnv, game: Game) -> ReplayResult:
    """Play one game's plan: every command must be admissible, and the last one must win."""

    def lost(problem: str) -> ReplayResult:
        return ReplayResult(game.id, game.split, problem)

    try:
        observation = env.reset(game.as_task())
    except EnvError as error:
        return lost(str(error))
    won = False
    for number, command in enumerate(game.walkthrough, start=1):
        if won:
            return lost(f"won before command {number} of {len(game.walkthrough)}, {command!r}")
        if command not in (observation.admissible or ()):
            return lost(f"command {number}, {command!r}, is not admissible: the plan does not fit the game")
        result = env.step(command)
        observation, won = result.observation, result.terminated
    return lost("" if won else f"not won after all {len(game.walkthrough)} commands of the plan")


def _in_process(games: Sequence[Game], factory: AlfWorldEnvFactory) -> Iterator[tuple[int, ReplayResult]]:
    env = factory()
    try:
        for index, game in enumerate(games):
            yield index, replay(env, game)
    finally:
        env.close()


def _in_processes(
    games: Sequence[Game], factory: AlfWorldEnvFactory, workers: int
) -> Iterator[tuple[int, ReplayResult]]:
    # Not fork: the caller may have threads or a GPU in use.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(
        min(workers, len(games) or 1), mp_context=context, initializer=_end_with_parent
    )
    try:
        futures: dict[Future[ReplayResult], int] = {
            executor.submit(_replay_here, factory, game): index for index, game in enumerate(games)
        }
        for future in as_completed(futures):
            index = futures[future]
            try:
                yield index, future.result()
            except BrokenProcessPool:
                game = games[index]
                yield index, ReplayResult(game.id, game.split, "a worker process died before it was played")
    finally:
        executor.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker waits for work on a pipe of which it holds both ends: it would outlive a killed parent."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@lru_cache(maxsize=1)
def _env_of(factory: AlfWorldEnvFactory) -> AlfWorldEnv:
    """The worker process's one environment."""
    return factory()


def _replay_here(factory: AlfWorldEnvFactory, game: Game) -> ReplayResult:
    return replay(_env_of(factory), game)
