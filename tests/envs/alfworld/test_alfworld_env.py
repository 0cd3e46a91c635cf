"""`AlfWorldEnv`: an episode from the agent's side."""

from __future__ import annotations

import gc
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.envs import Task, TextEnv, check_env
from skill0.envs.alfworld import AlfWorldEnv, AlfWorldEnvFactory, Game, tasks_from
from skill0.envs.alfworld.status import EpisodeStatus, names_listed
from skill0.errors import ConfigError, EnvError


@pytest.fixture(scope="module")
def env():
    env = AlfWorldEnv(max_steps=20)
    yield env
    env.close()


@pytest.mark.integration
def test_the_first_observation(env: AlfWorldEnv, six_games: list[Game]) -> None:
    game = six_games[0]
    first = env.reset(game.as_task())
    assert isinstance(env, TextEnv)
    # Neither the engine's banner nor the task: the task is the instruction.
    assert first.text.startswith("You are in the middle of a room. Looking quickly around you, you see a ")
    assert "Your task is to" not in first.text
    assert first.instruction == game.instruction
    assert first.admissible is not None
    assert list(first.admissible) == sorted(first.admissible)
    assert {"look", "inventory", "help"} < set(first.admissible)
    assert first.status.startswith("at: start | holding: nothing | unsearched: ")


@pytest.mark.integration
def test_the_plan_wins_every_task_type(env: AlfWorldEnv, six_games: list[Game]) -> None:
    for game in six_games:
        observation = env.reset(game.as_task())
        for command in game.walkthrough[:-1]:
            assert observation.admissible is not None
            assert command in observation.admissible
            result = env.step(command)
            assert (result.reward, result.terminated, result.truncated) == (0.0, False, False)
            assert result.info["won"] is False
            observation = result.observation
        last = env.step(game.walkthrough[-1])
        assert (last.reward, last.terminated, last.truncated, last.info["won"]) == (1.0, True, False, True)


@pytest.mark.integration
def test_a_repeated_episode_is_the_same(env: AlfWorldEnv, six_games: list[Game]) -> None:
    def play(game: Game) -> list[object]:
        return [env.reset(game.as_task()), *(env.step(command) for command in game.walkthrough)]

    first = play(six_games[2])
    play(six_games[3])
    assert play(six_games[2]) == first


@pytest.mark.integration
def test_an_unknown_command_is_answered(env: AlfWorldEnv, six_games: list[Game]) -> None:
    before = env.reset(six_games[0].as_task())
    result = env.step("juggle the cabinet")
    assert result.observation.text == "Nothing happens."
    assert result.observation.admissible == before.admissible
    assert not result.terminated


@pytest.mark.integration
def test_the_contract_is_kept(six_games: list[Game]) -> None:
    check_env(AlfWorldEnvFactory(max_steps=10), tasks_from(six_games[:3]))


@pytest.mark.integration
def test_the_step_limit_truncates(six_games: list[Game]) -> None:
    env = AlfWorldEnv(max_steps=2)
    env.reset(six_games[0].as_task())
    assert not env.step("look").truncated
    assert env.step("look").truncated
    with pytest.raises(EnvError, match="call reset"):
        env.step("look")
    env.close()


@pytest.mark.integration
def test_winning_with_the_last_allowed_step_is_no_truncation(six_games: list[Game]) -> None:
    game = six_games[0]
    env = AlfWorldEnv(max_steps=len(game.walkthrough))
    env.reset(game.as_task())
    results = [env.step(command) for command in game.walkthrough]
    assert results[-1].terminated
    assert not results[-1].truncated
    env.close()


@pytest.mark.integration
def test_the_status_follows_the_episode(env: AlfWorldEnv, six_games: list[Game]) -> None:
    game = six_games[0]
    env.reset(game.as_task())
    results = {command: env.step(command).observation.status for command in game.walkthrough}
    went, took, moved = (
        next((c, s) for c, s in results.items() if c.startswith(verb))
        for verb in ("go to ", "take ", "move ")
    )
    assert went[1].startswith(f"at: {went[0].removeprefix('go to ')} | here: ")
    held = took[0].removeprefix("take ").partition(" from ")[0]
    assert f"| holding: {held} | " in took[1]
    assert "| holding: nothing | " in moved[1]


@pytest.mark.integration
def test_misuse_is_named(six_games: list[Game]) -> None:
    with pytest.raises(ConfigError, match="max_steps must be at least 1, not 0"):
        AlfWorldEnv(max_steps=0)
    env = AlfWorldEnv()
    with pytest.raises(EnvError, match="call reset before the first step"):
        env.step("look")
    with pytest.raises(EnvError, match="'elsewhere' holds str, not a Game"):
        env.reset(Task("elsewhere", "alfworld", "t", "i", payload="a path"))
    env.close()
    env.close()
    with pytest.raises(EnvError, match="closed"):
        env.reset(six_games[0].as_task())


@pytest.mark.integration
def test_a_closed_environment_leaves_its_library_to_the_next(six_games: list[Game]) -> None:
    first = AlfWorldEnv()
    library = first._engine.downward_lib
    first.close()
    second = AlfWorldEnv()
    assert second._engine.downward_lib is library
    assert second.reset(six_games[0].as_task()).admissible
    del second  # dropped without being closed
    gc.collect()
    third = AlfWorldEnv()
    assert third._engine.downward_lib is library
    third.close()


def test_the_factory_can_be_sent_to_a_worker() -> None:
    factory = AlfWorldEnvFactory(max_steps=7, cache_dir="/tmp/cache")
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_a_game_is_small_when_sent_to_a_worker(six_games: list[Game]) -> None:
    game = six_games[0]
    sent = pickle.dumps(game)
    assert pickle.loads(sent) == game
    assert len(sent) < len(game.problem) + len(game.domain) + len(game.grammar)


def test_the_status_line_by_hand() -> None:
    """Three receptacles; go to one, take a mug, go to another, put it down."""
    status = EpisodeStatus(
        "You are in the middle of a room. Looking quickly around you, "
        "you see a cabinet 10, a cabinet 2, and a fridge 1.",
        "put two mug in cabinet.",
    )
    after = {
        "": "at: start | holding: nothing | unsearched: cabinet 2, cabinet 10, fridge 1",
        "You arrive at cabinet 2. The cabinet 2 is closed.": (
            "at: cabinet 2 | here: closed | holding: nothing | unsearched: cabinet 2, cabinet 10, fridge 1"
        ),
        "You open the cabinet 2. The cabinet 2 is open. In it, you see a pan 1, a mug 3, and a mug 1.": (
            "at: cabinet 2 | here: pan 1, mug 3, mug 1 | holding: nothing | unsearched: cabinet 10, fridge 1"
        ),
        "You pick up the mug 3 from the cabinet 2.": (
            "at: cabinet 2 | here: pan 1, mug 1 | holding: mug 3 | unsearched: cabinet 10, fridge 1"
        ),
        "You heat the mug 3 using the microwave 1.": (
            "at: cabinet 2 | here: pan 1, mug 1 | holding: mug 3 (hot) | unsearched: cabinet 10, fridge 1"
        ),
        "You cool the mug 3 using the fridge 1.": (
            "at: cabinet 2 | here: pan 1, mug 1 | holding: mug 3 (cool) | unsearched: cabinet 10, fridge 1"
        ),
        "Nothing happens.": (
            "at: cabinet 2 | here: pan 1, mug 1 | holding: mug 3 (cool) | unsearched: cabinet 10, fridge 1"
        ),
        "You arrive at cabinet 10. On the cabinet 10, you see nothing.": (
            "at: cabinet 10 | here: nothing | holding: mug 3 (cool) | seen: mug 1 at cabinet 2 | "
            "unsearched: fridge 1"
        ),
        "You move the mug 3 to the cabinet 10.": (
            "at: cabinet 10 | here: nothing | holding: nothing | placed: mug 3 at cabinet 10 | "
            "seen: mug 1 at cabinet 2 | unsearched: fridge 1"
        ),
    }
    for observation, expected in after.items():
        status.update(observation)
        assert str(status) == expected, observation


def test_refused_commands_are_told_until_one_is_accepted() -> None:
    """In official games only: households, whose prompts show the observation, are told as ever."""
    intro = "You are in the middle of a room. Looking quickly around you, you see a fridge 1."
    told, silent = EpisodeStatus(intro, tells_refused=True), EpisodeStatus(intro)
    for status in (told, silent):
        for command in ("open shelf 1", "go to shelf 1", "open shelf 1"):
            status.update("Nothing happens.", command)
    assert str(told) == (
        "at: start | holding: nothing | refused: go to shelf 1, open shelf 1 | unsearched: fridge 1"
    )
    assert "refused" not in str(silent)
    told.update("You arrive at fridge 1. The fridge 1 is closed.", "go to fridge 1")
    assert "refused" not in str(told)


@given(st.lists(st.from_regex(r"\A[a-z]{2,12} [1-9][0-9]?\Z"), max_size=8))
def test_every_listed_receptacle_is_found(names: list[str]) -> None:
    """The engine joins with ", " and, before the last, ", and "; no receptacle at all is "nothing"."""
    listed = [f"a {name}" for name in names] or ["nothing"]
    sentence = ", and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
    assert names_listed(f"You are in the middle of a room. Looking, you see {sentence}.") == names
