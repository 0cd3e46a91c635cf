"""Demonstrations on official games, whose conventions nobody wrote down: their own winning plans.

A plan knows where everything is, and the policy that imitates it cannot; so what it learns is the engine's
language and the order of things, and searching is left to reinforcement. Left out: plans that search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from skill0.agent.loop import AgentLoop
from skill0.agent.policy import PolicyInput, PolicyOutput, Sampling
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import RolloutGroup
from skill0.errors import GameError
from skill0.skills import Grouping, SkillBank, skills_in_context
from skill0.skills.skill import SkillFile
from skill0.training.demonstrations import Demonstration, Demonstrations
from skill0.training.searching_expert import Choice, parse_goal

if TYPE_CHECKING:
    from skill0.agent.loop import Pool
    from skill0.envs.alfworld.games import Game

ARMS = ("all", "none")
_EPISODES_AT_ONCE = 32  # official games are large, and each live episode holds an engine


def collect_walkthroughs(
    games: Sequence[Game],
    agent: AgentSettings,
    pool: Pool,
    bank: SkillBank,
    grouping: Grouping,
    *,
    seed: int = 0,
) -> Demonstrations:
    """Play the stored plan of every game, once with its task's skill files in context and once without.

    Raises:
        GameError: a stored plan does not win; names the game.
    """
    longest = max(len(game.walkthrough) for game in games)
    episodes: list[Demonstration] = []
    played: Counter[str] = Counter()
    for arm in ARMS:
        for start in range(0, len(games), _EPISODES_AT_ONCE):
            plans = _Plans(games[start : start + _EPISODES_AT_ONCE])
            loop = AgentLoop(plans, pool, replace(agent, max_steps=max(longest, 1)))
            groups = [
                RolloutGroup(game.as_task(), 1, _files(game, arm, bank, grouping)) for game in plans.games
            ]
            for trajectory in loop.run(groups, Sampling(temperature=0.0), seed):
                if not trajectory.succeeded:
                    reason = (
                        trajectory.failure.message if trajectory.failure else "the plan ends without winning"
                    )
                    raise GameError(f"game {trajectory.task.id!r}: its stored plan does not win: {reason}")
                played[arm] += 1
                prompts, choices = plans.of(trajectory.task.id)
                episodes.append(Demonstration(trajectory, prompts, choices, {}))
    return Demonstrations(tuple(episodes), dict(played), dict(played), agent)


def plan_choice(instruction: str, action: str) -> Choice:
    """A step of a plan as a choice: what is sought, the kind of place the step is about, the step."""
    words = [word for word in action.split() if not word.isdigit()]
    return Choice(parse_goal(instruction).object, words[-1], action)


def _files(game: Game, arm: str, bank: SkillBank, grouping: Grouping) -> tuple[SkillFile, ...]:
    return skills_in_context(bank, grouping, bank.names, game.task_type) if arm == "all" else ()


class _Plans:
    """A policy that plays stored plans, and remembers the prompts it was given."""

    def __init__(self, games: Sequence[Game]) -> None:
        self.games = tuple(games)
        self._plans: Mapping[str, tuple[str, ...]] = {game.id: game.walkthrough for game in games}
        self._turns: dict[str, list[tuple[PolicyInput, Choice]]] = {game.id: [] for game in games}

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [PolicyOutput(self._reply(item), (), (), None) for item in inputs]

    def of(self, task_id: str) -> tuple[tuple[PolicyInput, ...], tuple[Choice, ...]]:
        turns = self._turns[task_id]
        return tuple(prompt for prompt, _ in turns), tuple(choice for _, choice in turns)

    def _reply(self, item: PolicyInput) -> str:
        assert item.state is not None, "demonstrations are collected by one process, without padding"
        plan = self._plans[item.state.task.id]
        action = plan[item.state.step] if item.state.step < len(plan) else "look"
        choice = plan_choice(item.state.observation.instruction, action)
        self._turns[item.state.task.id].append((replace(item, state=None), choice))
        return choice.reply
