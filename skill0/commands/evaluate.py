"""`skill0 evaluate`: every task of a split exactly once, without and with skills, or as a reading check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

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
    arms: Sequence[str],
    convention_seed: int | None,
    seed: int,
    temperature: float,
    workers: int,
    batch_size: int,
    json_file: Path | None,
) -> None:
    """Print the table of success and tokens, and write the report as JSON if asked for."""
    from skill0.envs.alfworld import AlfWorldEnvFactory, default_cache_dir

    if arms and (games is not None or skills is not None):
        raise ConfigError(
            "--arms shows generated households what their own conventions are: leave out --games and --skills"
        )
    settings = _agent_settings(policy)
    player = _policy(policy, batch_size)
    reply_tokens = _SHIPPED_REPLY_TOKENS if is_shipped(policy) else _REPLY_TOKENS
    sampling = Sampling(temperature, max_new_tokens=reply_tokens)
    env = AlfWorldEnvFactory(max_steps=settings.max_steps, cache_dir=str(default_cache_dir()))
    with EnvPool(env, workers=workers) as pool:
        if arms:
            report = _reading(
                player, settings, pool, arms, tasks, convention_seed, sampling, seed, batch_size
            )
        else:
            chosen = _tasks(games, split, tasks, convention_seed or 0, seed)
            report = evaluate(
                AgentLoop(player, pool, settings), chosen, _arms(skills, chosen), sampling=sampling,
                seed=seed, batch_size=batch_size, progress=True,
            )  # fmt: skip
    Console().print(report.table())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


def _reading(
    policy: Policy,
    settings: AgentSettings,
    pool: EnvPool,
    arms: Sequence[str],
    count: int | None,
    convention_seed: int | None,
    sampling: Sampling,
    seed: int,
    batch_size: int,
) -> EvaluationReport:
    """The reading check, on households that no demonstration was made of."""
    from skill0.envs.alfworld import generate_games, sample_convention
    from skill0.training.reading_check import reading_check

    convention = None if convention_seed is None else sample_convention(convention_seed)
    games = generate_games(count or HOUSEHOLDS, seed, convention=convention, split="evaluation")
    return reading_check(
        policy, games, settings, pool, arms=arms, sampling=sampling, seed=seed, batch_size=batch_size,
        progress=True,
    )  # fmt: skip


def _arms(skills: Path | None, tasks: Sequence[Task]) -> dict[str, Arm]:
    """The plain arm and, given a bank, the arm with all files that serve a task."""
    arms: dict[str, Arm] = {WITHOUT: lambda task: ()}
    if skills is not None:
        bank = SkillBank.load(skills)
        grouping = group_by_relevance(bank, tasks)
        Console().print(grouping.table())
        arms[WITH] = lambda task: skills_in_context(bank, grouping, bank.names, task.task_type)
    return arms


def _tasks(
    games: Path | None, split: str, count: int | None, convention_seed: int, seed: int
) -> Sequence[Task]:
    from skill0.envs.alfworld import generate_games, load_games, sample_convention, tasks_from

    if games is None:
        convention = sample_convention(convention_seed)
        return tasks_from(
            generate_games(count or HOUSEHOLDS, seed, convention=convention, split="evaluation")
        )
    return tasks_from(load_games(games, split, limit=count))


def _agent_settings(policy: str) -> AgentSettings:
    """How the policy was prompted in training; a model from the Hub gets the defaults."""
    if policy == "random":
        return AgentSettings(require_think=False, skills_in="none", history_in="none")
    folder = policy_folder(policy)
    return AgentSettings.load(folder) if folder.is_dir() else AgentSettings()


def _policy(name: str, batch_size: int) -> Policy:
    if name == "random":
        return RandomPolicy()
    from transformers.utils import logging

    from skill0.policy import TransformersPolicy, load_policy

    logging.disable_progress_bar()  # of loading weights
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(f"{name!r} is neither a model folder, a Hub name, nor 'random'")
    model, processor = load_policy(name)
    return TransformersPolicy(model, processor, batch_size=batch_size)
