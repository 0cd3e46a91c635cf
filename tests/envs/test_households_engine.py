"""Generated households on the real engine: it plays them as the generator means them."""

from __future__ import annotations

import re

import pytest

from skill0.envs import EnvPool, check_env
from skill0.envs.alfworld import AlfWorldEnvFactory, tasks_from
from skill0.envs.alfworld.conventions import sample_convention
from skill0.envs.alfworld.games import TASK_TYPES
from skill0.envs.alfworld.households import HouseholdSettings, generate_games, generate_household

pytest.importorskip("textworld", reason="needs the extra 'alfworld'")
pytestmark = pytest.mark.integration

FACTORY = AlfWorldEnvFactory(max_steps=12)


@pytest.mark.parametrize(("size", "count"), [("small", 18), ("medium", 6)])
def test_every_plan_wins_with_its_last_command(size, count):
    env = FACTORY()
    for game in generate_games(count, 11, HouseholdSettings(size=size)):
        observation = env.reset(game.as_task())
        assert observation.instruction == game.instruction
        for number, command in enumerate(game.walkthrough, start=1):
            assert command in observation.admissible, (game.id, command, observation.admissible)
            result = env.step(command)
            observation = result.observation
            assert result.info["won"] == (number == len(game.walkthrough)), (game.id, command)
    env.close()


def test_the_engine_calls_things_by_the_generators_names():
    env = FACTORY()
    chosen = HouseholdSettings(extra_objects=(12, 12))
    for seed in range(3):
        convention = sample_convention(seed)
        (game,) = generate_games(1, seed, chosen, convention)
        game_seed = int(re.search(r"household_(\d+)_", game.id)[1])
        household = generate_household(TASK_TYPES[0], game_seed, chosen, convention)
        text = env.reset(game.as_task()).text
        assert text.startswith("You are in the middle of a room.")
        assert set(re.findall(r"an? (\w+ \d+)", text)) == {place.name for place in household.receptacles}
        for place in household.receptacles:
            seen = env.step(f"go to {place.name}").observation.text
            if place.openable:
                assert seen.endswith(f"The {place.name} is closed.")
                continue
            names = set(re.findall(r"an? (\w+ \d+)", seen))
            assert names == {item.name for item in household.items if item.place == place}
    env.close()


def test_small_households_have_few_commands():
    """10-12 receptacles to go to, then look, inventory, help, examine, and what is at hand."""
    env = FACTORY()
    for game in generate_games(12, 2):
        observation = env.reset(game.as_task())
        numbers = [len(observation.admissible)]
        for command in game.walkthrough:
            observation = env.step(command).observation
            numbers.append(len(observation.admissible))
        assert min(numbers) >= 10
        assert max(numbers) <= 25
    env.close()


def test_the_environment_keeps_the_contract():
    report = check_env(FACTORY, tasks_from(generate_games(6, 4)), max_steps=12)
    assert report.task_types == TASK_TYPES
    # Every walk ends: it wins, or the twelfth step is the last.
    assert report.ended == 6
    assert report.after_end == "raises"
    assert report.refused == 0


def roll_out(pool: EnvPool, games) -> list[object]:
    """Two members of each game: one follows the plan, one says "look" to the end."""
    starts = pool.reset([task for task in tasks_from(games) for _ in range(2)])
    record: list[object] = [starts]
    live = set(range(len(starts)))
    step = 0
    while live:
        actions = {n: games[n // 2].walkthrough[step] if n % 2 == 0 else "look" for n in sorted(live)}
        results = pool.step(actions)
        record.append(results)
        live -= {n for n, result in results.items() if result.terminated or result.truncated}
        step += 1
    return record


def test_the_same_episodes_with_any_number_of_workers(tmp_path):
    games = generate_games(6, 9)
    factory = AlfWorldEnvFactory(max_steps=12, cache_dir=str(tmp_path))
    records = []
    for workers in (0, 1, 4):
        with EnvPool(factory, workers=workers) as pool:
            records.append(roll_out(pool, games))
            assert not pool.failures
    assert records[0] == records[1] == records[2]
    results = {n: result for results in records[0][1:] for n, result in results.items()}
    assert [results[n].info["won"] for n in range(12)] == [True, False] * 6
