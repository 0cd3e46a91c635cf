"""A game of the ALFWorld text engine, wherever it came from."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from skill0.envs.base import Task
from skill0.errors import GameError

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""The six task types of the official games, and of households whose skills are facts."""

PROCEDURE_FAMILIES = ("party", "parlour", "garden", "study")
PROCEDURE_FORMS = ("one_word", "two_words", "last_word")

PROCEDURE_TASK_TYPES = tuple(f"{family}_{form}" for form in PROCEDURE_FORMS for family in PROCEDURE_FAMILIES)
"""The task types of households whose skills are procedure (`procedures`): a family of words that one skill
file explains, and how many of them a task uses: one, two, or two of which the last undoes the first."""

# Stands for the instruction in a grammar template.
PLACEHOLDER = "UNKNOWN GOAL."
TASK_SENTENCE = "Your task is to: "


@dataclass(frozen=True)
class Game:
    """One game. `domain` (PDDL) and `grammar` (template, "UNKNOWN GOAL." stands for the instruction)
    are shared by all games of a store; `walkthrough` is a plan that wins. `convention` tells, for a
    generated household, the receptacle type where each object type is usually kept, or which receptacle type
    each of its own words stands for.
    """

    id: str
    split: str
    task_type: str
    instruction: str
    problem: str = field(repr=False)
    walkthrough: tuple[str, ...]
    domain: str = field(repr=False)
    grammar: str = field(repr=False)
    convention: Mapping[str, str] = field(default_factory=dict, compare=False)

    def as_task(self) -> Task:
        return Task(self.id, "alfworld", self.task_type, self.instruction, self)

    def engine_data(self) -> dict[str, Any]:
        """The object that an official `game.tw-pddl` file holds; the engine's `load` accepts it."""
        return {
            "pddl_domain": self.domain,
            "grammar": self.grammar.replace(PLACEHOLDER, self.instruction),
            "pddl_problem": self.problem,
            "solvable": True,
            "walkthrough": list(self.walkthrough),
        }

    @property
    def sha256(self) -> str:
        """Of the game's `game.tw-pddl` file, byte for byte."""
        return hashlib.sha256(json.dumps(self.engine_data()).encode("utf-8")).hexdigest()


class _CompressedText:
    """Keeps one text attribute zlib-compressed: an official problem has 20-100 KB, a tenth of that
    compressed, and the train split has 3553 of them in every process that holds its tasks."""

    def __init__(self, name: str):
        self._slot = f"_{name}_zlib"

    def __get__(self, instance: Any, owner: type) -> str:
        return zlib.decompress(instance.__dict__[self._slot]).decode("utf-8")

    def __set__(self, instance: Any, text: str) -> None:
        instance.__dict__[self._slot] = zlib.compress(text.encode("utf-8"), 1)


# Set after the dataclass is made, so that `problem` stays an ordinary field of its constructor.
Game.problem = _CompressedText("problem")  # type: ignore[assignment]


def split_grammar(grammar: str) -> tuple[str, str]:
    """A game file's grammar as (template, instruction); `Game.engine_data` joins them again.

    Raises:
        GameError: the grammar does not have exactly one task sentence.
    """
    before, sentence, rest = grammar.partition(TASK_SENTENCE)
    instruction, quote, after = rest.partition('"')
    if not instruction or not quote or TASK_SENTENCE in after or "\\" in instruction:
        raise GameError(
            f'the grammar has no single rule "{TASK_SENTENCE}..."; this is not an ALFWorld game file'
        )
    return f"{before}{sentence}{PLACEHOLDER}{quote}{after}", instruction


def tasks_from(games: Iterable[Game]) -> list[Task]:
    """One task a game, in the same order."""
    return [game.as_task() for game in games]


def sample_games(games: Iterable[Game], count: int, seed: int) -> list[Game]:
    """`count` different games, the same ones for the same seed whatever the order of `games`.

    Raises:
        GameError: there are fewer games than asked for.
    """
    ordered = sorted(games, key=lambda game: game.id)
    if count > len(ordered):
        raise GameError(f"{count} games were asked for, but there are only {len(ordered)}")
    return Random(seed).sample(ordered, count)
