"""All figures of efficiency in one run, with the value to reach beside each."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from efficiency.memory import buffer_bytes
from efficiency.rounds import measure_rounds
from efficiency.seconds import median_ratio
from efficiency.sharing import EVERYTHING, NOTHING, PAGES, measure_sharing
from efficiency.versus_trl import OURS, TRL, UNSHARED, measure_versus_trl

PROMPT_SETTINGS = ("template", "skill_form", "history_in", "skills_in", "page_cell", "page_width",
                   "page_leading")  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One line of the table. `reach` is the largest value that will do, None where a figure only informs."""

    name: str
    value: float
    reach: float | None = None
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.reach is None else self.value <= self.reach

    @property
    def text(self) -> str:
        if self.unit == "%":
            return f"{100 * self.value:.1f} %"
        return f"{self.value:.3g} {self.unit}".strip()


def measure_figures(
    policy: str, recipe_file: Path, folder: Path, *, rounds: int = 3, repetitions: int = 5,
    trajectories: int | None = None, groups: int = 6,
) -> dict[str, Any]:  # fmt: skip
    """Every figure, for a recipe and a policy. `trajectories` makes its rounds smaller, for a quick look."""
    from skill0.policy import load_policy
    from skill0.training.recipe import load_recipe
    from skill0.training.world import build_world

    recipe = load_recipe(recipe_file)
    world = build_world(recipe)
    trainer = household_trainer(recipe, world, policy, folder / "rounds", rounds, trajectories)
    try:
        played = measure_rounds(trainer, rounds)
        generated, passes = played.pop("last")
        sharing = measure_sharing(trainer, generated, passes, repetitions)
    finally:
        trainer.close()
    agent = {name: recipe.training[name] for name in PROMPT_SETTINGS if name in recipe.training}
    versus = measure_versus_trl(
        world, agent, lambda: load_policy(policy), folder, groups=groups, repetitions=repetitions
    )
    settings, encoder = trainer.args.agent_settings(), trainer.encoder
    buffers = [
        buffer_bytes(world, settings, encoder, episodes=episodes, tokens=24) for episodes in (12, 24, 48)
    ]
    return {
        "machine": machine(),
        "policy": policy,
        "recipe": str(recipe_file),
        "figures": [vars(figure) for figure in figures(played, sharing, versus, buffers)],
    }


def household_trainer(
    recipe: Any, world: Any, policy: str, folder: Path, rounds: int, trajectories: int | None
) -> Any:
    """A trainer with a recipe's settings that neither validates nor saves."""
    from transformers import PrinterCallback

    from skill0.policy import load_policy
    from skill0.training.run import training_config
    from skill0.training.trainer import Skill0Trainer

    if trajectories is not None:
        recipe.training["per_device_train_batch_size"] = trajectories
    config = training_config(recipe, folder)
    steps = config.round_windows * config.num_iterations // config.gradient_accumulation_steps
    config.max_steps, config.logging_steps = steps * (rounds + 1), steps
    config.curriculum_interval, config.save_strategy = 10**6, "no"
    model, processor = load_policy(policy)
    trainer = Skill0Trainer(
        model=model, args=config, env=world.env, tasks=world.train, skills=world.bank,
        grouping=world.grouping, validation_tasks=world.validation, processing_class=processor,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.loop  # noqa: B018 (starts the environments, which `train` then leaves running)
    return trainer


def figures(played: Any, sharing: Any, versus: Any, buffers: list[tuple[int, int]]) -> list[Figure]:
    over_floor = median_ratio(played["rounds"], played["floors"])
    found = [
        Figure("iteration over its floor, CPU seconds", over_floor["cpu"], 1.15),
        Figure("iteration over its floor, wall seconds", over_floor["wall"]),
        Figure("environment and rendering, of an iteration", median(played["world_share"]), 0.10, "%"),
        Figure("padding tokens, of those computed in learning", played["padding_share"], 0.10, "%"),
    ]
    seconds = versus["seconds"]
    scale = versus["gradient_largest"]
    for name, reach in ((OURS, 1.05), (UNSHARED, None)):
        ratio = median_ratio(seconds[name], seconds[TRL])
        found.append(Figure(f"{name} over GRPOTrainer, CPU seconds", ratio["cpu"], reach))
        difference = versus["gradient_difference"][name]
        found.append(Figure(f"{name}: gradient less GRPOTrainer's, largest entry", difference, 1e-6))
    found.append(Figure("largest entry of GRPOTrainer's gradient", scale))
    for what, ways in sharing.items():
        for name in (PAGES, EVERYTHING):
            ratio = median_ratio(ways[NOTHING], ways[name])
            found.append(Figure(f"{what}: gain with {name}, CPU seconds", ratio["cpu"], None, "x"))
    per_turn = [size / turns for turns, size in buffers]
    found += [
        Figure("turn buffer, peak per turn", max(per_turn) / 1000, 100.0, "kB"),
        Figure("turn buffer, per turn at 4 times the turns", per_turn[-1] / per_turn[0], 1.1, "x"),
    ]
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {"processor": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def show_figures(found: dict[str, Any], console: Console) -> None:
    where = found["machine"]
    console.print(f"{where['processor']}, {where['threads']} thread(s), torch {where['torch']}")
    table = Table(title=f"{found['policy']}, {found['recipe']}", title_justify="left")
    for column in ("figure", "measured", "reach", ""):
        table.add_column(column)
    for values in found["figures"]:
        figure = Figure(**values)
        reach = "" if figure.reach is None else Figure("", figure.reach, None, figure.unit).text
        verdict = {True: "reached", False: "not reached", None: ""}[figure.reached]
        table.add_row(figure.name, figure.text, reach, verdict)
    console.print(table)
