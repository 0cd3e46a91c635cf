"""`skill0 evaluate`: every task of a split exactly once, without and with skills, or as a reading check."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from skill0.agent import AgentLoop, AgentSettings, RandomPolicy, Sampling
from skill0.envs import EnvPool, Task
from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, evaluate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.evaluation.running import Arm
from skill0.policy.shipped import is_shipped, policy_folder
from skill0.skills import SkillBank, group_by_relevance, skills_in_context

if TYPE_CHECKING:
    from skill0.agent import Policy
    from skill0.envs import TextEnv
    from skill0.envs.alfworld import Game, HouseholdSettings
    from skill0.training.taught_worlds import TaughtGame, TaughtWorld

HOUSEHOLDS = 48
"""Generated tasks when no games and no number are given."""

_REPLY_TOKENS, _SHIPPED_REPLY_TOKENS = 512, 32
"""Longest replies. A shipped policy has a token for each word of a command, and needs about a dozen."""


def evaluate_policy(
    policy: str,
    *,
    games: Path | None,
    split: str,
    skills: Path | None,
    tasks: int | None,
    kind: str,
    arms: Sequence[str],
    convention_seed: int | None,
    seed: int,
    temperature: float,
    workers: int,
    batch_size: int,
    json_file: Path | None,
) -> None:
    """Print the table of success and tokens, and write the report as JSON if asked for."""
    from skill0.envs.alfworld import (
        AlfWorldEnvFactory,
        HouseholdSettings,
        default_cache_dir,
        sample_convention,
    )
    from skill0.training.taught_worlds import HouseholdWorld

    if arms and (games is not None or skills is not None):
        raise ConfigError(
            "--arms shows generated households what their own conventions are: leave out --games and --skills"
        )
    households = HouseholdSettings(kind=kind)  # type: ignore[arg-type]  (it checks)
    own = bool(arms) and convention_seed is None
    convention = None if own else sample_convention(convention_seed or 0, households)
    player, settings = load_player(policy, batch_size, AgentSettings())
    sampling = Sampling(temperature, max_new_tokens=reply_tokens(policy))
    env = AlfWorldEnvFactory(max_steps=settings.max_steps, cache_dir=str(default_cache_dir()))
    chosen = _games(games, split, tasks, households, convention, seed)
    play_and_tell(
        player, settings, env, chosen, HouseholdWorld(households), "households", arms=arms, skills=skills,
        sampling=sampling, seed=seed, workers=workers, batch_size=batch_size, json_file=json_file,
    )  # fmt: skip


def play_and_tell(
    player: Policy,
    settings: AgentSettings,
    env: Callable[[], TextEnv],
    games: Sequence[TaughtGame],
    world: TaughtWorld,
    kind: str,
    *,
    arms: Sequence[str],
    skills: Path | None,
    sampling: Sampling,
    seed: int,
    workers: int,
    batch_size: int,
    json_file: Path | None,
) -> None:
    """Play the games as a reading check under `arms`, or without and with `skills`; print the table, and
    write the report if asked for."""
    from skill0.training.reading_check import reading_check

    with EnvPool(env, workers=workers) as pool:
        if arms:
            report = reading_check(
                player, games, settings, pool, arms=arms, world=world,
                sampling=sampling, seed=seed, batch_size=batch_size, progress=True,
            )  # fmt: skip
        else:
            every = [game.as_task() for game in games]
            report = evaluate(
                AgentLoop(player, pool, settings), every, arms_of(skills, every), sampling=sampling,
                seed=seed, batch_size=batch_size, progress=True,
            )  # fmt: skip
    Console().print(_by_arm(report, kind) if arms else report.table())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


def arms_of(skills: Path | None, tasks: Sequence[Task]) -> dict[str, Arm]:
    """The plain arm and, given a bank, the arm with all files that serve a task."""
    arms: dict[str, Arm] = {WITHOUT: lambda task: ()}
    if skills is not None:
        bank = SkillBank.load(skills)
        grouping = group_by_relevance(bank, tasks)
        Console().print(grouping.table())
        arms[WITH] = lambda task: skills_in_context(bank, grouping, bank.names, task.task_type)
    return arms


def _by_arm(report: EvaluationReport, kind: str) -> Table:
    """A row per arm, for reports of many; success per task type is in the JSON."""
    table = Table(title=f"Reading: {report.arms[0].success().total} {kind}", title_justify="left")
    table.add_column("what it is shown")
    for column in ("success in % [95 %]", "turns", "text tokens", "visual tokens", "invalid replies"):
        table.add_column(column, justify="right")
    for arm in report.arms:
        tokens = f"{arm.text_tokens_per_turn:.0f}", f"{arm.visual_tokens_per_turn:.0f}"
        invalid = f"{100 * arm.invalid_share:.1f} %"
        table.add_row(arm.name, str(arm.success()), f"{arm.mean_turns:.1f}", *tokens, invalid)
    return table


def _games(
    games: Path | None,
    split: str,
    count: int | None,
    households: HouseholdSettings,
    convention: Mapping[str, str] | None,
    seed: int,
) -> list[Game]:
    """Games of a store or, without one, households of a split of their own: no demonstration shows them."""
    from skill0.envs.alfworld import generate_games, load_games

    if games is not None:
        return load_games(games, split, limit=count)
    return generate_games(count or HOUSEHOLDS, seed, households, convention, split="evaluation")


def load_player(policy: str, batch_size: int, untold: AgentSettings) -> tuple[Policy, AgentSettings]:
    """A policy by its name, and how it was prompted in training; a model from the Hub does not tell and
    gets the settings given."""
    if policy == "random":
        return RandomPolicy(), AgentSettings(require_think=False, skills_in="none", history_in="none")
    folder = policy_folder(policy)
    settings = AgentSettings.load(folder) if folder.is_dir() else untold
    return _policy(policy, batch_size), settings


def reply_tokens(policy: str) -> int:
    """The longest reply that a policy may need."""
    return _SHIPPED_REPLY_TOKENS if is_shipped(policy) else _REPLY_TOKENS


def _policy(name: str, batch_size: int) -> Policy:
    from transformers.utils import logging

    from skill0.policy import TransformersPolicy, load_policy

    logging.disable_progress_bar()  # of loading weights
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(f"{name!r} is neither a model folder, a Hub name, nor 'random'")
    model, processor = load_policy(name)
    return TransformersPolicy(model, processor, batch_size=batch_size)
