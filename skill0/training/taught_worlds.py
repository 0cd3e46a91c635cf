"""Kinds of worlds whose conventions skill files tell, as the warm-up and the reading check need to know them.

In generated households a convention says where things are kept, or what words mean; in the almanac it is the
arrangement, which section tells what. A game of such a world has its own (`game.convention`), and the skill
files made from it are the only place where a policy can read it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from skill0.envs.alfworld.rooms import HouseholdSettings
from skill0.envs.search.almanac.book import AlmanacSettings
from skill0.errors import ConfigError
from skill0.training.searching_expert import facts_of

if TYPE_CHECKING:
    from skill0.agent.policy import EpisodeState
    from skill0.agent.settings import AgentSettings
    from skill0.envs.base import Task
    from skill0.skills.skill import SkillFile
    from skill0.training.almanac_lessons import AlmanacRenaming
    from skill0.training.lessons import LessonWriter
    from skill0.training.recipe import EnvironmentSection
    from skill0.training.searching_expert import Choice


class TaughtGame(Protocol):
    """A task with a convention of its own."""

    @property
    def id(self) -> str: ...

    @property
    def task_type(self) -> str: ...

    @property
    def convention(self) -> Mapping[str, str]: ...

    def as_task(self) -> Task: ...


class Expert(Protocol):
    """Plays by what the skill files in context tell, and searches blindly for the rest."""

    def choose(self, state: EpisodeState, seed: int) -> Choice: ...

    def generate(self, inputs: Any, sampling: Any) -> list[Any]: ...

    def detours(self, state: EpisodeState) -> list[str]:
        """Actions that a detour may be: none where one would lose what was found."""
        ...


class TaughtWorld(Protocol):
    """One kind of world."""

    def games(self, count: int, seed: int, *, split: str) -> list[Any]:
        """Games with a convention each."""
        ...

    def only(self, task_types: tuple[str, ...]) -> TaughtWorld:
        """The same world with games of these task types alone."""
        ...

    def skills(self, game: Any) -> tuple[SkillFile, ...]:
        """The skill files that tell a game's convention to its task.

        Raises:
            ConfigError: the game has no convention.
        """
        ...

    def page(self, draw: random.Random) -> tuple[SkillFile, ...]:
        """The skill files of some task, under a convention of their own."""
        ...

    def possible_facts(self) -> list[tuple[str, str]]:
        """Facts in which every key and every value occurs that skill files can state."""
        ...

    def names(self) -> tuple[str, ...]:
        """What is to be one token wherever it stands, beside numbered names."""
        ...

    def wrong(self, game: Any) -> dict[str, str]:
        """The game's convention with everything else than it is, by the game's id."""
        ...

    def expert(self) -> Expert: ...

    def writer(self, processor: Any, encoder: Any, agent: AgentSettings) -> LessonWriter: ...

    def renaming(self, tokenizer: Any) -> AlmanacRenaming | None:
        """Tells lessons with other names, where names are many and each is rare."""
        ...


def files_for(bank: Any, task_type: str) -> tuple[SkillFile, ...]:
    return tuple(file for file in bank if file.declares(task_type))


@dataclass(frozen=True)
class HouseholdWorld:
    """Generated households of facts or of procedure."""

    settings: HouseholdSettings = field(default_factory=HouseholdSettings)

    def games(self, count: int, seed: int, *, split: str) -> list[Any]:
        from skill0.envs.alfworld import generate_games

        return generate_games(count, seed, self.settings, None, split=split)

    def only(self, task_types: tuple[str, ...]) -> HouseholdWorld:
        return HouseholdWorld(replace(self.settings, task_types=task_types))

    def skills(self, game: TaughtGame) -> tuple[SkillFile, ...]:
        if not game.convention:
            raise ConfigError(f"game {game.id!r} has no convention: only generated households have one")
        return files_for(self._bank(game.convention), game.task_type)

    def page(self, draw: random.Random) -> tuple[SkillFile, ...]:
        from skill0.envs.alfworld.conventions import sample_convention, targets

        convention = sample_convention(draw.getrandbits(32), self.settings)
        return files_for(self._bank(convention), draw.choice(sorted(targets(self.settings))))

    def possible_facts(self) -> list[tuple[str, str]]:
        from skill0.envs.alfworld.conventions import sample_convention
        from skill0.envs.alfworld.rooms import rooms

        stated = facts_of(self._bank(sample_convention(0, self.settings)))
        places = sorted({place for room in rooms(self.settings.size) for place in room.kept})
        return [*stated.items(), *(("first", place) for place in places)]

    def names(self) -> tuple[str, ...]:
        return ()

    def wrong(self, game: TaughtGame) -> dict[str, str]:
        """A thing that can be kept in one place only stays there."""
        from skill0.envs.alfworld.procedures import sample_procedure
        from skill0.envs.alfworld.rooms import rooms

        draw = random.Random(f"wrong convention {game.id}")
        if self.settings.kind == "procedure":
            while True:  # one in some hundreds differs in all words
                other = sample_procedure(draw.randrange(2**31))
                if all(other[word] != meaning for word, meaning in game.convention.items()):
                    return other
        wrong = {}
        for kind, place in sorted(game.convention.items()):
            others = {other for room in rooms(self.settings.size) for other in room.places_for(kind)} - {
                place
            }
            wrong[kind] = draw.choice(sorted(others)) if others else place
        return wrong

    def expert(self) -> Expert:
        from skill0.training.procedure_expert import expert_for

        return expert_for(self.settings)

    def writer(self, processor: Any, encoder: Any, agent: AgentSettings) -> LessonWriter:
        from skill0.training.lessons import LessonWriter

        return LessonWriter(processor, encoder, agent)

    def renaming(self, tokenizer: Any) -> None:
        return None

    def _bank(self, convention: Mapping[str, str]) -> Any:
        from skill0.envs.alfworld.conventions import targets
        from skill0.skills.conventions import bank_from_convention

        return bank_from_convention(convention, targets(self.settings))


HOUSEHOLDS = HouseholdWorld()
"""Small households of facts."""


@dataclass(frozen=True)
class AlmanacWorld:
    """The almanac, whose arrangement is what skill files tell."""

    settings: AlmanacSettings = field(default_factory=AlmanacSettings)

    def games(self, count: int, seed: int, *, split: str) -> list[Any]:
        from skill0.envs.search.almanac.questions import sample_games

        return sample_games(count, seed, self.settings, split=split)

    def only(self, task_types: tuple[str, ...]) -> AlmanacWorld:
        raise ConfigError("warmup.task_types: the almanac is demonstrated whole; leave the key out")

    def skills(self, game: TaughtGame) -> tuple[SkillFile, ...]:
        return files_for(self._bank(game.convention), game.task_type)

    def page(self, draw: random.Random) -> tuple[SkillFile, ...]:
        from skill0.envs.search.almanac.book import sample_arrangement
        from skill0.envs.search.questions import TASK_TYPES

        arrangement = sample_arrangement(draw.getrandbits(32))
        return files_for(self._bank(arrangement), draw.choice(TASK_TYPES))

    def possible_facts(self) -> list[tuple[str, str]]:
        from skill0.envs.search.almanac.book import SECTIONS, true_arrangement

        relations = [(relation, section) for relation in true_arrangement() for section in SECTIONS]
        return [*facts_of(self._bank(true_arrangement())).items(), *relations]

    def names(self) -> tuple[str, ...]:
        from skill0.envs.search.almanac.book import SECTIONS, open_book, true_arrangement

        book, values = open_book(self.settings), self._values()
        tags = [f"<{slash}{name}>" for name in ("search", "answer", "information") for slash in ("", "/")]
        return tuple(sorted({*SECTIONS, *true_arrangement(), *book.countries, *values, *tags}))

    def wrong(self, game: TaughtGame) -> dict[str, str]:
        from skill0.envs.search.almanac.book import SECTIONS

        draw = random.Random(f"wrong arrangement {game.id}")
        return {
            relation: draw.choice([name for name in SECTIONS if name != section])
            for relation, section in sorted(game.convention.items())
        }

    def expert(self) -> Expert:
        from skill0.training.almanac_expert import AlmanacExpert

        return AlmanacExpert()

    def writer(self, processor: Any, encoder: Any, agent: AgentSettings) -> LessonWriter:
        from skill0.envs.search.almanac.book import open_book, true_arrangement
        from skill0.training.almanac_lessons import AlmanacLessonWriter

        relations = tuple(true_arrangement())
        return AlmanacLessonWriter(
            processor,
            encoder,
            agent,
            self.names(),
            relations,
            self._values(),
            open_book(self.settings).countries,
        )

    def renaming(self, tokenizer: Any) -> AlmanacRenaming:
        from skill0.envs.search.almanac.book import open_book
        from skill0.training.almanac_lessons import AlmanacRenaming

        return AlmanacRenaming(tokenizer, open_book(self.settings).countries, self._values())

    def _values(self) -> list[str]:
        from skill0.envs.search.almanac.book import open_book

        book = open_book(self.settings)
        return sorted({value for country in book.countries for value in book.values[country].values()})

    def _bank(self, arrangement: Mapping[str, str]) -> Any:
        from skill0.envs.search.almanac.book import RELATIONS
        from skill0.skills.arrangements import bank_from_arrangement

        return bank_from_arrangement(arrangement, RELATIONS)


def taught_world(environment: EnvironmentSection) -> TaughtWorld | None:
    """The world of a recipe, None for official games and for questions to search for."""
    if environment.almanac is not None:
        return AlmanacWorld(environment.almanac)
    if environment.games is None and environment.search is None:
        return HouseholdWorld(environment.households)
    return None


def with_convention(game: Any, convention: Mapping[str, str]) -> Any:
    """The same game, as if it had another convention: what skill files of it tell is then not so."""
    return replace(game, convention=dict(convention))
