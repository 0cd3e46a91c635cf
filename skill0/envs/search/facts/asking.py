"""Questions with one true answer, made from facts.

- direct retrieval: the subject, from a value that no other subject has;
- entity attribute lookup: the value of a named subject;
- multi-hop reasoning: the value of a subject that another fact has to find first;
- compare: which of two subjects has the larger, smaller or earlier value, where they differ clearly.

Which phrasing a question gets, and which subjects are compared, follows from the seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from skill0.envs.search.facts.passages import Fact
from skill0.envs.search.facts.relations import CITY_CLAUSE, NEIGHBOUR_CLAUSE, Comparison
from skill0.envs.search.questions import ATTRIBUTE, COMPARE, DIRECT, MULTI_HOP
from skill0.envs.search.scoring import normalise


@dataclass(frozen=True)
class Asked:
    """A question with the facts that prove its answer, in the order in which they are needed. `queries` finds
    each of them; `countries` are all it is about."""

    task_type: str
    question: str
    answers: tuple[str, ...]
    facts: tuple[Fact, ...]
    queries: tuple[str, ...]

    @property
    def countries(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for fact in self.facts for name in fact.countries))


def ask(facts: Sequence[Fact], seed: int, comparisons: int) -> list[Asked]:
    """All questions but comparisons, of which there are up to `comparisons` for each way of comparing."""
    draw = random.Random(f"questions {seed}")
    chosen = _unique(facts)
    return [
        *_direct(facts, chosen, draw),
        *_attributes(facts, draw),
        *_chains(facts, chosen),
        *_compared(facts, draw, comparisons),
    ]


def _unique(facts: Sequence[Fact]) -> Callable[[Fact], bool]:
    """Whether a fact's value points to its subject alone: no other has it, by any of its names."""
    named = Counter(
        (fact.relation.name, name)
        for fact in facts
        for name in {normalise(text) for text in (fact.value.text, *fact.value.aliases)}
    )

    def unique(fact: Fact) -> bool:
        names = {normalise(text) for text in (fact.value.text, *fact.value.aliases)}
        return not fact.value.shared and all(named[fact.relation.name, name] == 1 for name in names)

    return unique


def _direct(facts: Sequence[Fact], unique: Callable[[Fact], bool], draw: random.Random) -> Iterator[Asked]:
    for fact in facts:
        # A value that names the subject ("Jamaica, Land We Love") gives the answer away.
        if fact.relation.inverse and unique(fact) and not _tells(fact.value.text, fact.subject):
            question = draw.choice(fact.relation.inverse).format(value=fact.value.text)
            query = f"{fact.relation.keyword} {fact.value.text}"
            yield Asked(DIRECT, question, (fact.subject,), (fact,), (query,))


def _attributes(facts: Sequence[Fact], draw: random.Random) -> Iterator[Asked]:
    for fact in facts:
        question = draw.choice(fact.relation.questions).format(subject=fact.subject, year=fact.value.year)
        if _tells(fact.subject, fact.value.text):  # Mexico City
            continue
        answers = (fact.value.text, *fact.value.aliases)
        yield Asked(ATTRIBUTE, question, answers, (fact,), (_query(fact),))


def _chains(facts: Sequence[Fact], unique: Callable[[Fact], bool]) -> Iterator[Asked]:
    """Every clause that stands for a country, with every fact of that country told elsewhere."""
    of: dict[str, list[Fact]] = {}
    for fact in facts:
        of.setdefault(fact.subject, []).append(fact)
    for head in facts:
        relation = head.relation
        if relation.name == "country":
            country, clause, query = head.value.text, CITY_CLAUSE.format(subject=head.subject), _query(head)
        elif relation.name == "neighbour":
            country, clause, query = (
                head.value.text,
                NEIGHBOUR_CLAUSE.format(subject=head.subject),
                _query(head),
            )
        elif relation.clause and unique(head):
            country, clause = head.subject, relation.clause.format(value=head.value.text)
            query = f"{relation.keyword} {head.value.text}"
        else:
            continue
        if _tells(clause, country):
            continue
        for tail in of.get(country, ()):
            if tail.relation.phrase and tail.title != head.title and not _tells(clause, tail.value.text):
                question = f"What is {tail.relation.phrase.format(subject=clause)}?"
                answers = (tail.value.text, *tail.value.aliases)
                yield Asked(MULTI_HOP, question, answers, (head, tail), (query, _query(tail)))


def _compared(facts: Sequence[Fact], draw: random.Random, limit: int) -> Iterator[Asked]:
    by_relation: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.relation.comparisons:
            by_relation.setdefault(fact.relation.name, []).append(fact)
    for comparable in by_relation.values():
        for comparison in comparable[0].relation.comparisons:
            yield from _pairs(comparable, comparison, draw, limit)


def _pairs(facts: Sequence[Fact], comparison: Comparison, draw: random.Random, limit: int) -> Iterator[Asked]:
    pairs = len(facts) * (len(facts) - 1) // 2
    seen: set[frozenset[str]] = set()
    for _ in range(3 * min(limit, pairs)):  # most draws are usable, and a few fewer do no harm
        if len(seen) == min(limit, pairs):
            return
        first, second = draw.sample(facts, 2)
        pair = frozenset((first.subject, second.subject))
        if pair in seen or not _differ(first, second, comparison):
            continue
        seen.add(pair)
        question = draw.choice(comparison.questions).format(first=first.subject, second=second.subject)
        winner = (max if comparison.largest else min)((first, second), key=_figure)
        yield Asked(COMPARE, question, (winner.subject,), (first, second), (_query(first), _query(second)))


def _differ(first: Fact, second: Fact, comparison: Comparison) -> bool:
    low, high = sorted((_figure(first), _figure(second)))
    if comparison.absolute:
        return high - low >= comparison.margin
    return low > 0 and high / low >= comparison.margin


def _figure(fact: Fact) -> float:
    assert fact.value.number is not None, "only relations with numbers are compared"
    return fact.value.number


def _query(fact: Fact) -> str:
    return f"{fact.relation.keyword} {fact.subject}"


def _tells(text: str, name: str) -> bool:
    """Whether a text holds a name as whole words."""
    return f" {normalise(name)} " in f" {normalise(text)} "
