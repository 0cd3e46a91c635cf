"""The fast engine says what the stock engine says: random walks, played side by side."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from skill0.envs.alfworld import TASK_TYPES, Game, load_games
from skill0.envs.alfworld.upstream import upstream

pytestmark = pytest.mark.integration

INFORMATION = {"won": True, "admissible_commands": True, "facts": True, "moves": True}


@pytest.fixture(scope="module")
def engines() -> tuple[Any, Any]:
    """(stock, fast), kept for all games: a new stock engine copies a 34 MB library."""
    parts = upstream()
    from skill0.envs.alfworld.engine import FastPddlEnv

    def infos() -> Any:
        return parts.textworld.EnvInfos(**INFORMATION, extras=["walkthrough"])

    return parts.demangler_wrapper(parts.pddl_env(infos()), shuffle=False), FastPddlEnv(infos())


def assert_same(stock: Any, fast: Any) -> None:
    for name in ("feedback", "raw", "won", "lost", "admissible_commands", "moves", "extra.walkthrough"):
        assert fast[name] == stock[name], name
    assert sorted(map(str, fast["facts"])) == sorted(map(str, stock["facts"]))


def walk(engines: tuple[Any, Any], game: Game, seed: int, steps: int) -> None:
    """Play the game's plan, with random and impossible commands in between, in both engines."""
    draw = random.Random(seed)
    stock, fast = engines
    for engine in engines:
        engine.load(game.engine_data())
    stock_state, fast_state = stock.reset(), fast.reset()
    assert_same(stock_state, fast_state)
    plan = list(game.walkthrough)
    for _ in range(steps):
        command = _choose(draw, plan, stock_state["admissible_commands"])
        stock_state, *stock_outcome = stock.step(command)
        fast_state, *fast_outcome = fast.step(command)
        assert fast_outcome == stock_outcome
        assert_same(stock_state, fast_state)


def _choose(draw: random.Random, plan: list[str], admissible: list[str]) -> str:
    chance = draw.random()
    if chance < 0.05:
        return "juggle the cabinet"
    if chance < 0.5 and plan:
        return plan.pop(0)
    # Most commands are "go to": prefer the others, where the texts differ more.
    others = [command for command in admissible if not command.startswith("go to")]
    return draw.choice(others if draw.random() < 0.7 else admissible)


@pytest.mark.parametrize("index", range(6), ids=TASK_TYPES)
def test_random_walk_through_a_household(engines: tuple[Any, Any], six_games: list[Game], index: int) -> None:
    walk(engines, six_games[index], seed=index, steps=25)
    # Again, now that the fast engine knows the game and its commands.
    walk(engines, six_games[index], seed=100 + index, steps=10)


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_random_walk_through_an_official_game(
    engines: tuple[Any, Any], official_folder: Path, task_type: str
) -> None:
    """Official games have what households do not: shared locations, sliced objects, twice the size."""
    games = [game for game in load_games(official_folder, "valid_seen") if game.task_type == task_type]
    walk(engines, min(games, key=lambda game: len(game.problem)), seed=3, steps=20)


def test_both_engines_win_by_the_plan(engines: tuple[Any, Any], six_games: list[Game]) -> None:
    game = six_games[0]
    for engine in engines:
        engine.load(game.engine_data())
        engine.reset()
        *before, last = [engine.step(command)[1:] for command in game.walkthrough]
        assert last == (1, True)
        assert set(before) == {(0, False)}


def test_a_game_file_is_loaded_from_its_path(
    engines: tuple[Any, Any], six_games: list[Game], tmp_path: Path
) -> None:
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(six_games[1].engine_data()))
    stock, fast = engines
    stock.load(six_games[1].engine_data())  # given a path, the stock engine leaves the file open
    fast.load(str(path))
    assert_same(stock.reset(), fast.reset())


def test_command_texts_that_depend_on_the_state_are_not_kept(
    engines: tuple[Any, Any], six_games: list[Game]
) -> None:
    """A grammar whose command for opening names what is held: another text after every "take"."""
    game = six_games[0]
    plain = 'template :: "open {r}"'
    assert plain in game.grammar
    telling = 'template :: "open {r} holding [{o.name | holds(a:agent, o:object)}]"'
    changed = dataclasses.replace(game, grammar=game.grammar.replace(plain, telling))
    for engine in engines:
        engine.load(changed.engine_data())
    stock, fast = engines
    assert_same(stock.reset(), fast.reset())
    seen = set()
    for command in _tour_of_openable_things(fast, game):
        stock_state, fast_state = stock.step(command)[0], fast.step(command)[0]
        assert_same(stock_state, fast_state)
        seen.update(c for c in fast_state["admissible_commands"] if c.startswith("open "))
    assert any(text.endswith("holding nothing") for text in seen)
    assert any("holding " in text and not text.endswith("nothing") for text in seen)


def _tour_of_openable_things(engine: Any, game: Game) -> list[str]:
    """Everywhere, then take the target as the plan does, then everywhere again."""
    everywhere = [c for c in engine.state["admissible_commands"] if c.startswith("go to ")]
    until_taken = next(i for i, command in enumerate(game.walkthrough) if command.startswith("take "))
    fetch = [c for c in game.walkthrough[: until_taken + 1] if not c.startswith("open ")]
    opening = [c + " holding nothing" for c in game.walkthrough[:until_taken] if c.startswith("open ")]
    return [*everywhere, *fetch[:-1], *opening, fetch[-1], *everywhere]
