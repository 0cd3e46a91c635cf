"""A classroom without an engine: demonstrations written by hand, and a policy that learns in seconds."""

from __future__ import annotations

from dataclasses import replace

from skill0.agent import AgentSettings, PolicyInput, Trajectory, skill_segments
from skill0.context import ContextRenderer, PageStyle
from skill0.envs import Task
from skill0.policy import TinyPolicySettings, build_tiny_policy
from skill0.skills import Skill, SkillFile
from skill0.training.demonstrations import Demonstration, Demonstrations
from skill0.training.searching_expert import ANYWHERE, HERE, Choice
from skill0.training.taught_worlds import HOUSEHOLDS

AGENT = AgentSettings(
    template="household",
    style=PageStyle("7x14", 168, 14),
    history_in="none",
    skill_form="brief",
)
FACTS = {"mug": "cabinet", "egg": "fridge"}
FILES = (
    SkillFile(
        "heat",
        "Heating",
        tuple(
            Skill(key, f"The {key} is kept in the {value}.", brief=f"{key}: {value}")
            for key, value in FACTS.items()
        ),
        ("pick_heat_then_place_in_recep",),
    ),
)
TINY = TinyPolicySettings(
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_key_value_heads=4,
    intermediate_size=64,
    vision_width=16,
    vision_intermediate_size=32,
)
PROMPT = (
    "task: put a hot {thing} in shelf. | holding: nothing | unsearched: cabinet 1, fridge 1, shelf 1"
    " | see: You are in the middle of a room."
)


def demonstrations() -> Demonstrations:
    """Four episodes of two turns: two things, each sought with the page and without it."""
    page = ContextRenderer().page(skill_segments(FILES, "brief", AGENT.style.columns), AGENT.style)
    blank = ContextRenderer().page([], AGENT.style)
    episodes = []
    for arm, shown, facts in ((("heat",), page, FACTS), ((), blank, {})):
        for thing, place in FACTS.items():
            task = Task(f"{thing} {arm}", "alfworld", "pick_heat_then_place_in_recep", "")
            prompts = (
                PolicyInput("", PROMPT.format(thing=thing), shown),
                PolicyInput(
                    "",
                    f"task: put a hot {thing} in shelf. | at: {place} 1 | here: {thing} 1 | see: {thing} 1.",
                    shown,
                ),
            )
            first = Choice(thing, place, f"go to {place} 1")
            if not arm:
                first = Choice(thing, ANYWHERE, f"go to {place} 1", ("cabinet 1", "fridge 1"))
            choices = (first, Choice(thing, HERE, f"take {thing} 1 from {place} 1"))
            episodes.append(Demonstration(Trajectory(task, arm, 0, (), "success"), prompts, choices, facts))
    return Demonstrations(tuple(episodes), {"all": 2, "none": 2}, {"all": 2, "none": 2}, AGENT)


def pupil(seed: int = 0):
    """A tiny policy that has learnt nothing, and its processor; it knows all words of household pages."""

    lexicon = replace(demonstrations(), world=HOUSEHOLDS).lexicon()
    return build_tiny_policy(TINY, lexicon, seed)
