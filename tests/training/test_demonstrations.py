"""Demonstrations in the real engine: the expert wins, knowing helps, and collecting again gives the same."""

from __future__ import annotations

from dataclasses import replace
from importlib import util

import pytest

from skill0.agent import AgentLoop, AgentSettings, RolloutGroup, Sampling
from skill0.context import PageStyle
from skill0.envs import EnvPool
from skill0.errors import ConfigError
from skill0.training.demonstrations import (
    DemonstrationSettings,
    collect_demonstrations,
)
from skill0.training.reading_check import reading_check
from skill0.training.searching_expert import SearchingExpert, facts_of
from skill0.training.taught_worlds import HOUSEHOLDS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        util.find_spec("alfworld") is None or util.find_spec("textworld") is None,
        reason="needs the extra 'alfworld'",
    ),
]

AGENT = AgentSettings(
    template="household",
    style=PageStyle("7x14", 168, 14),
    history_in="none",
    skill_form="brief",
    max_steps=50,
)


@pytest.fixture(scope="module")
def games():
    from skill0.envs.alfworld import generate_games

    return generate_games(24, seed=11, convention=None, split="tests")


@pytest.fixture(scope="module")
def pool():
    from skill0.envs.alfworld import AlfWorldEnvFactory

    with EnvPool(AlfWorldEnvFactory(max_steps=50)) as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(games, pool):
    return collect_demonstrations(games, DemonstrationSettings(games=24, detours=0.1), AGENT, pool, seed=3)


def share_won(policy, games, pool, *, skilled: bool, max_steps: int) -> float:
    loop = AgentLoop(policy, pool, replace(AGENT, max_steps=max_steps))
    groups = [RolloutGroup(game.as_task(), 1, HOUSEHOLDS.skills(game) if skilled else ()) for game in games]
    trajectories = loop.run(groups, Sampling(), seed=0)
    assert all(turn.valid for trajectory in trajectories for turn in trajectory.turns)
    return sum(trajectory.succeeded for trajectory in trajectories) / len(games)


def test_with_time_enough_the_expert_wins_every_kind_of_task(games, pool):
    assert share_won(SearchingExpert(), games, pool, skilled=True, max_steps=50) == 1.0
    assert share_won(SearchingExpert(), games, pool, skilled=False, max_steps=50) >= 0.95


def test_when_time_is_short_knowing_where_things_are_wins(games, pool):
    informed = share_won(SearchingExpert(), games, pool, skilled=True, max_steps=10)
    blind = share_won(SearchingExpert(), games, pool, skilled=False, max_steps=10)
    assert informed >= 0.95
    assert informed - blind >= 0.3


def test_most_episodes_are_won_and_every_turn_has_its_prompt_and_reply(shown, games):
    assert shown.played == {"all": 24, "some": 24, "none": 24}
    assert sum(shown.won.values()) == len(shown) >= 0.95 * 72
    for episode in shown.episodes:
        assert len(episode.prompts) == len(episode.choices) == len(episode.trajectory.turns)
        assert all(prompt.state is None for prompt in episode.prompts)
        assert bool(episode.facts) == bool(episode.trajectory.arm)


def test_at_a_detour_the_experts_own_choice_is_imitated(shown):
    detours = [
        (choice.reply, turn.reply)
        for episode in shown.episodes
        for choice, turn in zip(episode.choices, episode.trajectory.turns, strict=True)
        if choice.reply != turn.reply
    ]
    assert detours
    assert all("<action>go to " in played for _, played in detours)


def test_the_page_is_the_only_place_that_tells_the_convention(shown):
    for episode in shown.episodes:
        page = episode.prompts[0].page
        for key, value in episode.facts.items():
            assert key in page.text()
            assert value in page.text()
        assert (page.text() == "") == (episode.trajectory.arm == ())


def test_collecting_again_with_workers_gives_the_same(shown, games):
    from skill0.envs.alfworld import AlfWorldEnvFactory

    with EnvPool(AlfWorldEnvFactory(max_steps=50), workers=2) as workers:
        again = collect_demonstrations(
            games, DemonstrationSettings(games=24, detours=0.1), AGENT, workers, seed=3
        )
    assert again == shown


def test_the_lexicon_holds_every_word_of_every_possible_page(shown):

    lexicon = set(replace(shown, world=HOUSEHOLDS).lexicon())
    assert {"go to ", "cabinet 1", "mug"} <= lexicon
    for key, value in HOUSEHOLDS.possible_facts():
        assert {key, value} <= lexicon


def test_a_wrong_page_contradicts_every_fact(games):
    for game in games:
        wrong = HOUSEHOLDS.wrong(game)
        assert wrong.keys() == game.convention.keys()
        assert all(wrong[kind] != place for kind, place in game.convention.items())


def test_the_reading_check_tells_a_reader_from_others(games, pool):
    found = reading_check(SearchingExpert(), games, replace(AGENT, max_steps=8), pool)
    won = {arm.name: arm.success().value for arm in found.arms}
    # The expert is a perfect reader: right when the page is, astray when it is not, blind without one.
    assert won["blank page"] == won["blind expert"]
    assert won["right page"] >= won["blank page"] + 0.3
    assert won["wrong page"] <= won["blank page"]
    assert won["random"] <= 0.1


def test_games_without_a_convention_are_refused(games):
    with pytest.raises(ConfigError, match="only generated households have one"):
        HOUSEHOLDS.skills(replace(games[0], convention={}))


@pytest.mark.parametrize("wrong", [{"games": 0}, {"arms": ("all", "most")}, {"arms": ()}, {"detours": 1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        DemonstrationSettings(**wrong)


def test_facts_of_a_games_skills_are_true(games):
    for game in games:
        stated = facts_of(HOUSEHOLDS.skills(game))
        told = {kind: place for kind, place in stated.items() if kind in game.convention}
        assert told
        assert all(game.convention[kind] == place for kind, place in told.items())
