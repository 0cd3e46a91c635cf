"""Does a policy read its page? Held-out households, each with a convention that nobody has seen.

    python benchmarks/reading.py [runs/household_cpu/warmup/policy] [--agent FOLDER] [--json FILE]

Success with the right page, a blank one and a wrong one (another household's), beside a random policy and the
blind expert, the fair line for "no knowledge".
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from skill0 import AgentSettings, EnvPool, TransformersPolicy, load_policy
from skill0.envs.alfworld import AlfWorldEnvFactory, HouseholdSettings, default_cache_dir, generate_games
from skill0.training.reading_check import reading_check


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy", type=Path, nargs="?", default=Path("runs/household_cpu/warmup/policy"))
    parser.add_argument(
        "--agent", type=Path, default=Path("runs/household_cpu/policy"), help="holds agent.json"
    )
    parser.add_argument("--games", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.policy.is_dir():
        print(f"{arguments.policy} is not there: run `make train` first, or name a policy's folder")
        return
    settings = AgentSettings.load(arguments.agent)
    households = HouseholdSettings()
    games = generate_games(arguments.games, arguments.seed, households, None, split="reading")
    model, processor = load_policy(arguments.policy)
    factory = AlfWorldEnvFactory(max_steps=settings.max_steps, cache_dir=str(default_cache_dir()))
    with EnvPool(factory) as pool:
        policy = TransformersPolicy(model, processor)
        report = reading_check(policy, games, settings, pool, households=households)
    Console().print(report.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
