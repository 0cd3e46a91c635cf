"""A book of facts about countries, a page for each country and section.

The facts are those of the world of facts (`skill0.envs.search.facts`), for countries whose name is one word.
Which section tells which relation is the book's *arrangement*: it is what skill files tell, as a household's
convention tells where things are kept. The true one follows the CIA World Factbook. In another arrangement
the same facts stand in other sections, so that only a page of skills can tell where.

Figures are told as ranks among the book's countries: "rank 3" is the third largest. A relation belongs to one
task type, so that withdrawing a skill file costs the questions of its type alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from skill0.envs.search.facts.relations import COUNTRY_RELATIONS
from skill0.envs.search.facts.sources import Country, read_sources
from skill0.envs.search.questions import ATTRIBUTE, COMPARE, DIRECT, MULTI_HOP
from skill0.errors import ConfigError
from skill0.retrieval import Passage

Arrangement: TypeAlias = Mapping[str, str]
"""Relation -> section: "capital" -> "government"."""

SECTIONS = (
    *("communications", "economy", "emblems", "energy", "environment", "geography", "government"),
    *("military", "people", "transportation"),
)

RELATIONS: Mapping[str, tuple[str, ...]] = {
    DIRECT: ("anthem", "capital", "currency", "demonym"),
    ATTRIBUTE: ("customer", "export", "legislature", "symbol"),
    MULTI_HOP: ("domain", "peak", "telephone"),
    COMPARE: ("area", "elevation", "population"),
}
"""The relations that questions of a task type ask about."""

TELLTALE = "capital"
"""The relation by which a question of several hops tells its country."""

_TOPICS = {"National symbols": "emblems"}  # not "symbols": a page that tells a symbol would be found, too
"""Topics of the world of facts that have another name here."""


@dataclass(frozen=True)
class AlmanacSettings:
    """Which book.

    Args:
        countries (`int`, *optional*, defaults to `40`):
            The most populous countries, so many, whose name is one word and of which all figures are known.

    Raises:
        ConfigError: fewer than two countries.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    countries: int = 40

    def __post_init__(self) -> None:
        if self.countries < 2:
            raise ConfigError(f"almanac: countries must be at least 2, not {self.countries}")


@dataclass(frozen=True)
class Book:
    """`values` holds for each country what every relation gives it; where a relation is missing nothing is
    known. `ranks` holds the same for figures, from 1."""

    values: Mapping[str, Mapping[str, str]]
    ranks: Mapping[str, Mapping[str, int]]

    @property
    def countries(self) -> tuple[str, ...]:
        return tuple(self.values)

    def told(self, country: str, relation: str) -> str:
        """What the book says for a relation; empty where it says nothing."""
        rank = self.ranks[country].get(relation)
        return f"rank {rank}" if rank else self.values[country].get(relation, "")

    def passages(self, arrangement: Arrangement) -> list[Passage]:
        """All pages under an arrangement; those of a section in which nothing is told say so."""
        pages = []
        for country in self.countries:
            for section in SECTIONS:
                told = [
                    f"{relation}: {self.told(country, relation)}"
                    for relation in sorted(arrangement)
                    if arrangement[relation] == section and self.told(country, relation)
                ]
                pages.append(page(section, country, told))
        return pages


def page(section: str, country: str, told: Sequence[str]) -> Passage:
    """The page of a country's section; `told` are facts such as "area: rank 3"."""
    title = page_title(section, country)
    # Named twice, a country's own page comes before one that tells of it as another's customer.
    return Passage(title, f'"{title}"\n{country}. {"; ".join(told) or "nothing"}')


def page_title(section: str, country: str) -> str:
    return f"{section} of {country}"


@lru_cache(maxsize=4)
def open_book(settings: AlmanacSettings) -> Book:
    """The book.

    Raises:
        EnvError: the packages with the facts are not installed.
        ConfigError: there are not so many countries.
    """
    figures = RELATIONS[COMPARE]
    usable = [
        country
        for country in read_sources()[0]
        if country.name.isalpha() and set(figures) <= set(country.values)
    ]
    if len(usable) < settings.countries:
        raise ConfigError(f"almanac: countries={settings.countries}, but only {len(usable)} can be told of")
    chosen = sorted(usable, key=lambda country: _figure(country, "population"), reverse=True)
    chosen = sorted(chosen[: settings.countries], key=lambda country: country.name)
    words = [relation for names in RELATIONS.values() for relation in names if relation not in figures]
    values = {
        country.name: {name: country.values[name].text for name in words if name in country.values}
        for country in chosen
    }
    ranks: dict[str, dict[str, int]] = {country.name: {} for country in chosen}
    for relation in figures:
        ordered = sorted(chosen, key=lambda country: (-_figure(country, relation), country.name))
        for rank, country in enumerate(ordered, 1):
            ranks[country.name][relation] = rank
    return Book(values, ranks)


def _figure(country: Country, relation: str) -> float:
    number = country.values[relation].number
    assert number is not None, f"{relation} of {country.name} is no figure"
    return number


def true_arrangement() -> dict[str, str]:
    """The sections in which the CIA World Factbook tells these relations, in alphabetical order."""
    topics = {relation.name: relation.topic.partition(" of ")[0] for relation in COUNTRY_RELATIONS}
    asked = sorted(relation for names in RELATIONS.values() for relation in names)
    return {name: _TOPICS.get(topics[name], topics[name].lower()) for name in asked}


def sample_arrangement(seed: int) -> dict[str, str]:
    """An arrangement from a seed: each relation in one of the sections, all equally likely."""
    draw = random.Random(f"arrangement {seed}")
    return {relation: draw.choice(SECTIONS) for relation in true_arrangement()}
