"""Search without a model: scripted queries with a reader who never errs, as floor and ceiling of a retriever.

A player searches in a fixed way and then answers. Its reader is perfect: it gives a gold answer when what was
retrieved proves it (all supporting passages were shown, by their titles; where a set does not tell them, some
passage held a gold answer as whole words), and otherwise "?". So exact match is what a model could
reach at most with such queries, and nothing that a model does by itself. One player reads without knowing
the answer: it gives the title of the first passage.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from skill0.agent import PolicyInput, ScriptedPolicy
from skill0.envs.search.information import plain
from skill0.envs.search.projection import ANSWER, SEARCH, tagged
from skill0.envs.search.questions import Question
from skill0.envs.search.scoring import contains_answer
from skill0.errors import ConfigError

PLAYERS = ("random", "title", "question", "gold")
"""random: searches for another question. question: searches for its own. title: the same, and answers with
the first title. gold: one query for each supporting passage, for the questions whose set tells them."""

UNKNOWN = "?"

_FRAME = re.compile(r"</?information>|\bDoc \d+\(Title: ")
"""What observations say around the passages."""


def search_player(name: str, questions: Sequence[Question], seed: int) -> ScriptedPolicy:
    """A player of `PLAYERS` for these questions. Raises `ConfigError` for another name."""
    if name not in PLAYERS:
        raise ConfigError(f"there is no player {name!r}; choose one of {', '.join(PLAYERS)}")
    plan: Callable[[Question], tuple[str, ...]]
    if name == "random":
        plan = _others(questions, seed)
    elif name == "gold":
        plan = gold_queries
    else:
        plan = _own
    answer = _first_title if name == "title" else _perfect

    def reply(item: PolicyInput) -> str:
        if item.state is None:  # padding
            return ""
        question: Question = item.state.task.payload
        queries = plan(question)
        if item.state.step < len(queries):
            return f"<think>searching</think>{tagged(SEARCH, queries[item.state.step])}"
        shown = [turn.observation for turn in item.state.history] + [item.state.observation.text]
        shown = [plain(text) for text in shown]
        return f"<think>reading</think>{tagged(ANSWER, answer(question, shown))}"

    return ScriptedPolicy(reply)


def gold_queries(question: Question) -> tuple[str, ...]:
    """One query for each supporting passage: the set's own, else the passage's title beside the question."""
    if question.queries:
        return question.queries[:3]
    if question.supporting:
        return tuple(f"{title} {title} {question.question}" for title in question.supporting[:3])
    return (question.question,)


def proved(question: Question, shown: Sequence[str]) -> bool:
    """Whether what was shown proves the answer, as the perfect reader sees it. Observations in the plain
    form."""
    if question.supporting:
        return all(any(_shows(text, title) for text in shown) for title in question.supporting)
    return any(contains_answer(_FRAME.sub(" ", text), question.answers) for text in shown)


def _shows(text: str, title: str) -> bool:
    return f"(Title: {' '.join(title.split())}) " in text


def _own(question: Question) -> tuple[str, ...]:
    return (question.question,)


def _others(questions: Sequence[Question], seed: int) -> Callable[[Question], tuple[str, ...]]:
    """Each question's stand-in: another one, drawn by the seed."""

    def plan(question: Question) -> tuple[str, ...]:
        draw = random.Random(f"another question {seed} {question.source} {question.id}")
        others = [other for other in draw.sample(questions, min(2, len(questions))) if other != question]
        return (others[0].question,) if others else ("nothing",)

    return plan


def _perfect(question: Question, shown: Sequence[str]) -> str:
    return question.answers[0] if proved(question, shown) else UNKNOWN


def _first_title(question: Question, shown: Sequence[str]) -> str:
    del question
    first = "".join(shown).partition("Doc 1(Title: ")[2]
    return first.split("\n")[0].partition(") ")[0] or UNKNOWN
