"""A tiny world for tests of evaluation: every task has a secret word, and saying it wins.

The skill file of a task type tells the words of its tasks. `knowing` is a policy that says the word if it can
read it on the page, and for the tasks it already knows; so every Delta_k can be worked out by counting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from skill0.agent import PolicyInput, ScriptedPolicy
from skill0.envs import Observation, StepResult, Task
from skill0.skills import Grouping, Skill, SkillBank, SkillFile, group_by_relevance

WORDS = {"heat": ("ash", "blaze", "coal", "ember"), "cool": ("frost", "glacier", "hail", "ice")}
TASKS = tuple(
    Task(f"{kind}-{word}", "words", kind, f"say the {kind} word.", word)
    for kind, words in WORDS.items()
    for word in words
)


def words_file(kind: str) -> SkillFile:
    skills = tuple(Skill(f"Word {word}", f"{kind}-{word} is won by {word}.") for word in WORDS[kind])
    return SkillFile(kind, f"Words for {kind}", skills, task_types=(kind,), sha256=f"digest of {kind}")


GENERAL = SkillFile("general", "Advice", (Skill("Speak up", "Say the word."),), task_types=("*",), sha256="g")
BANK = SkillBank((GENERAL, words_file("heat"), words_file("cool")))


def grouping() -> Grouping:
    return group_by_relevance(BANK, TASKS)


class Words:
    """The world as a `TextEnv`: two tries, then the episode is truncated. "cursed" tasks cannot be reset."""

    def reset(self, task: Task) -> Observation:
        if "cursed" in task.id:
            raise OSError("this task is cursed")
        self.word, self.instruction, self.tries = task.payload, task.instruction, 0
        return Observation("Say it.", self.instruction)

    def step(self, action: str) -> StepResult:
        self.tries += 1
        won = action == self.word
        observation = Observation("Yes!" if won else "No.", self.instruction)
        return StepResult(observation, float(won), won, not won and self.tries == 2, {"won": won})

    def close(self) -> None:
        pass


def say(word: str) -> str:
    return f"<think>well</think><action>{word}</action>"


def knowing(known: Collection[str] = ()) -> ScriptedPolicy:
    """Says the word of tasks whose id is `known` or whose word stands on the page, else "nothing"."""

    def function(item: PolicyInput) -> str:
        assert item.state is not None
        assert item.page is not None
        task = item.state.task
        told = f"{task.id} is won by {task.payload}." in item.page.text()
        return say(task.payload if told or task.id in known else "nothing")

    return ScriptedPolicy(function)


def guessing() -> ScriptedPolicy:
    """Draws one of four words from the seed of the input: wins by luck, whatever it is shown."""
    return ScriptedPolicy(_guess)


def _guess(item: PolicyInput) -> str:
    if item.state is None:
        return ""
    return say(random.Random(item.seed).choice(WORDS[item.state.task.task_type]))


ShownTo = Callable[[Task], tuple[SkillFile, ...]]


def own_file(task: Task) -> tuple[SkillFile, ...]:
    return (BANK[task.task_type],)


def nothing(task: Task) -> tuple[SkillFile, ...]:
    return ()
