"""Measuring how much each skill file still helps, by paired evaluation on its own sub-task.

SKILL0 (arXiv 2604.02268), step (1) of algorithm 1: every sub-task T_k is validated with the active set and
without. T_k are the validation tasks of the types that file k serves (relevance-driven grouping). No episode
is played twice: each arm is evaluated once on all tasks and sliced per file, and a task that is shown no file
in either arm shares one episode. The marginal form is equation 15. Tests: tests/evaluation/test_measuring.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skill0.agent.loop import AgentLoop
from skill0.agent.policy import Sampling
from skill0.curriculum.helpfulness import FORMS, MARGINAL_FORM, SET_FORM, Helpfulness, paired_helpfulness
from skill0.envs.base import Task
from skill0.errors import ConfigError
from skill0.evaluation.report import EvaluationReport
from skill0.evaluation.running import Episode, Progress, Ranks, check_tasks, play_arms
from skill0.skills import Grouping, SkillBank, skills_in_context

WITH, WITHOUT = "with skills", "without skills"


@dataclass(frozen=True)
class HelpfulnessReport(Mapping[str, Helpfulness]):
    """File name -> `Helpfulness`, for every active file, with the evaluation it comes from.

    `report` has the arms "with skills" and, in the set form, "without skills", over all validation tasks; in
    the marginal form "without <name>" for each file, over its sub-task. `report.episodes` and
    `report.env_steps` are what the measurement cost.
    """

    helpfulness: Mapping[str, Helpfulness]
    report: EvaluationReport

    def __getitem__(self, name: str) -> Helpfulness:
        return self.helpfulness[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.helpfulness)

    def __len__(self) -> int:
        return len(self.helpfulness)


def measure_helpfulness(
    loop: AgentLoop,
    tasks: Sequence[Task],
    bank: SkillBank,
    grouping: Grouping,
    active: Sequence[str],
    form: str = SET_FORM,
    *,
    sampling: Sampling,
    seed: int,
    batch_size: int = 64,
    scope: Literal["relevant", "all"] = "relevant",
    progress: Progress = False,
    ranks: Ranks | None = None,
) -> HelpfulnessReport:
    """Delta_k of every active file, on the same tasks with the same random numbers in both arms.

    Args:
        loop, tasks, sampling, seed, batch_size, progress, ranks: as for `evaluate`.
        bank, grouping: all skill files, and which task types each serves.
        active: names of the files in context now.
        form: "set" compares the active set with no skills; "marginal" with the active set less the file.
        scope: which active files a task is shown: the "relevant" ones, or "all".

    A file that serves no task type at all (a grouping may allow that) is reported as not measured.

    Raises:
        ConfigError: an unknown form, a task id that occurs twice, or an active file whose task types have no
            task among `tasks`.
        SkillError: an unknown file. GroupingError: a task type that was not grouped.
    """
    if form not in FORMS:
        raise ConfigError(f"form={form!r} must be one of {FORMS}")
    check_tasks(tasks)
    subsets = {name: sub_task(tasks, grouping, name) for name in active}

    def shown(task: Task, names: Sequence[str]) -> Episode:
        return Episode(task, tuple(skills_in_context(bank, grouping, names, task.task_type, scope)))

    wanted = {WITH: [shown(task, active) for task in tasks]}
    if form == SET_FORM:
        wanted[WITHOUT] = [Episode(task, ()) for task in tasks]
    else:
        for name, subset in subsets.items():
            others = [other for other in active if other != name]
            wanted[f"without {name}"] = [shown(task, others) for task in subset]
    report = play_arms(
        loop, wanted, sampling=sampling, seed=seed, batch_size=batch_size, progress=progress,
        ranks=ranks or Ranks(),
    )  # fmt: skip
    helpfulness = {}
    with_skills = report[WITH].outcomes_by_task()
    for name, subset in subsets.items():
        plain = report[f"without {name}" if form == MARGINAL_FORM else WITHOUT].outcomes_by_task()
        helpfulness[name] = paired_helpfulness(
            name,
            {task.id: with_skills[task.id] for task in subset},
            {task.id: plain[task.id] for task in subset},
            form,
        )
    return HelpfulnessReport(helpfulness, report)


def sub_task(tasks: Sequence[Task], grouping: Grouping, name: str) -> list[Task]:
    """T_k: the tasks of the types that file `name` serves; none if it serves no type at all.

    Raises:
        ConfigError: it serves task types, but no task here is of one of them.
    """
    task_types = grouping.task_types_for(name)
    subset = [task for task in tasks if task.task_type in task_types]
    if task_types and not subset:
        raise ConfigError(
            f"the skill file {name!r} serves {task_types}, but none of the {len(tasks)} validation tasks is "
            "of such a type, so its helpfulness cannot be measured; take validation tasks of every type"
        )
    return subset
