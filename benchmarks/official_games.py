"""How far a tiny policy comes on official ALFWorld games, each played once.

    python benchmarks/official_games.py $ALFWORLD_DATA shipped/alfworld [--skills skills/alfworld]

Success per task type of every policy folder, beside the expert it imitates and the random policy; with
--skills every policy also with the bank's files for the task in context.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from skill0 import AgentSettings, EnvPool, TransformersPolicy, load_policy
from skill0.agent import AgentLoop, Policy, RandomPolicy, Sampling
from skill0.envs.alfworld import AlfWorldEnvFactory, Game, default_cache_dir, load_games, tasks_from
from skill0.evaluation import EvaluationReport, evaluate
from skill0.evaluation.running import Arm
from skill0.policy import policy_folder
from skill0.skills import SkillBank, group_by_relevance, skills_in_context
from skill0.training.official_expert import OfficialExpert

EXPERT, RANDOM = "expert", "random"

STEPS = 50
"""Commands per episode, as published results have them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("games", type=Path, help="$ALFWORLD_DATA, or a packed store")
    parser.add_argument("policies", type=Path, nargs="*", help="policy folders, or shipped/alfworld")
    parser.add_argument("--split", default="valid_seen")
    parser.add_argument("--limit", type=int, help="only the first games")
    parser.add_argument("--skills", type=Path)
    parser.add_argument("--temperature", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    games = load_games(arguments.games, arguments.split, arguments.limit)
    report = measure(
        games, arguments.policies, arguments.skills, temperature=arguments.temperature, seed=arguments.seed
    )
    Console().print(report.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


def measure(
    games: list[Game], folders: list[Path], bank: Path | None = None, *, temperature: float, seed: int = 0
) -> EvaluationReport:
    """One report with an arm (or two, with a bank) per policy folder, and the expert's and random's."""
    settings = AgentSettings(template="household", history_in="none", skill_form="brief", max_steps=STEPS)
    players: list[tuple[str, Policy, AgentSettings, Arm]] = []
    for folder in folders:
        model, processor = load_policy(folder)
        policy, own = TransformersPolicy(model, processor), AgentSettings.load(policy_folder(folder))
        own = replace(own, max_steps=STEPS)
        players.append((folder.name, policy, own, no_skills))
        if bank is not None:
            players.append((f"{folder.name}, with skills", policy, own, _skills_of(bank, games)))
    players += [
        (EXPERT, OfficialExpert(), settings, no_skills),
        (RANDOM, RandomPolicy(), settings, no_skills),
    ]
    sampling = Sampling(temperature, max_new_tokens=24)
    env = AlfWorldEnvFactory(max_steps=STEPS, cache_dir=str(default_cache_dir()))
    with EnvPool(env) as pool:
        reports = [
            evaluate(
                AgentLoop(policy, pool, own), tasks_from(games), {name: arm}, sampling=sampling, seed=seed
            )
            for name, policy, own, arm in players
        ]
    return replace(
        reports[0],
        arms=tuple(arm for report in reports for arm in report.arms),
        skill_digests={name: found for report in reports for name, found in report.skill_digests.items()},
        episodes=sum(report.episodes for report in reports),
        env_steps=sum(report.env_steps for report in reports),
        seconds=sum(report.seconds for report in reports),
    )


def no_skills(task: object) -> tuple[()]:
    return ()


def _skills_of(folder: Path, games: list[Game]) -> Arm:
    bank = SkillBank.load(folder)
    grouping = group_by_relevance(bank, tasks_from(games))
    return lambda task: skills_in_context(bank, grouping, bank.names, task.task_type)


if __name__ == "__main__":
    main()
