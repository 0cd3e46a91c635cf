"""Households of procedure on the real engine: plans win, and the goal takes no needless treatment."""

from __future__ import annotations

import pytest

from skill0.envs.alfworld import (
    AlfWorldEnvFactory,
    HouseholdSettings,
    generate_games,
    load_games,
    write_games,
)
from skill0.envs.alfworld.games import PROCEDURE_TASK_TYPES

pytest.importorskip("textworld", reason="needs the extra 'alfworld'")
pytestmark = pytest.mark.integration

PROCEDURE = HouseholdSettings(kind="procedure")
VERBS = {"sinkbasin": "clean", "microwave": "heat", "fridge": "cool"}


@pytest.fixture(scope="module")
def env():
    made = AlfWorldEnvFactory(max_steps=20)()
    yield made
    made.close()


def play(env, game, commands) -> list[bool]:
    """Whether the game is won after each command; every command must be admissible."""
    observation = env.reset(game.as_task())
    won = []
    for command in commands:
        assert command in observation.admissible, (game.id, command, observation.admissible)
        result = env.step(command)
        observation = result.observation
        won.append(result.info["won"])
        if result.terminated:
            break
    return won


@pytest.mark.parametrize("task_type", PROCEDURE_TASK_TYPES)
def test_every_plan_wins_with_its_last_command(env, task_type):
    chosen = HouseholdSettings(kind="procedure", task_types=(task_type,))
    for game in generate_games(30, 11, chosen):
        assert env.reset(game.as_task()).instruction == game.instruction
        won = play(env, game, game.walkthrough)
        assert won == [False] * (len(game.walkthrough) - 1) + [True]


def with_treatments(game, appliances: list[str]) -> list[str]:
    """The game's plan with other treatments than its own."""
    taken = next(command for command in game.walkthrough if command.startswith("take "))
    thing = taken.removeprefix("take ").partition(" from ")[0]
    before = list(game.walkthrough[: game.walkthrough.index(taken) + 1])
    rest = game.walkthrough[len(before) :]
    while not rest[1].startswith(("move ", "open ")):
        rest = rest[2:]  # "go to sinkbasin 1", "clean mug 1 with sinkbasin 1"
    steps = [
        step for tool in appliances for step in (f"go to {tool} 1", f"{VERBS[tool]} {thing} with {tool} 1")
    ]
    return [*before, *steps, *rest]


def test_order_matters_where_treatments_undo_each_other(env):
    chosen = HouseholdSettings(kind="procedure", task_types=("party_last_word", "study_last_word"))
    for game in generate_games(6, 3, chosen):
        last = next(
            tool for tool in ("microwave", "fridge") if f"{VERBS[tool]} " in " ".join(game.walkthrough)
        )
        first = {"microwave": "fridge", "fridge": "microwave"}[last]
        assert play(env, game, with_treatments(game, [first, last]))[-1]
        assert not any(play(env, game, with_treatments(game, [last, first])))


def test_order_of_lasting_treatments_is_free_and_both_are_needed(env):
    chosen = HouseholdSettings(kind="procedure", task_types=("garden_two_words",))
    for game in generate_games(4, 3, chosen):
        second = "microwave" if "heat " in " ".join(game.walkthrough) else "fridge"
        assert play(env, game, with_treatments(game, ["sinkbasin", second]))[-1]
        assert play(env, game, with_treatments(game, [second, "sinkbasin"]))[-1]
        assert not any(play(env, game, with_treatments(game, ["sinkbasin"])))
        assert not any(play(env, game, with_treatments(game, [second])))


def test_needless_treatments_lose(env):
    chosen = HouseholdSettings(kind="procedure", task_types=("parlour_one_word",))
    for game in generate_games(6, 5, chosen):
        own = next(tool for tool in VERBS if f"{VERBS[tool]} " in " ".join(game.walkthrough))
        assert play(env, game, with_treatments(game, [own]))[-1]
        assert not any(play(env, game, with_treatments(game, [])))
        for needless in VERBS.keys() - {own}:
            assert not any(play(env, game, with_treatments(game, [own, needless])))


def test_games_are_stored_with_their_convention(tmp_path):
    games = generate_games(12, 1, PROCEDURE)
    write_games(games, tmp_path)
    read = load_games(tmp_path, "train")
    assert read == games
    assert [game.convention for game in read] == [game.convention for game in games]
