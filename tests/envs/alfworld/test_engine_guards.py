"""What the engine must not do to its process, and what it must say about games it cannot load."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from skill0.envs.alfworld import AlfWorldEnv, Game, tasks_from
from skill0.envs.alfworld import env as env_module
from skill0.envs.alfworld.replay import replay
from skill0.errors import EnvError, GameError

pytestmark = pytest.mark.integration

_IN_A_FRESH_PROCESS = """
import os, sys
sys.argv = ["mine", "--flag"]
stdout = sys.stdout
os.environ.pop("ALFWORLD_DATA", None)
from skill0.envs.alfworld import AlfWorldEnv, generate_games
assert not {"torch", "alfworld", "textworld"} & set(sys.modules)
env = AlfWorldEnv()
env.reset(generate_games(1, seed=1)[0].as_task())
assert sys.argv == ["mine", "--flag"], sys.argv
assert sys.stdout is stdout
assert "ALFWORLD_DATA" not in os.environ
assert not os.path.exists(os.path.expanduser("~/.cache/alfworld"))
assert "torch" not in sys.modules
for command in ("look", "inventory", "examine cabinet 1"):
    env.step(command)
# textworld keeps every proposition made in the usual way until the process ends.
from mementos import core
assert not [key for key in core._memento_cache if key[0].__name__ == "Proposition"]
env.close()
print("kept")
"""


def test_arguments_streams_and_environment_are_kept(tmp_path) -> None:
    command = [sys.executable, "-W", "error", "-c", _IN_A_FRESH_PROCESS]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout == "kept\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_arguments_are_kept_when_a_game_is_corrupt(six_games: list[Game]) -> None:
    argv, stdout = sys.argv, sys.stdout
    env = AlfWorldEnv()
    with pytest.raises(GameError):
        env.reset(dataclasses.replace(six_games[0], problem="(define (problem").as_task())
    assert sys.argv is argv
    assert sys.stdout is stdout
    env.close()


def test_threads_play_side_by_side(six_games: list[Game]) -> None:
    """Without the lock, tatsu and the translator fail in most episodes."""

    def play(games: list[Game]) -> list[str]:
        env = AlfWorldEnv()
        problems = [replay(env, game).problem for game in games]
        env.close()
        return problems

    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(play, [six_games[:4], six_games[2:], six_games[::-1][:4]]))
    assert results == [[""] * 4] * 3


def test_an_untested_textworld_means_the_stock_engine(monkeypatch, six_games: list[Game]) -> None:
    monkeypatch.setattr(env_module, "textworld_is_tested", lambda: False)
    with pytest.warns(RuntimeWarning, match=r"checked against textworld 1\.7.*using the stock engine"):
        env = AlfWorldEnv()
    assert env.stock
    assert env.reset(six_games[0].as_task()).admissible
    env.close()


def test_the_fast_engine_has_no_planner() -> None:
    from skill0.envs.alfworld.upstream import upstream

    infos = upstream().textworld.EnvInfos(policy_commands=True)
    from skill0.envs.alfworld.engine import FastPddlEnv

    with pytest.raises(EnvError, match="planner"):
        FastPddlEnv(infos)


def test_a_missing_engine_says_what_to_install(monkeypatch) -> None:
    from skill0.envs.alfworld import upstream as upstream_module

    monkeypatch.setitem(sys.modules, "textworld", None)  # makes `import textworld` fail
    with pytest.raises(EnvError, match=r"pip install 'skill0\[alfworld\]'"):
        upstream_module.upstream.__wrapped__()


def unreachable(game: Game) -> Game:
    """The same game without any permission to put anything anywhere."""
    lines = [line for line in game.problem.splitlines() if "(canContain" not in line]
    assert len(lines) < len(game.problem.splitlines())
    return dataclasses.replace(game, id="nowhere-to-put-it", problem="\n".join(lines))


@pytest.mark.parametrize("stock", [False, True], ids=["fast", "stock"])
def test_an_unsolvable_game_is_named(six_games: list[Game], stock: bool) -> None:
    env = AlfWorldEnv(stock=stock)
    with pytest.raises(GameError, match=r"'nowhere-to-put-it'.*unsolvable"):
        env.reset(unreachable(six_games[0]).as_task())
    # The environment is none the worse for it.
    assert replay(env, six_games[0]).won
    env.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem": "(define (problem"}, "PDDL problem is corrupt"),
        ({"problem": ""}, "PDDL problem is corrupt"),
        ({"domain": "(define (domain alfred))"}, "PDDL problem is corrupt"),
        ({"grammar": "no task in it"}, "grammar has no single rule"),
        ({"grammar": '"Your task is to: UNKNOWN GOAL." grammar ::'}, "grammar does not parse"),
    ],
    ids=["cut off", "empty", "domain without types", "no task sentence", "not a grammar"],
)
def test_a_corrupt_game_is_named(six_games: list[Game], change: dict[str, str], message: str) -> None:
    env = AlfWorldEnv()
    broken = dataclasses.replace(six_games[0], id="broken-one", **change)
    with pytest.raises(GameError, match=f"'broken-one'.*{message}"):
        env.reset(broken.as_task())
    env.close()


def test_a_grammar_cannot_run_code(six_games: list[Game]) -> None:
    """The stock engine evaluates any Python expression that a game file holds."""
    evil = six_games[0].grammar.replace("{o.indefinite + ' ' + o.name", "{open('x').read()")
    assert evil != six_games[0].grammar
    env = AlfWorldEnv()
    with pytest.raises(GameError, match=r"the grammar computes .*stock=True"):
        env.reset(dataclasses.replace(six_games[0], grammar=evil).as_task())
    env.close()


def test_a_game_that_starts_won_is_refused(six_games: list[Game]) -> None:
    """Its goal is moved to what holds at the start: the agent is in the middle of the room."""
    game = six_games[0]
    head, _, _ = game.problem.partition("(:goal")
    goal = "(:goal (and (exists (?o - object ?r - receptacle) (inReceptacle ?o ?r))))\n)"
    won = dataclasses.replace(game, id="won-at-once", problem=head + goal)
    env = AlfWorldEnv()
    with pytest.raises(GameError, match=r"'won-at-once'.*won before anything is done"):
        env.reset(won.as_task())
    env.close()


def test_tasks_carry_their_game(six_games: list[Game]) -> None:
    tasks = tasks_from(six_games)
    assert [task.payload for task in tasks] == six_games
    assert {task.env for task in tasks} == {"alfworld"}
