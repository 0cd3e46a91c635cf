"""`skill0 evaluate --env almanac`: a tiny policy's questions to the almanac, or what it reads of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from skill0.agent import AgentLoop, AgentSettings, Sampling
from skill0.commands.evaluate import arms_of, by_arm, load_player, reply_tokens
from skill0.envs import EnvPool
from skill0.envs.search.almanac.book import true_arrangement
from skill0.envs.search.almanac.env import AlmanacEnvFactory
from skill0.envs.search.almanac.questions import split_games
from skill0.errors import ConfigError
from skill0.evaluation import evaluate
from skill0.training.reading_check import reading_check
from skill0.training.taught_worlds import AlmanacWorld

QUESTIONS = 120
"""Questions when no number is given."""


def evaluate_almanac(
    policy: str,
    *,
    skills: Path | None,
    tasks: int | None,
    arms: Sequence[str],
    seed: int,
    temperature: float,
    workers: int,
    batch_size: int,
    json_file: Path | None,
) -> None:
    """Print the table of success and tokens, and write the report as JSON if asked for. Under `arms` every
    book is arranged anew, else it is the true one."""
    if arms and skills is not None:
        raise ConfigError("--arms shows books what their own arrangements are: leave out --skills")
    world, count = AlmanacWorld(), tasks or QUESTIONS
    player, settings = load_player(policy, batch_size, AgentSettings())
    sampling = Sampling(temperature, max_new_tokens=reply_tokens(policy))
    with EnvPool(AlmanacEnvFactory(settings.max_steps), workers=workers) as pool:
        if arms:
            games = world.games(count, seed, split="evaluation")
            report = reading_check(
                player, games, settings, pool, arms=arms, world=world,
                sampling=sampling, seed=seed, batch_size=batch_size, progress=True,
            )  # fmt: skip
        else:
            every = [
                game.as_task() for game in split_games((count,), seed, world.settings, true_arrangement())[0]
            ]
            report = evaluate(
                AgentLoop(player, pool, settings), every, arms_of(skills, every), sampling=sampling,
                seed=seed, batch_size=batch_size, progress=True,
            )  # fmt: skip
    Console().print(by_arm(report, "questions") if arms else report.table())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
