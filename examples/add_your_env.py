"""An environment of your own in forty lines, checked, played by a scripted agent and evaluated.

    python examples/add_your_env.py

To train in it, pass the factory to the trainer:
`Skill0Trainer(model=..., env=LockEnv, tasks=TASKS, skills="path/to/your/skills", args=...)`.
"""

from rich.console import Console

from skill0 import AgentLoop, AgentSettings, EnvPool, Skill, SkillFile, check_env, evaluate
from skill0.agent import Sampling, ScriptedPolicy
from skill0.envs import Observation, StepResult, Task

COLOURS = ("red", "green", "blue")
TASKS = [Task(f"lock-{colour}", "lock", "open_lock", "open the lock", colour) for colour in COLOURS]


class LockEnv:
    """A lock with one right button. Nothing in the room tells which; a skill might."""

    def reset(self, task: Task) -> Observation:
        self.task, self.presses = task, 0
        return self._observation("You see a lock with three buttons.")

    def step(self, action: str) -> StepResult:
        self.presses += 1
        won = action == f"press {self.task.payload}"
        text = "The lock opens." if won else "Nothing happens."
        return StepResult(
            self._observation(text), float(won), won, not won and self.presses >= 2, {"won": won}
        )

    def close(self) -> None:
        pass

    def _observation(self, text: str) -> Observation:
        return Observation(text, self.task.instruction, tuple(f"press {colour}" for colour in COLOURS))


def reader(prompt) -> str:
    """An agent that does what the skill in context says, and presses red without one."""
    skills = prompt.state.skills
    colour = skills[0].skills[0].principle.split()[-1].rstrip(".") if skills else "red"
    return f"<think>{colour}</think><action>press {colour}</action>"


def key(task: Task) -> tuple[SkillFile, ...]:
    return (SkillFile("locks", "Locks", (Skill("Which button", f"Press {task.payload}."),), ("open_lock",)),)


if __name__ == "__main__":
    print(check_env(LockEnv, TASKS))
    with EnvPool(LockEnv) as pool:
        loop = AgentLoop(ScriptedPolicy(reader), pool, AgentSettings(max_steps=2))
        arms = {"without skills": lambda task: (), "with skills": key}
        report = evaluate(loop, TASKS, arms, sampling=Sampling(temperature=0.0), seed=0)
    Console().print(report.table())
