"""A look at success with and without skills while training goes on.

Every probe leaves its whole report in `probes/step-000016.json` of the trainer's run folder, the one before
the first step too; two figures of it are logged. What a probe plays is no part of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from skill0.envs.base import Task
from skill0.evaluation import evaluate
from skill0.training.report import PROBE_WITH, PROBE_WITHOUT
from skill0.training.run_folder import write_json

if TYPE_CHECKING:
    from skill0.evaluation import EvaluationReport
    from skill0.training.recipe import EvaluationSection
    from skill0.training.trainer import Skill0Trainer

PROBES_FOLDER = "probes"


class Probe(TrainerCallback):
    """Every `probe_every` steps, success on `tasks` without skills and with the whole bank, logged as
    `probe/success_without_skills` and `probe/success_with_skills`.

    Probes draw no random numbers that training uses: a run with them is trained exactly as one without.
    `arms` must be in the order plain, whole bank.
    """

    def __init__(
        self,
        trainer: Skill0Trainer,
        arms: Mapping[str, Callable[[Task], Any]],
        tasks: Sequence[Task],
        settings: EvaluationSection,
    ) -> None:
        self.trainer = trainer
        self.arms = arms
        self.tasks = tasks
        self.settings = settings

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._play(args, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.settings.probe_every and state.global_step != state.max_steps:
            return
        found = self._play(args, state.global_step)
        for arm, key in zip(found.arms, (PROBE_WITHOUT, PROBE_WITH), strict=True):
            self.trainer.record(key, arm.success().value or 0.0)

    def _play(self, args: Any, step: int) -> EvaluationReport:
        sampling = replace(args.validation_sampling(), temperature=self.settings.temperature)
        found = evaluate(
            self.trainer.loop, self.tasks, self.arms, sampling=sampling, seed=args.seed,
            batch_size=self.settings.batch_size, ranks=self.trainer.ranks,
        )  # fmt: skip
        if self.trainer.accelerator.is_main_process:
            folder = args.run_folder / PROBES_FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / f"step-{step:06d}.json", found.to_json())
        return found
