"""A whole run, top to bottom: world, policy and its warm-up, evaluation, training, evaluation, results.

Every phase leaves its result in the run folder and is skipped when that is there, so a run that was killed
goes on where it stopped. With several processes, the first does what needs only one (warm-up, reports) while
the others wait; training and evaluation are shared by all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skill0.agent import AgentLoop, RandomPolicy, Sampling
from skill0.context import TURNS_FILE
from skill0.evaluation import EvaluationReport, evaluate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.policy.adapters import adapter_config
from skill0.training import processes, report
from skill0.training.callbacks import METRICS_FILE
from skill0.training.checkpoints import newest_checkpoint
from skill0.training.probe import Probe
from skill0.training.recipe import Recipe
from skill0.training.recorded import RecordedArm, recorded_arms
from skill0.training.run_folder import RESULTS_FILE, claim, read_json, run_folder, versions, write_json
from skill0.training.summary import RANDOM, recorded_table, summary_table, tokens_saved
from skill0.training.terminal import Terminal
from skill0.training.world import World, build_world

if TYPE_CHECKING:
    from skill0.agent import Trajectory
    from skill0.training.config import Skill0Config
    from skill0.training.trainer import Skill0Trainer

RESULTS_SCHEMA = 1


def run_recipe(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe to its end, resuming what is already done; returns the content of `results.json`.

    Raises:
        Skill0Error: the recipe, its games, its skills or its run folder are not usable; see `skill0.errors`.
    """
    from accelerate import PartialState
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading and saving weights
    folder = run_folder(recipe)
    config = training_config(recipe, folder)
    processes.check_launch(config)
    adapter = adapter_config(recipe.policy.lora) if recipe.policy.lora else None
    recorded = recorded_arms(recipe.evaluation.recorded) if recipe.evaluation.recorded else []
    state = PartialState()
    console = Console(quiet=not state.is_main_process)
    if state.is_main_process:
        claim(folder, recipe)
    state.wait_for_everyone()
    console.rule(f"skill0: {folder}", align="left")
    world = build_world(recipe)
    console.print(world.grouping.table())
    sizes = (len(world.train), len(world.validation), len(world.heldout))
    console.print("tasks: {} training, {} validation, {} held-out".format(*sizes))
    clock = _Clock(folder / "seconds.json", state.is_main_process)
    with clock("warm-up"):
        from skill0.training.policy_source import prepare_policy

        model = prepare_policy(recipe, world, config, folder, console, state)
    trainer = _trainer(recipe, config, world, model, adapter, console)
    try:
        with clock("evaluation before"):
            before = _evaluation(
                trainer, world, recipe, folder / "evaluation_before.json", console, baseline=True
            )
        with clock("training"):
            checkpoint = newest_checkpoint(config.run_folder)
            if checkpoint is not None:
                console.print(f"resuming from {checkpoint}")
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with clock("evaluation after"):
            after = _evaluation(trainer, world, recipe, folder / "evaluation_after.json", console)
        trainer.save_model(str(folder / "policy"))
        greedy = replace(trainer.args.validation_sampling(), temperature=0.0)
        played = report.play_once(
            trainer.loop, world.heldout[0], _arms(trainer), greedy, recipe.seed, trainer.live_across_ranks
        )
        if not state.is_main_process:
            state.wait_for_everyone()
            return read_json(folder / RESULTS_FILE)
        trainer.encoder.processor.save_pretrained(folder / "policy")
        trainer.agent_settings.save(folder / "policy")
        results = _results(recipe, trainer, before, after, clock.seconds)
        _draw(folder, trainer, before, after, played)
        write_json(folder / RESULTS_FILE, results)
        state.wait_for_everyone()
    finally:
        trainer.close()
    _tell_results(console, results, recorded, folder)
    return results


def _tell_results(
    console: Console, results: Mapping[str, Any], recorded: Sequence[RecordedArm], folder: Path
) -> None:
    """The last lines of a run: its own results, and what the study recorded of its recipe."""
    console.print(summary_table(results))
    console.print(tokens_saved(results))
    if recorded:
        console.print(recorded_table(recorded))
    console.print(f"everything is in {folder}")


def training_config(recipe: Recipe, folder: Path) -> Skill0Config:
    from skill0.training.config import Skill0Config

    settings = {"report_to": [], "disable_tqdm": True, **recipe.training}
    return Skill0Config(output_dir=str(folder / "checkpoints"), seed=recipe.seed, **settings)


def _trainer(
    recipe: Recipe, config: Skill0Config, world: World, model: str, adapter: Any, console: Console
) -> Skill0Trainer:
    from transformers import PrinterCallback

    from skill0.training.trainer import Skill0Trainer

    trainer = Skill0Trainer(
        model=model,
        args=config,
        env=world.env,
        tasks=world.train,
        skills=world.bank,
        grouping=world.grouping,
        validation_tasks=world.validation,
        eval_tasks=world.validation,
        peft_config=adapter,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Terminal(trainer, console))
    if recipe.evaluation.probe_every:
        trainer.add_callback(Probe(trainer, _arms(trainer), world.validation, recipe.evaluation))
    return trainer


def _arms(trainer: Skill0Trainer) -> dict[str, Callable[[Any], Any]]:
    """Success is told for the plain arm and for the whole bank, whatever the curriculum has withdrawn."""
    return {WITHOUT: lambda task: (), WITH: trainer.all_skills_for}


def _evaluation(
    trainer: Skill0Trainer,
    world: World,
    recipe: Recipe,
    path: Path,
    console: Console,
    *,
    baseline: bool = False,
) -> EvaluationReport:
    """The held-out tasks, once per arm; read from `path` when that was done before."""
    if path.is_file():
        return EvaluationReport.from_json(read_json(path))
    settings = recipe.evaluation
    sampling = replace(trainer.args.validation_sampling(), temperature=settings.temperature)
    found = evaluate(
        trainer.loop, world.heldout, _arms(trainer), sampling=sampling, seed=recipe.seed,
        batch_size=settings.batch_size, progress=True, ranks=trainer.ranks,
    )  # fmt: skip
    if baseline:
        found = _with_random(found, world, trainer, recipe)
    if trainer.accelerator.is_main_process:
        write_json(path, found.to_json())
    console.print(found.table())
    return found


def _with_random(
    found: EvaluationReport, world: World, trainer: Skill0Trainer, recipe: Recipe
) -> EvaluationReport:
    """The report with the arm of a policy that picks admissible commands at random."""
    settings = replace(trainer.agent_settings, require_think=False)
    loop = AgentLoop(RandomPolicy(), trainer.loop.pool, settings, trainer.renderer)
    chance = evaluate(
        loop, world.heldout, {RANDOM: lambda task: ()}, sampling=Sampling(), seed=recipe.seed,
        batch_size=recipe.evaluation.batch_size, ranks=trainer.ranks,
    )  # fmt: skip
    return replace(found, arms=(*found.arms, *chance.arms))


def _results(
    recipe: Recipe,
    trainer: Skill0Trainer,
    before: EvaluationReport,
    after: EvaluationReport,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    arms: dict[str, dict[str, dict[str, Any]]] = {}
    for when, found in (("before", before), ("after", after)):
        for arm in found.arms:
            arms.setdefault(arm.name, {})[when] = arm.summary()
    curriculum = trainer.curriculum
    return {
        "schema": RESULTS_SCHEMA,
        "recipe_sha256": recipe.digest,
        "seed": recipe.seed,
        "steps": trainer.state.global_step,
        "success": {arm: {when: s["success"] for when, s in found.items()} for arm, found in arms.items()},
        "success_by_task_type": {
            arm: {when: s["success_by_task_type"] for when, s in found.items()} for arm, found in arms.items()
        },
        "tokens_per_turn": {
            arm: {
                when: {"text": s["text_tokens_per_turn"], "visual": s["visual_tokens_per_turn"]}
                for when, s in found.items()
            }
            for arm, found in arms.items()
        },
        "curriculum": [change.to_json() for change in curriculum.timeline] if curriculum else [],
        "seconds": dict(seconds),
        "versions": versions(),
    }


def _draw(
    folder: Path,
    trainer: Skill0Trainer,
    before: EvaluationReport,
    after: EvaluationReport,
    played: Mapping[str, Trajectory],
) -> None:
    rows = report.read_metrics(trainer.args.run_folder / METRICS_FILE)
    report.write_parquet(rows, folder / "metrics.parquet")
    steps = trainer.state.max_steps
    curriculum = trainer.curriculum
    if curriculum is not None:
        report.curriculum_figure(
            curriculum.file_names, curriculum.budgets, curriculum.timeline, steps, folder / "curriculum.png"
        )
    rates = [{arm: found[arm].success().value or 0.0 for arm in (WITH, WITHOUT)} for found in (before, after)]
    report.success_figure(rows, rates[0], rates[1], steps, folder / "success.png")
    report.pages_sheet(played, folder / "pages.png")
    report.write_turns(played, folder / TURNS_FILE)


class _Clock:
    """Wall seconds of each phase, summed over the calls that a resumed run takes. Kept in a file."""

    def __init__(self, path: Path, writes: bool) -> None:
        self.path, self.writes = path, writes
        self.seconds: dict[str, float] = read_json(path) if path.is_file() else {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.perf_counter() - start, 1)
            if self.writes:
                write_json(self.path, self.seconds)
