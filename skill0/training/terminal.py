"""What a person sees of a training run: a line per step, a table per round of the curriculum, a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from transformers import TrainerCallback

from skill0.curriculum import CurriculumChange
from skill0.training.report import PROBE_WITH, PROBE_WITHOUT

if TYPE_CHECKING:
    from skill0.training.trainer import Skill0Trainer


class Terminal(TrainerCallback):
    """Stands in for transformers' own printing, which shows every metric of every step."""

    def __init__(self, trainer: Skill0Trainer, console: Console) -> None:
        self.trainer = trainer
        self.console = console
        self.shown = 0
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.bar = Progress(TextColumn("training"), *columns, console=console)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.task = self.bar.add_task("training", total=state.max_steps, completed=state.global_step)
        curriculum = self.trainer.curriculum
        self.shown = len(curriculum.timeline) if curriculum is not None else 0
        self.bar.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.stop()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        curriculum = self.trainer.curriculum
        if curriculum is not None:
            for change in curriculum.timeline[self.shown :]:
                self.console.print(round_table(change))
            self.shown = len(curriculum.timeline)
        if logs and "success" in logs:
            self.console.print(step_line(state.global_step, logs))


def step_line(step: int, logs: Mapping[str, Any]) -> str:
    """One step in one line."""
    parts = [f"step {step:>3}"]
    if "curriculum/stage" in logs:
        parts.append(f"stage {logs['curriculum/stage']:.0f}")
        parts.append(
            f"{logs['curriculum/active_files']:.0f} of at most {logs['curriculum/budget']:.0f} files"
        )
    parts.append(f"success {logs['success']:.2f}")
    parts.append(f"invalid {logs['invalid_share']:.2f}")
    parts.append(f"tokens {logs['context/text_tokens']:.0f} + {logs['context/visual_tokens']:.0f}")
    if PROBE_WITH in logs:
        parts.append(f"validation {logs[PROBE_WITHOUT]:.2f} without, {logs[PROBE_WITH]:.2f} with skills")
    return " | ".join(parts)


def round_table(change: CurriculumChange) -> Table:
    """One round of the curriculum: what was measured of every active file, what became of it, and why."""
    title = f"curriculum before step {change.step + 1}: stage {change.stage}, budget {change.budget}"
    table = Table(title=title, title_justify="left")
    for name in ("skill file", "with", "without", "helps", "", "why"):
        table.add_column(name)
    for name, reason in change.reasons.items():
        measured = change.helpfulness.get(name)
        figures = (measured.with_skills, measured.without_skills, measured.delta) if measured else (None,) * 3
        cells = ["-" if figure is None else f"{figure:.2f}" for figure in figures]
        fate = "kept" if name in change.kept else "withdrawn"
        why = reason.removeprefix(f"{fate}: ")
        table.add_row(name, *cells, fate, why, style=None if fate == "kept" else "dim")
    return table
