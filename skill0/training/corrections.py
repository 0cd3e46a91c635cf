"""Corrections: what the expert would have done in the states that a policy gets itself into.

Demonstrations show the states of an expert that hardly errs. A policy that has imitated them errs, and then
stands where nobody showed it anything. Here it plays train games itself, and the official expert says at
every turn what it would have done (Ross et al. 2011, arXiv 1011.0686, without mixing). These turns are learnt
beside the demonstrations and those of earlier rounds, in a further, shorter warm-up.

Left out on purpose: skill files in context, and a turn whose prompt the episode has shown already: a policy
that tries the same again and again would else fill the lessons with it.
Tests: tests/training/test_corrections.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skill0.agent.loop import AgentLoop
from skill0.agent.policy import Policy, PolicyInput, PolicyOutput, Sampling
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import RolloutGroup, Trajectory
from skill0.errors import ConfigError
from skill0.skills.skill import SkillFile
from skill0.training.demonstrations import Demonstration, Demonstrations, Recorder
from skill0.training.official_expert import OfficialExpert

if TYPE_CHECKING:
    from skill0.agent.loop import Pool
    from skill0.envs.alfworld.games import Game
    from skill0.training.searching_expert import SearchingExpert

CORRECTED = "corrected"
"""The arm of corrected episodes, in counts of what was played and won."""

_EPISODES_AT_ONCE = 48


@dataclass(frozen=True)
class CorrectionSettings:
    """The second part of a warm-up on official games.

    Args:
        rounds (`int`, *optional*, defaults to `1`):
            How often the policy plays and then learns.
        games (`int`, *optional*, defaults to `320`):
            Train games that the policy plays in a round, others in each, none that a run validates with.
        max_steps (`int`, *optional*, defaults to `30`):
            Turns after which an episode is given up.
        temperature (`float`, *optional*, defaults to `0.4`):
            At which it plays.
        steps (`int`, *optional*, defaults to `600`):
            Optimizer steps of a round, over demonstrations and all corrections so far.
        learning_rate (`float`, *optional*, defaults to `1e-3`):
            Peak of the learning rate.

    Raises:
        ConfigError: a value out of range.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    rounds: int = 1
    games: int = 320
    max_steps: int = 30
    temperature: float = 0.4
    steps: int = 600
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0 and name != "temperature":
                raise ConfigError(f"corrections: {name} must be positive, got {value}")


def collect_corrections(
    games: Sequence[Game],
    policy: Policy,
    settings: CorrectionSettings,
    agent: AgentSettings,
    pool: Pool,
    *,
    max_new_tokens: int,
    seed: int = 0,
) -> Demonstrations:
    """Every game once by the policy, without skill files, and at each turn the expert's choice.

    Won or lost, all episodes are kept. The prompts are those of `agent`, except for `max_steps`.
    """
    recorder = CorrectingRecorder(OfficialExpert(), policy)
    loop = AgentLoop(recorder, pool, replace(agent, max_steps=settings.max_steps))
    sampling = Sampling(settings.temperature, max_new_tokens=max_new_tokens)
    episodes: list[Demonstration] = []
    for start in range(0, len(games), _EPISODES_AT_ONCE):
        groups = [RolloutGroup(game.as_task(), 1) for game in games[start : start + _EPISODES_AT_ONCE]]
        played = loop.run(groups, sampling, seed)
        episodes += [recorder.demonstration(trajectory, ()) for trajectory in played if trajectory.turns]
        recorder.forget()
    won = sum(episode.trajectory.succeeded for episode in episodes)
    return Demonstrations(tuple(episodes), {CORRECTED: len(games)}, {CORRECTED: won}, agent)


def together(shown: Demonstrations, corrected: Demonstrations) -> Demonstrations:
    """Demonstrations and a round of corrections as one."""
    return replace(
        shown,
        episodes=(*shown.episodes, *corrected.episodes),
        played=_added(shown.played, corrected.played),
        won=_added(shown.won, corrected.won),
    )


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {arm: counts.get(arm, 0) + more.get(arm, 0) for arm in {**counts, **more}}


class CorrectingRecorder(Recorder):
    """Lets the policy play and writes down what the expert would have replied."""

    def __init__(self, expert: SearchingExpert, policy: Policy) -> None:
        super().__init__(0.0, expert)
        self.policy = policy

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        super().generate(inputs, sampling)
        return self.policy.generate(inputs, sampling)

    def demonstration(self, trajectory: Trajectory, skills: tuple[SkillFile, ...]) -> Demonstration:
        """Every prompt once."""
        found = super().demonstration(trajectory, skills)
        first = {prompt.text: place for place, prompt in reversed(list(enumerate(found.prompts)))}
        places = sorted(first.values())
        return replace(
            found,
            prompts=tuple(found.prompts[place] for place in places),
            choices=tuple(found.choices[place] for place in places),
            facts={},
        )
