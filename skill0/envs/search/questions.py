"""A question, and the task that asks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skill0.envs.base import Task
from skill0.errors import EnvError

DIRECT, ATTRIBUTE, MULTI_HOP, COMPARE = (
    "direct_retrieval",
    "entity_attribute_lookup",
    "multi_hop_reasoning",
    "compare",
)
TASK_TYPES = (DIRECT, ATTRIBUTE, MULTI_HOP, COMPARE)
"""The task types of SKILL0's search skills."""


@dataclass(frozen=True)
class Question:
    """A question with its gold answers; one of them is enough.

    Args:
        id (`str`): unique within its set.
        question (`str`): as the agent is asked.
        answers (`tuple[str, ...]`): at least one.
        source (`str`): the data set, as reports name it: "nq", "hotpotqa", "facts".
        task_type (`str`): one of `TASK_TYPES`.
        supporting (`tuple[str, ...]`): titles of the passages that together prove the answer, in the order in
            which they are needed; empty where the set does not tell.
        evidence (`tuple[str, ...]`): for each of them the sentence that proves it, or nothing.
        queries (`tuple[str, ...]`): one good query for each supporting passage, or nothing.

    Raises:
        EnvError: there is no question, no answer, or an unknown task type.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    source: str
    task_type: str
    supporting: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = f"question {self.id!r} of {self.source!r}"
        if not self.question.strip():
            raise EnvError(f"{name}: the question is empty")
        if not self.answers or not all(answer.strip() for answer in self.answers):
            raise EnvError(f"{name}: a gold answer is missing or empty")
        if self.task_type not in TASK_TYPES:
            raise EnvError(f"{name}: task type {self.task_type!r} must be one of {TASK_TYPES}")


def tasks_from(questions: Iterable[Question]) -> list[Task]:
    """A task for each question; the question is its payload and its instruction."""
    return [
        Task(f"{question.source}/{question.id}", "search", question.task_type, question.question, question)
        for question in questions
    ]
