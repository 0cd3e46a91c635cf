"""`skill0 data`, as typed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skill0.commands.data import app
from skill0.envs.alfworld import Game, load_games, write_games
from skill0.errors import ConfigError, GameStoreError

pytestmark = pytest.mark.integration


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_generated_games_are_verified_and_won(tmp_path: Path) -> None:
    made = run("generate", tmp_path / "games", "--games", 6, "--seed", 3, "--convention-seed", 5)
    assert made.exit_code == 0, made.output
    assert f"wrote 6 games to {tmp_path / 'games'}, split train" in made.stdout

    verified = run("verify", tmp_path / "games", "--replay", "--workers", 2)
    assert verified.exit_code == 0, verified.output
    lines = verified.stdout.splitlines()
    assert lines[0] == "train: 6 games found, 6 checksums agree"
    assert lines[-1] == "won 6/6"
    # One convention for all, as asked.
    conventions = [dict(game.convention) for game in load_games(tmp_path / "games", "train")]
    assert conventions[0]
    assert all(convention == conventions[0] for convention in conventions)


def test_a_game_that_is_not_won_is_listed(six_games: list[Game], tmp_path: Path) -> None:
    """One plan without its last command, one with a command too many, one game that cannot be loaded."""
    short = dataclasses.replace(six_games[0], walkthrough=six_games[0].walkthrough[:-1])
    astray = dataclasses.replace(six_games[1], walkthrough=("go to nowhere 1", *six_games[1].walkthrough))
    broken = dataclasses.replace(six_games[2], problem="(define (problem")
    write_games([short, astray, broken, *six_games[3:]], tmp_path / "games")
    verified = run("verify", tmp_path / "games", "--replay", "--workers", 0)
    assert verified.exit_code == 1
    for game, problem in (
        (short, "not won after all"),
        (astray, "command 1, 'go to nowhere 1', is not admissible"),
        (broken, "PDDL problem is corrupt"),
    ):
        line = next(line for line in verified.stdout.splitlines() if game.id in line)
        assert line.startswith(f"not won: tests/{game.id}: ")
        assert problem in line
    assert verified.stdout.splitlines()[-1] == "won 3/6"


def test_a_limit_plays_part_of_each_split(six_games: list[Game], tmp_path: Path) -> None:
    write_games([*six_games, *(dataclasses.replace(g, split="more") for g in six_games)], tmp_path / "games")
    verified = run("verify", tmp_path / "games", "--replay", "--workers", 0, "--limit", 2)
    assert verified.stdout.splitlines()[-3:] == ["more: won 2/2", "tests: won 2/2", "won 4/4"]
    one = run("verify", tmp_path / "games", "--split", "more", "--replay", "--workers", 0, "--limit", 1)
    assert one.stdout.splitlines()[-1] == "won 1/1"
    assert isinstance(run("verify", tmp_path / "games", "--limit", 2).exception, ConfigError)


def test_alfworlds_tree_is_imported(six_games: list[Game], tmp_path: Path, monkeypatch) -> None:
    for game in six_games:
        folder = tmp_path / "data" / "json_2.1.1" / "tests" / game.id
        folder.mkdir(parents=True)
        (folder / "game.tw-pddl").write_text(json.dumps(game.engine_data()))
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "data"))
    done = run("import", tmp_path / "packed")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"tests: 6 games written to {tmp_path / 'packed'}\n"
    assert {game.sha256 for game in load_games(tmp_path / "packed", "tests")} == {g.sha256 for g in six_games}


def test_nothing_to_import(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    failed = run("import", tmp_path / "packed")
    assert isinstance(failed.exception, GameStoreError)
    assert "set ALFWORLD_DATA" in str(failed.exception)
