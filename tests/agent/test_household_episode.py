"""The agent loop on the real ALFWorld engine: a scripted winner, a random policy, and rubbish."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skill0.agent import (
    AgentLoop,
    AgentSettings,
    PolicyInput,
    RandomPolicy,
    RolloutGroup,
    Sampling,
    ScriptedPolicy,
)
from skill0.envs import EnvPool


def follow_the_plan(item: PolicyInput) -> str:
    assert item.state is not None
    return f"<think>as planned</think><action>{item.state.task.payload.walkthrough[item.state.step]}</action>"


@pytest.mark.integration
def test_winning_losing_and_talking_nonsense_in_generated_households() -> None:
    from skill0.envs.alfworld import AlfWorldEnvFactory
    from skill0.envs.alfworld.households import generate_games

    games = generate_games(6, seed=3)  # one of each task type
    groups = [RolloutGroup(game.as_task(), 1) for game in games]
    settings = AgentSettings(template="household", max_steps=30)
    with EnvPool(AlfWorldEnvFactory(max_steps=30)) as pool:

        def play(policy):
            return AgentLoop(policy, pool, settings).run(groups, Sampling(), seed=0)

        planned = play(ScriptedPolicy(follow_the_plan))
        lost = play(ScriptedPolicy(lambda item: "I would rather not."))
        drawn = play(RandomPolicy())
    for game, trajectory in zip(games, planned, strict=True):
        assert trajectory.outcome == "success"
        assert [turn.action for turn in trajectory.turns] == list(game.walkthrough)
        assert all(turn.valid for turn in trajectory.turns)
    for trajectory in lost:
        assert (trajectory.outcome, len(trajectory.turns)) == ("failure", 30)
        assert {turn.observation for turn in trajectory.turns[1:]} == {"Nothing happens."}
        assert not any(turn.valid for turn in trajectory.turns)
    assert all(turn.valid for trajectory in drawn for turn in trajectory.turns)


def test_the_agent_and_the_evaluation_load_no_model_library() -> None:
    code = "import sys, skill0.agent, skill0.evaluation; assert not {'torch', 'alfworld'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
