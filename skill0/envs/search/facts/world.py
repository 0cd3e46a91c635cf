"""The world of facts: its passages, its questions, and their three splits.

Splits share no question. A part of the countries is asked about in the held-out split alone: its questions
have a source of their own, so that a report tells what was learnt about questions from what was learnt
about countries. All passages are there to be found in every split. The same settings and package versions
give the same world.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from skill0.envs.search.facts.asking import Asked, ask
from skill0.envs.search.facts.passages import ABOUT, Fact, details_of, facts_of, passages_of
from skill0.envs.search.facts.sources import City, Country, read_sources
from skill0.envs.search.questions import TASK_TYPES, Question
from skill0.errors import ConfigError
from skill0.retrieval import Passage

FAMILIAR, NEW = "facts", "facts_new_countries"
"""Sources of questions: about countries that training asks about, and about those that only the held-out
split asks about."""


@dataclass(frozen=True)
class FactsSettings:
    """How large the world is.

    Args:
        countries (`int`, *optional*):
            The most populous countries, so many; all of them (195) when not given.
        cities_per_country (`int`, *optional*, defaults to `5`):
            The largest cities of each country.
        comparisons (`int`, *optional*, defaults to `500`):
            Questions for each way of comparing.
        details (`bool`, *optional*, defaults to `True`):
            Whether passages tell more than is asked about; without, they are one to four short sentences.
        new_countries (`float`, *optional*, defaults to `0.2`):
            Share of the countries that only the held-out split asks about.
        seed (`int`, *optional*, defaults to `0`):
            Of phrasings, comparisons and splits. The passages do not depend on it.

    Raises:
        ConfigError: a value out of range.
    """

    countries: int | None = None
    cities_per_country: int = 5
    comparisons: int = 500
    details: bool = True
    new_countries: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.countries is not None and self.countries < 2:
            raise ConfigError(f"countries must be at least 2, or nothing for all; got {self.countries}")
        for name in ("cities_per_country", "comparisons"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more; got {getattr(self, name)}")
        if not 0 <= self.new_countries < 1:
            raise ConfigError(f"new_countries must be a share from 0 to below 1; got {self.new_countries}")


@dataclass(frozen=True)
class FactsWorld:
    """What `build_facts` makes. `new_countries` are those that only the held-out split asks about."""

    settings: FactsSettings
    passages: tuple[Passage, ...]
    facts: tuple[Fact, ...]
    asked: tuple[Asked, ...]
    new_countries: frozenset[str]

    def split(self, train: int, validation: int, heldout: int) -> tuple[list[Question], ...]:
        """Three lists of questions, the task types in turn. Half of the held-out ones, if there are new
        countries, are about those.

        Raises:
            ConfigError: there are fewer questions than asked for.
        """
        draw = random.Random(f"splits {self.settings.seed}")
        familiar, new = _piles(self.asked, self.new_countries, draw)
        about_new = heldout // 2 if self.new_countries else 0
        counts = {"train": train, "validation": validation, "heldout": heldout - about_new}
        splits = {name: _take(familiar, count, name) for name, count in counts.items()}
        splits["heldout"] += _take(new, about_new, "heldout, about new countries")
        return tuple(
            [_question(asked, name, number, self.new_countries) for number, asked in enumerate(members)]
            for name, members in splits.items()
        )

    @property
    def digest(self) -> str:
        """sha256 over the passages."""
        lines = (f"{passage.id}\0{passage.contents}\0" for passage in self.passages)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def build_facts(settings: FactsSettings | None = None) -> FactsWorld:
    """Make the world.

    Raises:
        EnvError: the packages with the facts are not installed.
    """
    settings = settings or FactsSettings()
    countries, cities = _chosen(settings)
    facts = facts_of(countries, cities)
    asked = ask(facts, settings.seed, settings.comparisons)
    draw = random.Random(f"countries {settings.seed}")
    names = [country.name for country in countries]
    new = frozenset(draw.sample(names, round(settings.new_countries * len(names))))
    passages = passages_of(facts, details_of(countries) if settings.details else {})
    return FactsWorld(settings, tuple(passages), tuple(facts), tuple(asked), new)


def write_facts(world: FactsWorld, folder: Path, splits: Sequence[Sequence[Question]]) -> None:
    """Write the corpus in the form of wiki-18, the questions, and `world.json`: settings and licences."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "corpus.jsonl", (vars(passage) for passage in world.passages))
    for name, questions in zip(("train", "validation", "heldout"), splits, strict=True):
        rows = ({**_row(question), "data_source": question.source} for question in questions)
        _write_lines(folder / f"{name}.jsonl", rows)
    about = {"about": ABOUT.text, "settings": asdict(world.settings), "passages_sha256": world.digest}
    (folder / "world.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _chosen(settings: FactsSettings) -> tuple[list[Country], list[City]]:
    countries, cities = read_sources()

    def people(country: Country) -> float:
        return (country.values["population"].number or 0.0) if "population" in country.values else 0.0

    largest = sorted(countries, key=people, reverse=True)[: settings.countries]
    kept = sorted(largest, key=lambda country: country.name)
    left = {country.name: settings.cities_per_country for country in kept}
    chosen = []
    for city in cities:
        if left.get(city.country, 0):
            left[city.country] -= 1
            chosen.append(city)
    return kept, chosen


def _piles(
    asked: Sequence[Asked], new_countries: frozenset[str], draw: random.Random
) -> tuple[dict[str, list[Asked]], dict[str, list[Asked]]]:
    """Shuffled questions by task type: about familiar countries alone, and about a new one at least."""
    familiar: dict[str, list[Asked]] = {kind: [] for kind in TASK_TYPES}
    new: dict[str, list[Asked]] = {kind: [] for kind in TASK_TYPES}
    for question in asked:
        pile = new if new_countries.intersection(question.countries) else familiar
        pile[question.task_type].append(question)
    for kind in TASK_TYPES:
        draw.shuffle(familiar[kind])
        draw.shuffle(new[kind])
    return familiar, new


def _take(piles: dict[str, list[Asked]], count: int, name: str) -> list[Asked]:
    """`count` questions off the piles, the task types in turn as long as each has some left."""
    have = sum(map(len, piles.values()))
    if have < count:
        raise ConfigError(
            f"the world of facts has {have} questions left for the split {name!r}, which asks for {count}: "
            "take more countries, cities_per_country or comparisons"
        )
    taken: list[Asked] = []
    while len(taken) < count:
        for kind in TASK_TYPES:
            if piles[kind] and len(taken) < count:
                taken.append(piles[kind].pop())
    return taken


def _question(asked: Asked, split: str, number: int, new_countries: frozenset[str]) -> Question:
    return Question(
        id=f"{split}_{number}",
        question=asked.question,
        answers=asked.answers,
        source=NEW if new_countries.intersection(asked.countries) else FAMILIAR,
        task_type=asked.task_type,
        supporting=tuple(fact.title for fact in asked.facts),
        evidence=tuple(fact.sentence for fact in asked.facts),
        queries=asked.queries,
    )


def _row(question: Question) -> dict[str, object]:
    return {
        "id": question.id,
        "question": question.question,
        "golden_answers": list(question.answers),
        "task_type": question.task_type,
        "metadata": {
            "supporting_facts": {"title": list(question.supporting)},
            "evidence": list(question.evidence),
            "queries": list(question.queries),
        },
    }


def _write_lines(path: Path, rows) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
