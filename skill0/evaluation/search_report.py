"""What an evaluation of search episodes found, per question set.

Everything is taken from the outcomes: what was retrieved and how an answer was scored the environment told
while it was played (the measures of `SearchEnv`), so that nothing is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skill0.envs.search.projection import SEARCH, read_action
from skill0.envs.search.questions import Question
from skill0.errors import ConfigError
from skill0.evaluation.report import ArmReport, TaskOutcome

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class SetFigures:
    """Figures of one question set under one policy; shares in [0, 1], means over questions.

    `recall` is the share of a question's supporting passages among the passages of all its searches, None
    where the set names none; `answer_recall` the share of questions with a gold answer in some of these
    passages. An episode without an answer has an exact match and F1 of 0. `infrastructure` episodes enter
    no other figure.
    """

    name: str
    questions: int
    recall: float | None
    answer_recall: float
    exact_match: float
    f1: float
    substring_match: float
    searches: float
    infrastructure: int

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def search_figures(arm: ArmReport, questions: Mapping[str, Question]) -> list[SetFigures]:
    """Figures of each set of an arm, in the order in which sets occur, and of all as "all" where there are
    several. `questions` by task id.

    Raises:
        ConfigError: the outcomes are not those of `SearchEnv`.
    """
    groups: dict[str, list[TaskOutcome]] = {}
    for outcome in arm.outcomes:
        groups.setdefault(questions[outcome.task_id].source, []).append(outcome)
    several = len(groups) > 1
    kinds = {(questions[outcome.task_id].source, outcome.task_type) for outcome in arm.outcomes}
    if len(kinds) > len(groups):  # else the rows of the sets are those of the task types
        for outcome in sorted(arm.outcomes, key=lambda outcome: arm.task_types.index(outcome.task_type)):
            groups.setdefault(outcome.task_type, []).append(outcome)
    if several:
        groups["all"] = list(arm.outcomes)
    return [_figures(name, outcomes) for name, outcomes in groups.items()]


def queries_of(outcome: TaskOutcome) -> list[str]:
    """What an episode searched for."""
    actions = map(read_action, outcome.actions)
    return [text for kind, text in actions if kind == SEARCH and text]


def search_table(figures: Sequence[tuple[str, SetFigures]], passages: int) -> Table:
    """A table (rich), a row for each policy and set."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    told = (
        "R: recall of supporting passages, A: an answer is in the passages, sub: a gold answer is in the "
        "answer, q: searches a question"
    )
    title = "Search-QA in percent"
    table = Table(title=title, title_justify="left", caption=told, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    table.add_column("questions", no_wrap=True)
    for column in ("n", f"R@{passages}", f"A@{passages}", "EM", "F1", "sub", "q", "failed"):
        table.add_column(column, justify="right", no_wrap=True)
    for policy, row in figures:
        table.add_row(
            policy,
            row.name,
            str(row.questions),
            "-" if row.recall is None else _percent(row.recall),
            *map(_percent, (row.answer_recall, row.exact_match, row.f1, row.substring_match)),
            f"{row.searches:.2f}",
            str(row.infrastructure),
        )
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _figures(name: str, outcomes: Sequence[TaskOutcome]) -> SetFigures:
    played = [outcome for outcome in outcomes if outcome.won is not None]
    for outcome in played:
        if "answer_shown" not in outcome.measures:
            raise ConfigError(
                f"the outcome of {outcome.task_id!r} tells nothing of what was retrieved: it was not played "
                "in SearchEnv, or by an earlier version; evaluate again"
            )

    def mean_of(measure: str) -> float:
        return _mean([outcome.measures.get(measure, 0.0) for outcome in played])

    recalls = [outcome.measures["recall"] for outcome in played if "recall" in outcome.measures]
    return SetFigures(
        name=name,
        questions=len(outcomes),
        recall=_mean(recalls) if recalls else None,
        answer_recall=mean_of("answer_shown"),
        exact_match=mean_of("exact_match"),
        f1=mean_of("f1"),
        substring_match=mean_of("substring_match"),
        searches=_mean([len(queries_of(outcome)) for outcome in played]),
        infrastructure=len(outcomes) - len(played),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
