"""Demonstrations on official train games: won episodes of an expert that has to search, like the policy.

The stored plans of the games teach nothing about searching, for a plan knows where things are. Here the
official expert (official_expert.py) plays, under the same arms as in generated households: with the skill
files of the task, with some of them, and with none. Its detours are wrong walks, also with full hands, wrong
things picked up, and, every other one, commands that the engine refuses: the slips of a policy that forms
its commands itself. The prompt after one tells what was refused.

Left out on purpose: facts to look up. Pages of `skills/alfworld` state rules, not where a thing of this game
is, so no look-up is marked and there are no pages to read aloud.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from skill0.agent.policy import EpisodeState
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import RolloutGroup, Trajectory
from skill0.envs.alfworld.placements import placements
from skill0.skills import Grouping, SkillBank, skills_in_context
from skill0.skills.skill import SkillFile
from skill0.training.demonstrations import (
    Demonstration,
    Demonstrations,
    DemonstrationSettings,
    Recorder,
    record,
)
from skill0.training.official_expert import OfficialExpert
from skill0.training.searching_expert import TOOLS, kind, parse_goal, remember

if TYPE_CHECKING:
    from skill0.agent.loop import Pool
    from skill0.envs.alfworld.games import Game

_EPISODES_AT_ONCE = 32  # official games are large, and each live episode holds an engine

_MOST_THINGS = 5
"""Official games hardly ever have more things of a kind; more are read byte by byte."""


def collect_official_demonstrations(
    games: Sequence[Game],
    settings: DemonstrationSettings,
    agent: AgentSettings,
    pool: Pool,
    bank: SkillBank,
    grouping: Grouping,
    *,
    seed: int = 0,
) -> Demonstrations:
    """Play every game under every arm of the settings and keep what was won.

    The same arguments give the same demonstrations, whatever the pool's number of workers.

    Raises:
        EnvError: an environment failed.
    """
    arms = {
        arm: [RolloutGroup(game.as_task(), 1, _files(game, arm, bank, grouping, seed)) for game in games]
        for arm in settings.arms
    }
    recorder = _OfficialRecorder(settings.detours, OfficialExpert())
    long_enough = replace(agent, max_steps=settings.max_steps)
    found = record(recorder, arms, long_enough, pool, seed=seed, at_once=_EPISODES_AT_ONCE)
    return replace(found, agent=agent, names=official_names())


def official_names() -> tuple[str, ...]:
    """Names of everything that official games may have, so that a tiny policy's vocabulary holds also what
    no demonstration shows."""
    known = placements()
    highest = dict.fromkeys(known.objects, _MOST_THINGS)
    for scenes in known.scenes.values():
        for scene in scenes:
            for place, number in scene.items():
                highest[place] = max(highest.get(place, 0), number)
    return tuple(f"{name} {number}" for name, number in sorted(highest.items()))


def slips(state: EpisodeState) -> list[str]:
    """Commands that the engine refuses here and that a careless policy may try: going where one is, taking
    what is not here, opening, using or moving to what is elsewhere."""
    memory, goal = remember(state), parse_goal(state.task.instruction)
    here, admissible = memory.at or "", set(state.observation.admissible or ())
    elsewhere = [name for name in memory.receptacles if name != here]
    tried = [f"go to {here}", f"open {here}"] if here else []
    tried += [f"open {name}" for name in elsewhere[:: max(1, len(elsewhere) // 3)]]
    if memory.holding is None:
        tried += [f"take {goal.object} {number} from {here}" for number in (1, 2, 3) if here]
    else:
        ends = [name for name in memory.receptacles if kind(name) == goal.place]
        tried += [f"move {memory.holding} to {name}" for name in ends[:2]]
        tried += [f"{verb} {memory.holding} with {tool} 1" for verb, tool in TOOLS.values()]
    return [command for command in tried if command not in admissible]


def _files(game: Game, arm: str, bank: SkillBank, grouping: Grouping, seed: int) -> tuple[SkillFile, ...]:
    """The task's skill files under an arm. "some" leaves out at least one file and keeps at least one."""
    if arm == "none":
        return ()
    files = skills_in_context(bank, grouping, bank.names, game.task_type)
    if arm == "all" or len(files) < 2:
        return files
    draw = random.Random(f"some files {seed} {game.id}")
    kept = set(draw.sample(range(len(files)), draw.randint(1, len(files) - 1)))
    return tuple(file for number, file in enumerate(files) if number in kept)


class _OfficialRecorder(Recorder):
    """Plays and writes down, with detours of its own and without facts."""

    def possible_detours(self, state: EpisodeState) -> list[str]:
        """Walks anywhere, taking anything, and slips, which together are as likely as all others."""
        commands = state.observation.admissible or ()
        accepted = [command for command in commands if command.startswith(("go to ", "take "))]
        refused = slips(state)
        return accepted + refused * max(1, len(accepted) // max(1, len(refused)))

    def demonstration(self, trajectory: Trajectory, skills: tuple[SkillFile, ...]) -> Demonstration:
        return replace(super().demonstration(trajectory, skills), facts={})
