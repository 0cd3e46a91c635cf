"""Where the seconds of a training round go, with a recipe's own settings, and those of an evaluation.

    python benchmarks/training.py shipped/household
    python benchmarks/training.py [POLICY] [--recipe FILE] [--rounds 2] [--json FILE] [--cpu-seconds]
    python benchmarks/training.py shipped/household --figures [--repetitions 5] [--json FILE]

With `--figures`, instead: an iteration over its floor, against TRL's own GRPOTrainer, what environment,
padding and the turn buffer cost, and the gain of sharing pages (benchmarks/efficiency).

Without a policy an untrained tiny one is built, which never ends an episode early: the longest rounds.
One round is played first and not counted: it starts environments. Set OMP_NUM_THREADS=1 for figures that
compare; on a machine that does other work too, `--cpu-seconds` counts the CPU time of this process instead.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from efficiency.report import measure_figures, show_figures
from rich.console import Console
from rich.table import Table

PHASES = ("environment", "rendering", "generation", "credit and scoring", "learning")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy", nargs="?", help="a folder or shipped policy; an untrained one if not given")
    parser.add_argument("--recipe", type=Path, default=Path("curricula/household_cpu.yaml"))
    parser.add_argument("--rounds", type=int, default=2, help="rounds that are counted")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--figures", action="store_true", help="ratios of efficiency; needs a saved policy")
    parser.add_argument("--trajectories", type=int, help="of a window, where the recipe's are too many")
    parser.add_argument("--repetitions", type=int, default=5, help="of each interleaved comparison")
    arguments = parser.parse_args()
    if arguments.cpu_seconds:
        time.perf_counter = time.process_time  # every phase is timed by this function, looked up when called
    if arguments.figures and not arguments.policy:
        parser.error("--figures needs a policy, such as shipped/household")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.figures:
            found = measure_figures(
                arguments.policy, arguments.recipe, Path(folder),
                rounds=arguments.rounds, repetitions=arguments.repetitions,
                trajectories=arguments.trajectories,
            )  # fmt: skip
            show_figures(found, Console())
            write_json(arguments.json, found)
            return
        found = measure(arguments.policy, arguments.recipe, arguments.rounds, Path(folder))
    show(found, Console())
    write_json(arguments.json, found)


def write_json(path: Path | None, found: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(policy: str | None, recipe_file: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds per round and phase, turns and tokens of a round, seconds of an evaluation."""
    from transformers import PrinterCallback

    from skill0.evaluation import evaluate
    from skill0.policy import load_policy
    from skill0.training.callbacks import METRICS_FILE
    from skill0.training.recipe import load_recipe
    from skill0.training.run import training_config
    from skill0.training.trainer import Skill0Trainer
    from skill0.training.world import build_world

    recipe = load_recipe(recipe_file)
    world = build_world(recipe)
    config = training_config(recipe, folder)
    steps, rest = divmod(config.round_windows * config.num_iterations, config.gradient_accumulation_steps)
    if rest:
        raise SystemExit(f"{recipe_file}: an optimizer step takes several rounds; one round is what is timed")
    config.max_steps, config.logging_steps = steps * (rounds + 1), steps
    # Nothing is measured or saved between rounds.
    config.curriculum_interval, config.save_strategy = 10**6, "no"
    model, processor = load_policy(policy) if policy else untrained(recipe, world, config)
    trainer = Skill0Trainer(
        model=model, args=config, env=world.env, tasks=world.train, skills=world.bank,
        grouping=world.grouping, validation_tasks=world.validation, processing_class=processor,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.loop  # noqa: B018 (starts the environments, which `train` then leaves running)
    trainer.train()
    lines = (config.run_folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "time/generation" in row][1 : rounds + 1]
    start = time.perf_counter()
    report = evaluate(
        trainer.loop, world.heldout, {"without skills": lambda task: ()},
        sampling=replace(config.validation_sampling(), temperature=recipe.evaluation.temperature),
        seed=0, batch_size=recipe.evaluation.batch_size,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    trainer.close()
    return {
        "policy": policy or "untrained",
        "recipe": str(recipe_file),
        "threads": torch.get_num_threads(),
        "rounds": [of_round(row, steps) for row in rows],
        "evaluation": {
            "episodes": report.episodes,
            "turns": report.env_steps,
            "seconds": seconds,
        },
    }


def untrained(recipe: Any, world: Any, config: Any) -> tuple[Any, Any]:
    """A tiny policy that has learnt nothing, with the vocabulary of a few demonstrations."""
    from skill0 import EnvPool
    from skill0.policy import build_tiny_policy
    from skill0.training.demonstrations import DemonstrationSettings, collect_demonstrations
    from skill0.training.taught_worlds import HouseholdWorld

    settings, households = DemonstrationSettings(), HouseholdWorld(recipe.environment.households)
    games = households.games(12, recipe.seed, split="warmup")
    with EnvPool(replace(world.env, max_steps=settings.max_steps)) as pool:
        found = collect_demonstrations(
            games, settings, config.agent_settings(), pool, world=households, seed=recipe.seed
        )
    return build_tiny_policy(recipe.policy.tiny, found.lexicon(), recipe.seed)


def of_round(row: dict[str, float], steps: int) -> dict[str, float]:
    """One row of metrics as seconds of a round; `step_time` and `time/learning` are means over its steps."""
    seconds = {name: row[f"time/{name}"] for name in ("environment", "rendering", "generation")}
    learning = row["time/learning"] * steps
    total = row["step_time"] * steps
    seconds["learning"] = learning
    total -= row.get("time/validation", 0.0)
    seconds["credit and scoring"] = total - sum(seconds.values())
    turns = row["rollout/turns"]
    written = turns * row["completions/mean_length"]
    read = turns * (row["context/text_tokens"] + row["context/visual_tokens"])
    return {
        **{phase: seconds[phase] for phase in PHASES},
        "round": total,
        "turns": turns,
        "tokens read": read,
        "tokens written": written,
    }


def show(found: dict[str, Any], console: Console) -> None:
    console.print(f"{found['policy']}, {found['threads']} thread(s): seconds of a round")
    table = Table()
    for column in ("", *(f"round {number + 2}" for number in range(len(found["rounds"])))):
        table.add_column(column, justify="left" if not column else "right")
    for name in (*PHASES, "round", "turns", "tokens read", "tokens written"):
        digits = 2 if name in (*PHASES, "round") else 0
        table.add_row(name, *(f"{one[name]:.{digits}f}" for one in found["rounds"]))
    for name in ("read", "written"):
        speeds = [one[f"tokens {name}"] / one["round"] for one in found["rounds"]]
        table.add_row(f"tokens {name} a second", *(f"{speed:.0f}" for speed in speeds))
    console.print(table)
    evaluation = found["evaluation"]
    console.print(
        f"evaluation: {evaluation['episodes']} episodes, {evaluation['turns']} turns, "
        f"{evaluation['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
