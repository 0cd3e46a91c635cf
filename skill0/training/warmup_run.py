"""`skill0 warmup`: only the warm-up of a recipe, into a policy folder that can be shipped, loaded and judged.

The folder appears when all is done: work goes on in `FOLDER.in-progress` beside it, which is taken up again
after a kill and removed at the end. Left out: pretrained models, which learn by imitation alone (see
`skill0 data export-sft`).
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from skill0.agent import AgentSettings
from skill0.envs import EnvPool
from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport
from skill0.policy.shipped import is_shipped
from skill0.training.model_card import CARD_FILE, REPORT_FILE, model_card
from skill0.training.reading_check import reading_check
from skill0.training.recipe import TINY, Recipe, WarmupSection
from skill0.training.run import training_config
from skill0.training.run_folder import check_free, versions, write_json
from skill0.training.taught_worlds import taught_world
from skill0.training.tiny_warmup import WarmedUp, warm_up_tiny, warmup_digest
from skill0.training.world import World, build_world

REPORT_SCHEMA = 1

CHECK_SPLIT = "reading"
"""Households of the reading check: of a split of their own, and so never those of the demonstrations."""


def run_warmup(
    recipe: Recipe, folder: Path, *, made_by: dict[str, str], check: int = 0, resume: bool = True
) -> dict[str, Any]:
    """Warm up a tiny policy and write its folder; returns what stands in its `warmup_report.json`.

    Args:
        recipe: its environment, policy, warmup and prompt settings are used.
        folder: where the policy goes; must be empty or missing.
        made_by: "command" and "recipe" as the model card quotes them.
        check: held-out households to measure reading with; 0 for none.
        resume: whether an unfinished warm-up beside the folder is taken up.

    Raises:
        ConfigError: the recipe has no warm-up, or trains a model that needs none; the folder is taken; a
            reading check is asked for where there are no households.
        CheckpointError: an unfinished warm-up of another recipe or seed is in the way.
    """
    section = _section(recipe)
    if check and taught_world(recipe.environment) is None:
        raise ConfigError("--check reads conventions of generated households; official games have none")
    check_free(folder)
    work = folder.parent / f"{folder.name}.in-progress"
    if not resume and work.exists():
        shutil.rmtree(work)
    console = Console()
    world = build_world(recipe)
    agent = training_config(recipe, work).agent_settings()
    made = warm_up_tiny(recipe, section, world, agent, work, console, resume=resume)
    seconds = {
        "demonstrations": round(made.collecting_seconds, 1),
        "learning": round(made.report.seconds, 1),
        "learning on the CPU": round(made.report.cpu_seconds, 1),
    }
    reading = None
    if check:
        reading = _check(made, recipe, world, agent, check)
        seconds["check"] = round(reading.seconds, 1)
        console.print(reading.table())
    report = {
        "schema": REPORT_SCHEMA,
        **made_by,
        "warmup_sha256": warmup_digest(recipe, section, agent),
        "seed": recipe.seed,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        **made.to_json(),
        "check": None if reading is None else _figures(reading, recipe.seed, check),
        "versions": versions(),
        "settings": {
            "environment": _without_folder(asdict(recipe.environment)),
            "tiny": asdict(recipe.policy.tiny),
            "warmup": asdict(section),
        },
    }
    _write_folder(made, agent, report, work / "policy")
    if folder.exists():
        folder.rmdir()  # empty, or it would have been refused
    (work / "policy").rename(folder)
    shutil.rmtree(work)
    console.print(f"the policy is in {folder}")
    return report


def _without_folder(environment: dict[str, Any]) -> dict[str, Any]:
    """Where a machine keeps its games is nobody else's concern."""
    games = environment["games"]
    return {**environment, "games": None if games is None else Path(games).name}


def _section(recipe: Recipe) -> WarmupSection:
    model = recipe.policy.model
    if model != TINY and not is_shipped(model):
        raise ConfigError(
            f"policy.model is {model!r}, which has learnt already: only a tiny policy is warmed up. For "
            "imitation, write demonstrations with `skill0 data export-sft` and train on them with TRL"
        )
    if recipe.warmup is None:
        raise ConfigError("the recipe has no warmup section, which says what is demonstrated and learnt")
    return recipe.warmup


def _check(
    made: WarmedUp, recipe: Recipe, world: World, agent: AgentSettings, count: int
) -> EvaluationReport:
    from skill0.policy import TransformersPolicy

    taught = taught_world(recipe.environment)
    assert taught is not None, "checked before"
    games = taught.games(count, recipe.seed, split=CHECK_SPLIT)
    with EnvPool(world.env) as pool:
        policy = TransformersPolicy(made.model, made.processor)
        return reading_check(policy, games, agent, pool, world=taught, seed=recipe.seed)


def _figures(reading: EvaluationReport, seed: int, games: int) -> dict[str, Any]:
    success = {arm.name: arm.summary()["success"] for arm in reading.arms}
    return {"games": games, "seed": seed, "split": CHECK_SPLIT, "success": success}


def _write_folder(made: WarmedUp, agent: AgentSettings, report: dict[str, Any], folder: Path) -> None:
    from skill0.policy import save_policy

    save_policy(made.model, made.processor, folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    agent.save(folder)
    write_json(folder / REPORT_FILE, report)
    (folder / CARD_FILE).write_text(model_card(report, agent), encoding="utf-8")
