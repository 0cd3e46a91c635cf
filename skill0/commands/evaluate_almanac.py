"""`skill0 evaluate --env almanac`: a tiny policy's questions to the almanac, or what it reads of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skill0.agent import AgentSettings, Sampling
from skill0.commands.evaluate import load_player, play_and_tell, reply_tokens
from skill0.envs.search.almanac.book import true_arrangement
from skill0.envs.search.almanac.env import AlmanacEnvFactory
from skill0.envs.search.almanac.questions import split_games
from skill0.errors import ConfigError
from skill0.training.taught_worlds import AlmanacWorld

QUESTIONS = 120
"""Questions when no number is given."""

PROMPTS = AgentSettings(template="question", history_in="none", max_steps=4)
"""How policies are prompted that do not say how they were trained."""


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
    if policy == "random":
        raise ConfigError(
            "'random' picks one of the possible commands, and a question has none; beside a policy, --arms "
            "shows an expert who guesses"
        )
    world, count = AlmanacWorld(), tasks or QUESTIONS
    player, settings = load_player(policy, batch_size, PROMPTS)
    sampling = Sampling(temperature, max_new_tokens=reply_tokens(policy))
    if arms:
        games = world.games(count, seed, split="evaluation")
    else:
        games = split_games((count,), seed, world.settings, true_arrangement())[0]
    play_and_tell(
        player, settings, AlmanacEnvFactory(settings.max_steps), games, world, "questions", arms=arms,
        skills=skills, sampling=sampling, seed=seed, workers=workers, batch_size=batch_size,
        json_file=json_file,
    )  # fmt: skip
