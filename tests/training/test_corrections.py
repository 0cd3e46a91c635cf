"""Corrections: the policy plays, the expert says what it would have done."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from skill0.agent import AgentSettings
from skill0.agent.policy import PolicyOutput
from skill0.context import PageStyle
from skill0.envs import Observation, StepResult
from skill0.envs.alfworld import Game
from skill0.errors import ConfigError
from skill0.training.corrections import CORRECTED, CorrectionSettings, collect_corrections, together

AGENT = AgentSettings(
    template="official", style=PageStyle("7x14", 168, 14), history_in="none", skill_form="brief"
)
INTRO = "You are in the middle of a room. Looking quickly around you, you see a countertop 1, and a shelf 1."
REFUSED = "Nothing happens."
GAME = Game("g", "train", "pick_and_place_simple", "put a mug in shelf.", "", (), "", "")


@dataclass
class Room:
    """Refuses everything; the status tells how often, up to twice."""

    steps: int = 0

    def reset(self, tasks):
        return [Observation(INTRO, GAME.instruction, (), "at: start") for _ in tasks]

    def step(self, actions):
        self.steps += 1
        status = f"at: start | refused: {min(self.steps, 2)}"
        seen = Observation(REFUSED, GAME.instruction, (), status)
        return {number: StepResult(seen, 0.0, False, False, {"won": False}) for number in actions}


class Stubborn:
    """Goes to the shelf, always."""

    def generate(self, inputs, sampling):
        reply = "<think>mug: shelf</think><action>go to shelf 1</action>"
        return [PolicyOutput(reply, (), (), None) for _ in inputs]


def test_the_policy_plays_and_the_expert_is_imitated():
    settings = CorrectionSettings(games=1, max_steps=6)
    found = collect_corrections([GAME], Stubborn(), settings, AGENT, Room(), max_new_tokens=24)
    (episode,) = found.episodes
    assert [turn.action for turn in episode.trajectory.turns] == ["go to shelf 1"] * 6
    assert {choice.action for choice in episode.choices} == {"go to countertop 1"}
    assert (dict(found.played), dict(found.won)) == ({CORRECTED: 1}, {CORRECTED: 0})


def test_a_prompt_is_learnt_once_in_an_episode():
    settings = CorrectionSettings(games=1, max_steps=6)
    found = collect_corrections([GAME], Stubborn(), settings, AGENT, Room(), max_new_tokens=24)
    texts = [prompt.text for prompt in found.episodes[0].prompts]
    assert [text.rpartition(" | ")[2] for text in texts] == ["at: start", "refused: 1", "refused: 2"]
    assert found.turns == 3


def test_together_they_are_one():
    settings = CorrectionSettings(games=1, max_steps=2)
    found = collect_corrections([GAME], Stubborn(), settings, AGENT, Room(), max_new_tokens=24)
    both = together(found, found)
    assert len(both) == 2
    assert (dict(both.played), dict(both.won)) == ({CORRECTED: 2}, {CORRECTED: 0})


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="steps must be positive"):
        CorrectionSettings(steps=0)
