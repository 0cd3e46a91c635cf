"""What an evaluation of search episodes found, per question set.

Everything is computed from the actions that a report keeps: queries are searched again (a retriever
answers a query the same whenever it is asked), answers are scored again, as they were in play.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skill0.envs.search.env import SearchSettings
from skill0.envs.search.information import information
from skill0.envs.search.projection import ANSWER, SEARCH, read_action
from skill0.envs.search.questions import Question
from skill0.envs.search.scoring import Score, contains_answer, published_answer, score
from skill0.evaluation.report import ArmReport, TaskOutcome
from skill0.retrieval import Hit, Retriever

if TYPE_CHECKING:
    from rich.table import Table

_BATCH = 256


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


@dataclass(frozen=True)
class _Played:
    exact_match: float
    f1: float
    substring_match: float
    searches: int
    recall: float | None
    answer_recall: float


def search_figures(
    arm: ArmReport, questions: Mapping[str, Question], retriever: Retriever, settings: SearchSettings
) -> list[SetFigures]:
    """Figures of each set of an arm, in the order in which sets occur, and of all as "all" where there are
    several.

    Args:
        arm: The outcomes.
        questions: By task id.
        retriever: The one that was played with.
        settings: How questions were played.
    """
    queries = {query for outcome in arm.valid for query in queries_of(outcome)}
    found = _search(retriever, sorted(queries), settings.passages)
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
    return [_figures(name, outcomes, questions, found, settings) for name, outcomes in groups.items()]


def queries_of(outcome: TaskOutcome) -> list[str]:
    """What an episode searched for."""
    actions = map(read_action, outcome.actions)
    return [text for kind, text in actions if kind == SEARCH and text]


def answer_of(outcome: TaskOutcome, found: Mapping[str, list[Hit]], settings: SearchSettings) -> str | None:
    """What is scored as an episode's answer; None if there is none. `found` are the hits of its queries."""
    if settings.published_scoring:
        said = []
        for action in outcome.actions:
            kind, query = read_action(action)
            passages = [hit.passage for hit in found.get(query, ())]
            searched = kind == SEARCH and query
            said += [action, information(passages, settings.information_form) if searched else ""]
        return published_answer("".join(said))
    kind, text = read_action(outcome.actions[-1]) if outcome.actions else ("", "")
    return text if kind == ANSWER else None


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


def _search(retriever: Retriever, queries: Sequence[str], passages: int) -> dict[str, list[Hit]]:
    found: dict[str, list[Hit]] = {}
    for first in range(0, len(queries), _BATCH):
        batch = queries[first : first + _BATCH]
        found.update(zip(batch, retriever.search(batch, passages), strict=True))
    return found


def _figures(
    name: str,
    outcomes: Sequence[TaskOutcome],
    questions: Mapping[str, Question],
    found: Mapping[str, list[Hit]],
    settings: SearchSettings,
) -> SetFigures:
    played = [
        _played(outcome, questions[outcome.task_id], found, settings)
        for outcome in outcomes
        if outcome.won is not None
    ]
    recalls = [one.recall for one in played if one.recall is not None]
    return SetFigures(
        name=name,
        questions=len(outcomes),
        recall=_mean(recalls) if recalls else None,
        answer_recall=_mean([one.answer_recall for one in played]),
        exact_match=_mean([one.exact_match for one in played]),
        f1=_mean([one.f1 for one in played]),
        substring_match=_mean([one.substring_match for one in played]),
        searches=_mean([one.searches for one in played]),
        infrastructure=len(outcomes) - len(played),
    )


def _played(
    outcome: TaskOutcome, question: Question, found: Mapping[str, list[Hit]], settings: SearchSettings
) -> _Played:
    queries = queries_of(outcome)
    passages = [hit.passage for query in queries for hit in found[query]]
    titles = {passage.title for passage in passages}
    answer = answer_of(outcome, found, settings)
    scores = Score(0.0, 0.0, 0.0)
    if answer is not None:
        scores = score(answer, question.answers, published=settings.published_scoring)
    wanted = question.supporting
    return _Played(
        exact_match=scores.exact_match,
        f1=scores.f1,
        substring_match=scores.substring_match,
        searches=len(queries),
        recall=sum(title in titles for title in wanted) / len(wanted) if wanted else None,
        answer_recall=float(any(contains_answer(p.contents, question.answers) for p in passages)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
