"""Questions to the almanac: what each task asks, and how splits are drawn."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from skill0.envs.base import Task
from skill0.envs.search.almanac.book import (
    RELATIONS,
    TELLTALE,
    AlmanacSettings,
    Arrangement,
    Book,
    open_book,
    sample_arrangement,
)
from skill0.envs.search.questions import COMPARE, MULTI_HOP, TASK_TYPES, Question
from skill0.errors import ConfigError

SOURCE = "almanac"

_MARGIN = 5
"""Least difference in rank of two countries that are compared."""

_DIRECT = re.compile(r"What is the (?P<relation>[a-z]+) of (?P<country>[^?]+)\?")
_HOPS = re.compile(rf"What is the (?P<relation>[a-z]+) of the country with the {TELLTALE} (?P<told>[^?]+)\?")
_COMPARE = re.compile(r"Which has the larger (?P<relation>[a-z]+), (?P<first>[^?]+) or (?P<second>[^?]+)\?")


@dataclass(frozen=True)
class AlmanacQuestion:
    """A task's payload: the question, and the arrangement of the book that is searched."""

    question: Question
    arrangement: tuple[tuple[str, str], ...]
    settings: AlmanacSettings


@dataclass(frozen=True)
class AlmanacGame:
    """A question with its arrangement, as demonstrations and the reading check know games: by what tells
    them apart from others, `convention`."""

    id: str
    task_type: str
    convention: Mapping[str, str]
    question: Question
    settings: AlmanacSettings

    def as_task(self) -> Task:
        payload = AlmanacQuestion(self.question, tuple(self.convention.items()), self.settings)
        return Task(self.id, "almanac", self.task_type, self.question.question, payload)


@dataclass(frozen=True)
class Asked:
    """What a question asks: a relation of a country, of the country with the capital `told`, or of which of
    two countries it is larger. Empty where it does not apply."""

    relation: str
    country: str = ""
    told: str = ""
    pair: tuple[str, str] | None = None


def read_question(text: str) -> Asked:
    """What a question of the almanac asks.

    Raises:
        ConfigError: it is no question of the almanac.
    """
    if found := _COMPARE.fullmatch(text):
        return Asked(found["relation"], pair=(found["first"], found["second"]))
    if found := _HOPS.fullmatch(text):
        return Asked(found["relation"], told=found["told"])
    if found := _DIRECT.fullmatch(text):
        return Asked(found["relation"], country=found["country"])
    raise ConfigError(f"{text!r} is no question to the almanac")


def comparison(relation: str, first: str, second: str) -> str:
    """The question which of two countries has the larger figure."""
    return f"Which has the larger {relation}, {first} or {second}?"


def all_questions(book: Book) -> dict[str, list[Question]]:
    """Every question by task type, in a fixed order. Each has one answer."""
    found: dict[str, list[Question]] = {kind: [] for kind in TASK_TYPES}
    for kind in TASK_TYPES:
        for relation in RELATIONS[kind]:
            found[kind] += _compared(book, relation) if kind == COMPARE else _asked(book, kind, relation)
    return found


def _asked(book: Book, kind: str, relation: str) -> list[Question]:
    questions = []
    capitals = [book.told(country, TELLTALE) for country in book.countries]
    for country in book.countries:
        answer, told = book.told(country, relation), book.told(country, TELLTALE)
        if not answer or (kind == MULTI_HOP and (not told or capitals.count(told) > 1)):
            continue
        subject = f"the country with the {TELLTALE} {told}" if kind == MULTI_HOP else country
        text = f"What is the {relation} of {subject}?"
        questions.append(Question(f"{relation} {country}", text, (answer,), SOURCE, kind))
    return questions


def _compared(book: Book, relation: str) -> list[Question]:
    questions = []
    for first, second in combinations(book.countries, 2):
        ranks = book.ranks[first][relation], book.ranks[second][relation]
        if abs(ranks[0] - ranks[1]) >= _MARGIN:
            answer = first if ranks[0] < ranks[1] else second
            text = comparison(relation, first, second)
            questions.append(Question(f"{relation} {first} {second}", text, (answer,), SOURCE, COMPARE))
    return questions


def split_games(
    counts: Sequence[int], seed: int, settings: AlmanacSettings, arrangement: Arrangement
) -> tuple[list[AlmanacGame], ...]:
    """Several lists of questions to one book, the task types in turn; no question is in two of them.

    Raises:
        ConfigError: there are fewer questions than asked for.
    """
    piles = _shuffled(open_book(settings), seed)
    needed, least = -(-sum(counts) // len(TASK_TYPES)), min(map(len, piles.values()))
    if needed + len(counts) > least:
        raise ConfigError(
            f"the almanac has {least} questions of some task type, but {sum(counts)} tasks ask for about "
            f"{needed} of each: take fewer tasks or more countries"
        )
    return tuple(
        [
            _game(piles[TASK_TYPES[number % len(TASK_TYPES)]].pop(), arrangement, settings)
            for number in range(count)
        ]
        for count in counts
    )


def sample_games(count: int, seed: int, settings: AlmanacSettings, *, split: str) -> list[AlmanacGame]:
    """Questions to as many books, each with an arrangement of its own; the task types in turn."""
    questions = all_questions(open_book(settings))
    games = []
    for number in range(count):
        draw = random.Random(f"almanac {split} {seed} {number}")
        question = draw.choice(questions[TASK_TYPES[number % len(TASK_TYPES)]])
        game = _game(question, sample_arrangement(draw.getrandbits(32)), settings)
        games.append(replace(game, id=f"{split} {number}"))
    return games


def _shuffled(book: Book, seed: int) -> dict[str, list[Question]]:
    piles = all_questions(book)
    for kind in TASK_TYPES:
        random.Random(f"almanac {seed} {kind}").shuffle(piles[kind])
    return piles


def _game(question: Question, arrangement: Arrangement, settings: AlmanacSettings) -> AlmanacGame:
    return AlmanacGame(question.id, question.task_type, dict(arrangement), question, settings)
