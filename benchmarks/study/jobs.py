"""One process for each run: which recipe it gets, which runs are there, and playing the rest side by side.

A run's folder is `OUTPUT/ARM/seed-N`. Beside it stand its whole recipe, `seed-N.yaml`, and what it printed,
`seed-N.log`; `skill0 train OUTPUT/ARM/seed-N.yaml` plays the same run by hand. A run that was killed goes on
where it stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from rich.console import Console

from skill0.errors import ConfigError
from skill0.policy.shipped import is_shipped
from skill0.skills import SkillBank
from skill0.training.recipe import Recipe, load_recipe
from skill0.training.run import training_config
from skill0.training.run_folder import DIGEST_FILE, RESULTS_FILE
from skill0.training.world import World, build_world
from study.arms import Arm
from study.episodes import Plan, most_rounds, plan, validation_cost


@dataclass(frozen=True)
class Job:
    """One run: arm, seed, what it will play, and where."""

    arm: str
    seed: int
    recipe: Recipe
    plan: Plan

    @property
    def folder(self) -> Path:
        return Path(self.recipe.output_dir)

    @property
    def finished(self) -> bool:
        """Whether its results are there.

        Raises:
            ConfigError: they are those of another recipe.
        """
        if not (self.folder / RESULTS_FILE).is_file():
            return False
        if (self.folder / DIGEST_FILE).read_text(encoding="utf-8").strip() != self.recipe.digest:
            raise ConfigError(
                f"{self.folder} holds a finished run of another recipe (see recipe.yaml there): remove the "
                "folder to play it again, or choose another --output"
            )
        return True


@dataclass(frozen=True)
class Study:
    """What all runs of a study share.

    `base` replaces the base of every arm, whose budgets then mean shares of the other bank. `policy` is the
    model that every arm starts from (its warm-up is then left out). `episodes` is the budget of every arm;
    None is what the default arm's recipe asks for.
    """

    output: Path
    seeds: Sequence[int]
    base: Path | None = None
    policy: str | None = None
    episodes: int | None = None


def planned_jobs(
    study: Study, arms: Sequence[Arm], default: Arm, shrink: Callable[[Recipe], Recipe] | None = None
) -> list[Job]:
    """The runs of a study, one seed of all arms after the other, so that a study cut short has whole seeds.
    `shrink` is applied to every recipe.

    Raises:
        ConfigError: a recipe is wrong, or the budget has no room for an arm.
    """

    def recipe_of(arm: Arm, seed: int) -> Recipe:
        recipe = _recipe(study, arm, seed)
        return recipe if shrink is None else shrink(recipe)

    usual = recipe_of(default, 0)
    world = build_world(usual)
    budget = study.episodes or _plan(usual, world, None).episodes
    jobs = []
    for seed in study.seeds:
        for arm in arms:
            recipe = recipe_of(arm, seed)
            found = _plan(recipe, world, budget)
            training = {**recipe.training, "max_steps": found.steps}
            jobs.append(Job(arm.name, seed, replace(recipe, training=training), found))
    return jobs


def play(jobs: Sequence[Job], side_by_side: int, console: Console) -> list[Job]:
    """Play those that are not finished, so many at a time; returns those that failed."""
    waiting = [job for job in jobs if not job.finished]
    console.print(
        f"{len(jobs) - len(waiting)} runs are there, {len(waiting)} to play, {side_by_side} at a time"
    )
    failed = []
    threads = max(1, (os.cpu_count() or 1) // side_by_side)
    started = time.perf_counter()
    with ThreadPoolExecutor(side_by_side) as pool:
        playing = {pool.submit(_play, job, threads): job for job in waiting}
        try:
            for done, future in enumerate(as_completed(playing), start=1):
                job, (code, seconds) = playing[future], future.result()
                left = (time.perf_counter() - started) / done * (len(waiting) - done) / 60
                state = "done" if code == 0 else f"FAILED with exit code {code}, see {_log(job)}"
                console.print(
                    f"{done}/{len(waiting)} {job.arm} seed {job.seed}: {state}, "
                    f"{seconds / 60:.1f} min; about {left:.0f} min left"
                )
                if code != 0:
                    failed.append(job)
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)  # the processes got the signal too
            raise
    return failed


def _play(job: Job, threads: int) -> tuple[int, float]:
    """One run to its end: exit code and seconds. `OMP_NUM_THREADS` goes before `threads`, where it is set."""
    written = job.folder.parent / f"{job.folder.name}.yaml"
    written.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(json.dumps(job.recipe.as_dict()))  # tuples as lists
    written.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    threading = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment = {**threading, **os.environ, "TOKENIZERS_PARALLELISM": "false"}
    started = time.perf_counter()
    with _log(job).open("a", encoding="utf-8") as log:
        found = subprocess.run(
            [sys.executable, "-m", "skill0", "train", str(written)],
            stdout=log, stderr=subprocess.STDOUT, env=environment, check=False,
        )  # fmt: skip
    return found.returncode, time.perf_counter() - started


def _log(job: Job) -> Path:
    return job.folder.parent / f"{job.folder.name}.log"


def _recipe(study: Study, arm: Arm, seed: int) -> Recipe:
    folder = study.output / arm.name / f"seed-{seed}"
    recipe = load_recipe(arm.path, base=study.base, output_dir=str(folder), seed=seed)
    if study.base is not None and recipe.training.get("budgets"):
        own = len(SkillBank.load(load_recipe(arm.path).skills.bank).names)
        files = len(SkillBank.load(recipe.skills.bank).names)
        budgets = scaled_budgets(recipe.training["budgets"], own, files)
        recipe = replace(recipe, training={**recipe.training, "budgets": budgets})
    if study.policy is not None:
        model = study.policy if is_shipped(study.policy) else str(Path(study.policy).resolve())
        recipe = replace(recipe, policy=replace(recipe.policy, model=model), warmup=None)
    return recipe


def scaled_budgets(budgets: Sequence[int], files: int, other_files: int) -> list[int]:
    """The same shares of another bank, rounded up as in equation 6: all stays all, half stays half."""
    return [-(-budget * other_files // files) for budget in budgets]


def _plan(recipe: Recipe, world: World, budget: int | None) -> Plan:
    """What a recipe plays in a budget of episodes; with None, in its own number of steps."""
    from skill0.training.preparation import make_curriculum

    config = training_config(recipe, Path(recipe.output_dir))
    steps_per_round = max(1, config.round_windows // config.gradient_accumulation_steps)
    if steps_per_round % int(config.logging_steps):
        raise ConfigError(
            f"training.logging_steps={config.logging_steps} must divide the {steps_per_round} optimizer "
            "steps of a round: episodes are counted from the log, and a row over several rounds is their mean"
        )

    # With dynamic sampling a round may play less than this; it is planned by its bound.
    most = config.round_size * (1 + config.dynamic_sampling)

    def make(total_steps: int):
        return make_curriculum(config, world.bank, total_steps)

    cost = validation_cost(
        world.validation, world.bank, world.grouping,
        form=config.helpfulness_form, scope=config.skill_scope,
    )  # fmt: skip
    if config.helpfulness_from == "paired":

        def cost(active: Sequence[str]) -> int:
            return 0  # measured on rollouts that are played anyway

    if budget is None:
        rounds = config.max_steps // steps_per_round
        if rounds < 1:
            raise ConfigError(
                f"training.max_steps={config.max_steps} of the default arm sets the budget of all arms, but "
                f"is less than the {steps_per_round} steps of a round; set it, or give --episodes"
            )
        return plan(make, cost, rounds=rounds, round_size=most, steps_per_round=steps_per_round)
    return most_rounds(make, cost, budget=budget, round_size=most, steps_per_round=steps_per_round)
