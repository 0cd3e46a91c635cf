"""A tiny world for tests of the agent loop: a key lies in one of three boxes.

A task's payload is the number of the box that holds the key. Opening that box wins; any other command does
nothing. The instruction does not tell the number, a skill file may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from skill0.envs.base import EnvFailure, Observation, StepResult, Task, TextEnv
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


class LocalPool:
    """Environments of this process, one per episode; anything that an environment raises is a failure."""

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        self.make_env = make_env
        self.steps = 0

    def reset(self, tasks: Sequence[Task]) -> list[Observation | EnvFailure]:
        self.envs = [self.make_env() for _ in tasks]
        return [self._guarded(env.reset, task) for env, task in zip(self.envs, tasks, strict=True)]

    def step(self, actions: Mapping[int, str]) -> dict[int, StepResult | EnvFailure]:
        self.steps += len(actions)
        return {number: self._guarded(self.envs[number].step, action) for number, action in actions.items()}

    @staticmethod
    def _guarded(call, argument):
        try:
            return call(argument)
        except Exception as error:
            return EnvFailure("raised", str(error))
