"""Relevance-driven grouping: which skill file serves which task type, decided once, before training.

SKILL0 (arXiv 2604.02268), section 3: the validation set is split into N sub-tasks T_k, and T_k holds the
tasks that match the category of skill file S_k. Here T_k is all tasks of the types that S_k serves:

1. a file that declares task types serves exactly those ("*": all of them);
2. a file that declares none serves the task types that it is the most relevant file for: where its text
   scores at least `MIN_SCORE` (`skill0.skills.relevance`) and at least `MIN_SHARE` of what the best file for
   the task type scores, declared or not, general files left aside.

General know-how has no task type of its own to be relevant to: it must be declared ("*"). A task type that
no file serves, and a file without declaration that serves no task type, are errors unless allowed; then they
are counted and shown. A task type that only general files serve is shown as such.

Deviation from the paper: there the groups are fixed by hand; here they are declared or computed, and printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from skill0.errors import ConfigError, GroupingError
from skill0.skills.bank import SkillBank
from skill0.skills.relevance import relevance
from skill0.skills.skill import EVERY_TASK_TYPE, SkillFile

if TYPE_CHECKING:
    from rich.table import Table

MIN_SCORE = 0.1
"""Below this score a file has next to no distinguishing word in common with a task type's instructions."""

MIN_SHARE = 0.8
"""Besides the best file for a task type, those that score at least this share of it serve it too."""


class TaskLike(Protocol):
    """What grouping needs to know of a task."""

    @property
    def task_type(self) -> str: ...

    @property
    def instruction(self) -> str: ...


@dataclass(frozen=True)
class Reason:
    """Why a file serves a task type, or does not. `score` is None where task types were declared."""

    serves: bool
    text: str
    score: float | None = None


@dataclass(frozen=True)
class Grouping:
    """Which skill files serve which task types, and why.

    `served` maps each task type to the names of its files, in bank order; `counts` to the number of tasks;
    `reasons` has an entry for every (file name, task type). `unmatched` are the task types that no file
    serves, `general_only` those that only general files serve, `unused` the files that serve none.
    """

    served: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    reasons: Mapping[tuple[str, str], Reason]
    general: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())

    @property
    def task_types(self) -> tuple[str, ...]:
        return tuple(self.served)

    @property
    def unmatched(self) -> tuple[str, ...]:
        return tuple(task_type for task_type, names in self.served.items() if not names)

    @property
    def general_only(self) -> tuple[str, ...]:
        return tuple(
            task_type for task_type, names in self.served.items() if names and set(names) <= set(self.general)
        )

    @property
    def unused(self) -> tuple[str, ...]:
        return tuple(name for name in self.files if not self.task_types_for(name))

    def files_for(self, task_type: str) -> tuple[str, ...]:
        """The names of the files that serve a task type. Raises `GroupingError` for one not grouped."""
        try:
            return self.served[task_type]
        except KeyError:
            raise GroupingError(
                f"the task type {task_type!r} was not grouped (only {', '.join(self.served) or 'none'}); "
                "group over all tasks that skills will be shown for"
            ) from None

    def task_types_for(self, name: str) -> tuple[str, ...]:
        """The task types that a file serves. Raises `GroupingError` for a file not grouped."""
        if name not in self.files:
            raise GroupingError(f"the skill file {name!r} was not grouped (only {', '.join(self.files)})")
        return tuple(task_type for task_type, names in self.served.items() if name in names)

    def table(self) -> Table:
        """A table (rich): a row for each skill file and task type it serves, with the reason."""
        from rich.table import Table

        table = Table(title="Which skill file serves which task type", title_justify="left")
        table.add_column("skill file", no_wrap=True)
        table.add_column("task type", no_wrap=True)
        table.add_column("tasks", justify="right")
        table.add_column("why")
        for name in self.files:
            task_types = self.task_types_for(name)
            for index, task_type in enumerate(task_types):
                reason = self.reasons[name, task_type]
                table.add_row(name if index == 0 else "", task_type, str(self.counts[task_type]), reason.text)
            if not task_types:
                table.add_row(name, "-", "0", self._why_unused(name))
            table.add_section()
        for task_type in self.unmatched:
            table.add_row("-", task_type, str(self.counts[task_type]), "no skill file serves it")
        table.caption = self._caption()
        return table

    def _why_unused(self, name: str) -> str:
        scored = [reason for (file, _), reason in self.reasons.items() if file == name]
        return max(scored, key=lambda reason: reason.score or 0.0).text if scored else "no task"

    def _caption(self) -> str:
        caption = f"{len(self.files)} files, {len(self.served)} task types, {sum(self.counts.values())} tasks"
        if self.unmatched:
            caption += (
                f"; {len(self.unmatched)} task types without any skill file: {', '.join(self.unmatched)}"
            )
        if self.general_only:
            caption += f"; only general skills for: {', '.join(self.general_only)}"
        return caption


def group_by_relevance(bank: SkillBank, tasks: Iterable[TaskLike], allow_unmatched: bool = False) -> Grouping:
    """Decide which skill file serves which task type of `tasks`.

    Raises `GroupingError` for a task type that no file serves and for a file without declared task types that
    is relevant to none, unless `allow_unmatched`.
    """
    instructions: dict[str, list[str]] = {}
    for task in tasks:
        instructions.setdefault(task.task_type, []).append(task.instruction)
    reasons: dict[tuple[str, str], Reason] = {}
    undeclared = [file for file in bank if not file.task_types]
    for file in bank:
        if file.task_types:
            for task_type in instructions:
                reasons[file.name, task_type] = _declared(file, task_type)
    if undeclared:
        rivals = [file for file in bank if EVERY_TASK_TYPE not in file.task_types]
        reasons.update(_relevant(undeclared, rivals, instructions))
    grouping = Grouping(
        served={
            task_type: tuple(name for name in bank.names if reasons[name, task_type].serves)
            for task_type in instructions
        },
        counts=Counter({task_type: len(texts) for task_type, texts in instructions.items()}),
        reasons=reasons,
        general=tuple(file.name for file in bank if EVERY_TASK_TYPE in file.task_types),
        files=bank.names,
    )
    if not allow_unmatched:
        _raise_unmatched(grouping, [file.name for file in undeclared])
    return grouping


def skills_in_context(
    bank: SkillBank,
    grouping: Grouping,
    active: Sequence[str],
    task_type: str,
    scope: Literal["relevant", "all"] = "relevant",
) -> tuple[SkillFile, ...]:
    """The files a task sees: the active ones, in bank order; with scope "relevant" only those that serve it.

    Raises `SkillError` for an active name the bank does not have, `GroupingError` for a task type not
    grouped, `ConfigError` for another scope.
    """
    if scope not in ("relevant", "all"):
        raise ConfigError(f'the scope of skills is "relevant" or "all", not {scope!r}')
    files = bank.subset(active).files
    if scope == "all":
        return files
    served = grouping.files_for(task_type)
    return tuple(file for file in files if file.name in served)


def _declared(file: SkillFile, task_type: str) -> Reason:
    if EVERY_TASK_TYPE in file.task_types:
        return Reason(True, "declared (*)")
    if task_type in file.task_types:
        return Reason(True, "declared")
    return Reason(False, f"declared for {', '.join(file.task_types)} only")


def _relevant(
    files: Sequence[SkillFile], rivals: Sequence[SkillFile], instructions: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Reason]:
    """Reasons for `files`, which are among `rivals`."""
    scores = relevance(rivals, instructions)
    reasons = {}
    for task_type in instructions:
        best = max(rivals, key=lambda file: scores[file.name, task_type][0])
        best_score = scores[best.name, task_type][0]
        for file in files:
            score, common = scores[file.name, task_type]
            text = f"text scores {score:.2f}" + (f" ({', '.join(common)})" if common else "")
            if score < MIN_SCORE:
                serves, text = False, f"{text}, less than {MIN_SCORE}"
            elif score < MIN_SHARE * best_score:
                serves, text = False, f"{text}, {best.name} scores {best_score:.2f}"
            else:
                serves = True
            reasons[file.name, task_type] = Reason(serves, text, score)
    return reasons


def _raise_unmatched(grouping: Grouping, undeclared: Sequence[str]) -> None:
    if grouping.unmatched:
        raise GroupingError(
            f"no skill file serves the task type(s) {', '.join(grouping.unmatched)}: declare them under "
            "`metadata: task-types` in a skill file, or allow unmatched task types"
        )
    lost = [name for name in grouping.unused if name in undeclared]
    if lost:
        raise GroupingError(
            f"the skill file(s) {', '.join(lost)} declare no task types, and are the most relevant ones for "
            f"none of these: {', '.join(grouping.task_types) or '(there are no tasks)'}; declare task types "
            f"under `metadata: task-types` ({EVERY_TASK_TYPE!r} for all), or allow unmatched files"
        )
