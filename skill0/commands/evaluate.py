"""`skill0 evaluate`: every task of a split exactly once, without skills and with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from skill0.agent import AgentLoop, AgentSettings, RandomPolicy, Sampling
from skill0.envs import EnvPool, Task
from skill0.errors import ConfigError
from skill0.evaluation import evaluate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.evaluation.running import Arm
from skill0.skills import SkillBank, group_by_relevance, skills_in_context

if TYPE_CHECKING:
    from skill0.agent import Policy

HOUSEHOLDS = 48
"""Generated tasks when no games and no number are given."""


def evaluate_policy(
    policy: str,
    *,
    games: Path | None,
    split: str,
    skills: Path | None,
    tasks: int | None,
    convention_seed: int,
    seed: int,
    temperature: float,
    workers: int,
    batch_size: int,
    json_file: Path | None,
    max_new_tokens: int = 512,
) -> None:
    """Print the table of success and tokens, and write the report as JSON if asked for."""
    from skill0.envs.alfworld import AlfWorldEnvFactory, default_cache_dir

    chosen = _tasks(games, split, tasks, convention_seed, seed)
    settings = _agent_settings(policy)
    arms: dict[str, Arm] = {WITHOUT: lambda task: ()}
    if skills is not None:
        bank = SkillBank.load(skills)
        grouping = group_by_relevance(bank, chosen)
        Console().print(grouping.table())
        arms[WITH] = lambda task: skills_in_context(bank, grouping, bank.names, task.task_type)
    env = AlfWorldEnvFactory(max_steps=settings.max_steps, cache_dir=str(default_cache_dir()))
    with EnvPool(env, workers=workers) as pool:
        report = evaluate(
            AgentLoop(_policy(policy, batch_size), pool, settings),
            chosen,
            arms,
            sampling=Sampling(temperature, max_new_tokens=max_new_tokens),
            seed=seed,
            batch_size=batch_size,
            progress=True,
        )
    Console().print(report.table())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


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
    if Path(policy).is_dir():
        return AgentSettings.load(policy)
    return AgentSettings()


def _policy(name: str, batch_size: int) -> Policy:
    if name == "random":
        return RandomPolicy()
    from skill0.policy import TransformersPolicy, load_policy

    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(f"{name!r} is neither a model folder, a Hub name, nor 'random'")
    model, processor = load_policy(name)
    return TransformersPolicy(model, processor, batch_size=batch_size)
