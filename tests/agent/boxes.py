"""A tiny world for tests of the agent loop: a key lies in one of three boxes.

A task's payload is the number of the box that holds the key. Opening that box wins; any other command does
nothing. The instruction does not tell the number, a skill file may.
"""

from __future__ import annotations

from skill0.envs import Observation, StepResult, Task
from skill0.skills.skill import Skill, SkillFile

COMMANDS = ("open box 1", "open box 2", "open box 3")
INSTRUCTION = "find the key."


def task(number: int, name: str = "boxes") -> Task:
    return Task(f"{name}-{number}", "boxes", name, INSTRUCTION, number)


def hint(number: int) -> SkillFile:
    """A skill file that tells which box holds the key."""
    return SkillFile(
        f"hint{number}",
        "Where keys are",
        (Skill("Keys", f"The key is in box {number}.", "", f"key: {number}"),),
    )


class Boxes:
    """The world as a `TextEnv`; `max_steps` commands truncate the episode."""

    def __init__(self, max_steps: int = 5) -> None:
        self.max_steps = max_steps

    def reset(self, task: Task) -> Observation:
        self.key, self.steps = task.payload, 0
        return Observation("You see box 1, box 2, box 3.", task.instruction, COMMANDS)

    def step(self, action: str) -> StepResult:
        self.steps += 1
        won = action == f"open box {self.key}"
        text = "You find the key." if won else "Empty." if action in COMMANDS else "Nothing happens."
        observation = Observation(text, INSTRUCTION, COMMANDS)
        truncated = not won and self.steps >= self.max_steps
        return StepResult(observation, float(won), won, truncated, {"won": won})

    def close(self) -> None:
        pass
