"""A tiny world for tests of the trainer; light, so that environment processes start quickly.

Every task has a word, "red" for warm tasks and "blue" for cold ones; saying it wins. Skill files tell the
words.
"""

from __future__ import annotations

from skill0.envs import Observation, StepResult, Task
from skill0.skills import Skill, SkillBank, SkillFile

WORDS = {"warm": "red", "cold": "blue"}


def make_tasks(count: int, name: str = "task") -> list[Task]:
    kinds = list(WORDS)
    return [
        Task(f"{name}-{number}", "colours", kinds[number % 2], f"say the {kinds[number % 2]} word.", number)
        for number in range(count)
    ]


def make_bank() -> SkillBank:
    return SkillBank(
        tuple(
            SkillFile(
                kind, f"the {kind} word", (Skill("word", f"say {word}.", "", f"{kind}: {word}"),), (kind,)
            )
            for kind, word in WORDS.items()
        )
    )


class Colours:
    """The world as a `TextEnv`: `TRIES` tries. Tasks whose id says "cursed" cannot be reset."""

    TRIES = 1

    def reset(self, task: Task) -> Observation:
        if "cursed" in task.id:
            raise OSError("this task is cursed")
        self.task, self.tries = task, 0
        return Observation("a colour?", task.instruction, tuple(WORDS.values()))

    def step(self, action: str) -> StepResult:
        self.tries += 1
        won = action == WORDS[self.task.task_type]
        observation = Observation("yes." if won else "no.", self.task.instruction, tuple(WORDS.values()))
        return StepResult(observation, float(won), won, not won and self.tries >= self.TRIES, {"won": won})

    def close(self) -> None:
        pass


class AlwaysRed(Colours):
    """One word for all tasks: a policy has to learn a preference, and nothing about tasks."""

    def step(self, action: str) -> StepResult:
        won = action == "red"
        return StepResult(Observation("", "", None), float(won), won, not won, {"won": won})


class PatientColours(Colours):
    """Three tries: winners have one to three turns, losers three."""

    TRIES = 3


class UnevenColours(Colours):
    """Episodes of warm tasks end after one turn, those of cold ones after 12; the last word decides."""

    def step(self, action: str) -> StepResult:
        self.tries += 1
        over = self.tries >= (1 if self.task.task_type == "warm" else 12)
        won = over and action == WORDS[self.task.task_type]
        observation = Observation("yes." if won else "no.", self.task.instruction, tuple(WORDS.values()))
        return StepResult(observation, float(won), won, over and not won, {"won": won})
