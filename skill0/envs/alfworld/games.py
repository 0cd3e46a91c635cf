"""A game of the ALFWorld text engine, wherever it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skill0.envs.base import Task

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)


@dataclass(frozen=True)
class Game:
    """One game. `domain` (PDDL) and `grammar` (template, "UNKNOWN GOAL." stands for the instruction)
    are shared by all games of a store; `walkthrough` is a plan that wins. `convention` tells, for a
    generated household, the receptacle type where each object type is usually kept.
    """

    id: str
    split: str
    task_type: str
    instruction: str
    problem: str
    walkthrough: tuple[str, ...]
    domain: str
    grammar: str
    convention: Mapping[str, str] = field(default_factory=dict, compare=False)

    def as_task(self) -> Task:
        return Task(self.id, "alfworld", self.task_type, self.instruction, self)
