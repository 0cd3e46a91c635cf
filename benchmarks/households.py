"""What generated households are like: size, plans, speed, and how much knowing the convention is worth.

    python benchmarks/households.py                      # the small households of the main job
    python benchmarks/households.py --size medium --games 30 --json
    python benchmarks/households.py --kind procedure --games 120

Two scripted experts play every game on the real engine. The informed one knows where each object type is
usually kept (but not in which of two like receptacles), or what each word of the household asks for; the
blind one looks into places it has not been to, in random order, and guesses what words mean. "+k" is the
share of games won with at most k steps more than the plan. For the kind "procedure" the chance that one guess
wins is printed too, by enumeration. Times are CPU milliseconds of this process, medians: the first load of a
game, a reset of the same game, a step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from skill0.agent.policy import EpisodeState, PastTurn
from skill0.envs import Observation, Task
from skill0.envs.alfworld import AlfWorldEnv, Game, HouseholdSettings, generate_games, sample_convention
from skill0.envs.alfworld.procedures import chance
from skill0.training.procedure_expert import expert_for
from skill0.training.searching_expert import SearchingExpert

SLACKS = (0, 1, 2, 4, 6, 8, 12)
EXPERTS = ("informed", "blind")


@dataclass
class Episode:
    """One expert's episode: its steps (more than the limit if lost) and the commands it could choose from."""

    steps: int
    choices: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def play(env: AlfWorldEnv, task: Task, expert: SearchingExpert, seed: int) -> Episode:
    """Play until the game is won or the limit is reached."""
    observation: Observation = env.reset(task)
    history: list[PastTurn] = []
    episode = Episode(0)
    while True:
        state = EpisodeState(task, observation, len(history), tuple(history))
        action = expert.choose(state, seed).action
        episode.choices.append(len(observation.admissible or ()))
        started = time.process_time()
        result = env.step(action)
        episode.seconds.append(time.process_time() - started)
        history.append(PastTurn(observation.text, action))
        observation = result.observation
        if result.terminated or result.truncated:
            episode.steps = len(history) + (0 if result.info["won"] else 1)
            return episode


def measure(games: list[Game], settings: HouseholdSettings, rounds: int, limit: int) -> dict[str, Any]:
    """Everything the table shows, JSON-able."""
    procedure = settings.kind == "procedure"
    env = AlfWorldEnv(max_steps=limit)
    cold, warm, over = [], [], {expert: defaultdict(list) for expert in EXPERTS}
    choices: list[int] = []
    seconds: list[float] = []
    for game in track(games, "playing", console=Console(stderr=True)):
        task = game.as_task()
        for times in (cold, warm):
            started = time.process_time()
            env.reset(task)
            times.append(time.process_time() - started)
        for name, expert in zip(
            EXPERTS, (expert_for(settings, game.convention), expert_for(settings)), strict=True
        ):
            for seed in range(rounds):
                episode = play(env, task, expert, seed)
                over[name][game.task_type].append(episode.steps - len(game.walkthrough))
                choices += episode.choices
                seconds += episode.seconds
    env.close()
    return {
        "games": len(games),
        "receptacles": spread([game.problem.count(" - receptacle\n") for game in games]),
        "objects": spread([game.problem.count(" - object\n") for game in games]),
        "plan": spread([len(game.walkthrough) for game in games]),
        "admissible": spread(choices),
        "milliseconds": {
            name: round(1000 * statistics.median(times), 2)
            for name, times in (("first load", cold), ("reset", warm), ("step", seconds))
        },
        "won within plan + k": {
            expert: {
                task_type: shares([extra for kind in kinds for extra in extras[kind]])
                for task_type, kinds in groups(settings).items()
                if any(extras[kind] for kind in kinds)
            }
            for expert, extras in over.items()
        },
        "one guess": {name: round(chance(name), 3) for name in settings.task_types} if procedure else {},
    }


def groups(settings: HouseholdSettings) -> dict[str, tuple[str, ...]]:
    """Rows of the table: every task type, the forms that families of words share, and all."""
    types = settings.task_types
    forms: dict[str, tuple[str, ...]] = {}
    if settings.kind == "procedure":
        for name in types:
            form = name.partition("_")[2]
            forms[form] = (*forms.get(form, ()), name)
    return {**{name: (name,) for name in types}, **forms, "all": types}


def spread(numbers: list[int]) -> dict[str, float]:
    return {"least": min(numbers), "median": statistics.median(numbers), "most": max(numbers)}


def shares(extras: list[int]) -> dict[str, float]:
    return {f"+{k}": round(sum(extra <= k for extra in extras) / len(extras), 3) for k in SLACKS}


def show(report: dict[str, Any], console: Console) -> None:
    table = Table("", "least", "median", "most", title=f"{report['games']} households")
    for name in ("receptacles", "objects", "plan", "admissible"):
        table.add_row(name, *(f"{value:g}" for value in report[name].values()))
    console.print(table)
    console.print("CPU ms:", ", ".join(f"{name} {ms:g}" for name, ms in report["milliseconds"].items()))
    won = Table("expert", "won within plan + k", *(f"+{k}" for k in SLACKS))
    for expert, rows in report["won within plan + k"].items():
        for task_type, row in rows.items():
            won.add_row(expert, task_type, *(f"{share:.2f}" for share in row.values()))
    console.print(won)
    for task_type, share in report["one guess"].items():
        console.print(f"{task_type}: one guess wins with probability {share:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", choices=("facts", "procedure"), default="facts")
    parser.add_argument("--size", choices=("small", "medium", "large"), default="small")
    parser.add_argument("--games", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=4, help="episodes of each expert per game")
    parser.add_argument("--adherence", type=float, default=1.0)
    parser.add_argument("--max-instances", type=int, default=None)
    parser.add_argument(
        "--convention-seed", type=int, default=None, help="default: a new convention per game"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    settings = HouseholdSettings(
        kind=given.kind, size=given.size, adherence=given.adherence, max_instances=given.max_instances
    )
    convention = None if given.convention_seed is None else sample_convention(given.convention_seed, settings)
    started = time.process_time()
    games = generate_games(given.games, given.seed, settings, convention)
    generation = (time.process_time() - started) / len(games)
    report = measure(games, settings, given.rounds, limit=60)
    report["milliseconds"]["generation"] = round(1000 * generation, 2)
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        show(report, Console(width=120))


if __name__ == "__main__":
    main()
