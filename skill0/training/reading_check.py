"""Does the policy read? Success on generated households with the right page, a blank one and a wrong one.

Each game has a convention of its own, which no weights can know. With the right page a reader wins; with a
blank one nobody can do better than a blind search; a wrong page (every fact replaced) leads a reader astray,
so that its success falls below the blind one. A policy that does not look at the page scores the same on all
three.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from skill0.agent import AgentLoop, AgentSettings, Policy, RandomPolicy, Sampling
from skill0.evaluation import EvaluationReport, evaluate
from skill0.training.demonstrations import household_skills
from skill0.training.searching_expert import SearchingExpert

if TYPE_CHECKING:
    from skill0.agent.loop import Pool
    from skill0.envs.alfworld.games import Game
    from skill0.envs.alfworld.rooms import HouseholdSettings
    from skill0.envs.base import Task
    from skill0.skills.skill import SkillFile

RIGHT, BLANK, WRONG, RANDOM, BLIND_EXPERT = "right page", "blank page", "wrong page", "random", "blind expert"


def reading_check(
    policy: Policy,
    games: Sequence[Game],
    agent: AgentSettings,
    pool: Pool,
    *,
    households: HouseholdSettings | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    batch_size: int = 48,
) -> EvaluationReport:
    """Success per arm: "right page", "blank page", "wrong page", and beside them, on the same games, the
    random policy ("random") and the expert who searches without knowing ("blind expert").

    Replies are greedy unless `sampling` says otherwise. The games must be generated households, best with a
    convention for each (`generate_games(..., None)`).

    Raises:
        ConfigError: a game has no convention.
    """
    sampling = sampling or Sampling(temperature=0.0, max_new_tokens=32)
    by_task = {game.id: game for game in games}
    tasks = [game.as_task() for game in games]

    def right(task: Task) -> tuple[SkillFile, ...]:
        return household_skills(by_task[task.id], households)

    def wrong(task: Task) -> tuple[SkillFile, ...]:
        game = by_task[task.id]
        return household_skills(replace(game, convention=wrong_convention(game, households)), households)

    def blank(task: Task) -> tuple[SkillFile, ...]:
        return ()

    loop = AgentLoop(policy, pool, agent)
    report = evaluate(
        loop,
        tasks,
        {RIGHT: right, BLANK: blank, WRONG: wrong},
        sampling=sampling,
        seed=seed,
        batch_size=batch_size,
    )
    for name, scripted in ((RANDOM, RandomPolicy()), (BLIND_EXPERT, SearchingExpert())):
        loop = AgentLoop(scripted, pool, agent)
        beside = evaluate(loop, tasks, {name: blank}, sampling=sampling, seed=seed, batch_size=batch_size)
        report = replace(report, arms=(*report.arms, *beside.arms))
    return report


def wrong_convention(game: Game, households: HouseholdSettings | None = None) -> Mapping[str, str]:
    """The game's convention with every object type kept elsewhere, where it could be, by the game's id.

    An object type that can be kept in one place only stays there.
    """
    from skill0.envs.alfworld.rooms import HouseholdSettings, rooms

    settings = households or HouseholdSettings()
    draw = random.Random(f"wrong convention {game.id}")
    wrong = {}
    for kind, place in sorted(game.convention.items()):
        others = {other for room in rooms(settings.size) for other in room.places_for(kind)} - {place}
        wrong[kind] = draw.choice(sorted(others)) if others else place
    return wrong
