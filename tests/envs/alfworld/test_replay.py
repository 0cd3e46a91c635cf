"""Replaying plans: the same results in this process and in others, and a dead worker is a result."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import psutil
import pytest

from skill0.envs.alfworld import Game, ReplayResult, replay_games
from skill0.errors import ConfigError

pytestmark = pytest.mark.integration


class EndsTheWorker(Game):
    """A game that ends the process it is sent to."""

    def __reduce__(self):
        return os._exit, (3,)


def test_processes_find_what_this_process_finds(six_games: list[Game]) -> None:
    games = [*six_games, dataclasses.replace(six_games[0], walkthrough=("look",))]
    told: list[ReplayResult] = []
    here = replay_games(games, progress=told.append)
    assert told == here
    assert [result.won for result in here] == [True] * 6 + [False]
    assert here[6].problem == "not won after all 1 commands of the plan"
    assert replay_games(games, workers=2) == here


def test_commands_after_winning_are_a_problem(six_games: list[Game]) -> None:
    game = dataclasses.replace(six_games[0], walkthrough=(*six_games[0].walkthrough, "look"))
    assert replay_games([game])[0].problem.startswith("won before command")


def test_a_dead_worker_is_a_result(six_games: list[Game]) -> None:
    deadly = EndsTheWorker(**{f.name: getattr(six_games[0], f.name) for f in dataclasses.fields(Game)})
    results = replay_games([deadly], workers=1)
    assert [result.problem for result in results] == ["a worker process died before it was played"]


_PLAYS_FOR_LONG = """
from skill0.envs.alfworld import generate_games, replay_games
if __name__ == "__main__":
    replay_games(generate_games(6, seed=1) * 500, workers=1, progress=lambda result: print("one", flush=True))
"""


def test_no_worker_outlives_a_killed_parent(tmp_path) -> None:
    (tmp_path / "plays.py").write_text(_PLAYS_FOR_LONG)
    parent = subprocess.Popen([sys.executable, tmp_path / "plays.py"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()  # the worker is at work
    children = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert children
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_no_games_and_no_negative_workers() -> None:
    assert replay_games([], workers=2) == []
    with pytest.raises(ConfigError, match="workers"):
        replay_games([], workers=-1)
