"""Equal episodes: how many rounds an arm may play so that training and validation together keep to a budget.

The number of rounds has to be known before a run, because the curriculum's stages divide it. So validation is
counted in advance, on a curriculum whose files all keep helping: the most that the arm can need. An arm whose
files are withdrawn early validates less and ends below the budget; what was really played is counted from the
logs afterwards (`finished.py`). Probes and the evaluations before and after are the study's own and count
nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skill0.curriculum import Curriculum, Helpfulness
from skill0.envs.base import Task
from skill0.errors import ConfigError
from skill0.evaluation.measuring import sub_task
from skill0.skills import Grouping, SkillBank, skills_in_context

MakeCurriculum = Callable[[int], Curriculum]
"""From the number of training steps to the arm's curriculum."""

Cost = Callable[[Sequence[str]], int]
"""From the active files to the episodes of one validation."""


@dataclass(frozen=True)
class Plan:
    """What an arm will play: rounds of rollouts, optimizer steps, and episodes of both kinds."""

    rounds: int
    steps: int
    training: int
    validation: int

    @property
    def episodes(self) -> int:
        return self.training + self.validation


def plan(make: MakeCurriculum, cost: Cost, *, rounds: int, round_size: int, steps_per_round: int) -> Plan:
    """What so many rounds of `round_size` episodes cost with all validations between them."""
    steps = rounds * steps_per_round
    validation = sum(cost(active) for active in validations(make(steps), rounds, steps_per_round))
    return Plan(rounds, steps, rounds * round_size, validation)


def most_rounds(
    make: MakeCurriculum, cost: Cost, *, budget: int, round_size: int, steps_per_round: int
) -> Plan:
    """The longest plan that keeps to a budget of episodes.

    Raises:
        ConfigError: not one round fits, or not even a step for every stage.
    """
    for rounds in range(budget // round_size, 0, -1):
        found = plan(make, cost, rounds=rounds, round_size=round_size, steps_per_round=steps_per_round)
        if found.episodes <= budget:
            return found
    raise ConfigError(f"a budget of {budget} episodes has no room for a round of {round_size}: give more")


def validations(curriculum: Curriculum, rounds: int, steps_per_round: int) -> list[tuple[str, ...]]:
    """The files that are active at each validation, when every file always helps alike.

    As in the trainer, a validation that falls due inside a round is played at the start of the next.
    """
    found = []
    for step in range(0, rounds * steps_per_round, steps_per_round):
        if not any(curriculum.due(due) for due in range(max(0, step - steps_per_round + 1), step + 1)):
            continue
        measured = {}
        if curriculum.needs_helpfulness(step):
            found.append(curriculum.active)
            # So many tasks that a selection which asks for confidence is sure as well.
            measured = {name: Helpfulness(name, 1.0, 0.0, 1.0, tasks=1000) for name in curriculum.active}
        curriculum.update(step, measured)
    return found


def validation_cost(
    tasks: Sequence[Task], bank: SkillBank, grouping: Grouping, *, form: str, scope: str
) -> Cost:
    """How many episodes `measure_helpfulness` plays: each task once with the active files, and once without
    (or, in the marginal form, without each file that serves it); equal episodes are played once."""

    def cost(active: Sequence[str]) -> int:
        def shown(task: Task, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
            files = skills_in_context(bank, grouping, names, task.task_type, scope)  # type: ignore[arg-type]
            return task.id, tuple(file.name for file in files)

        episodes = {shown(task, active) for task in tasks}
        if form == "set":
            return len(episodes | {(task.id, ()) for task in tasks})
        for name in active:
            others = [other for other in active if other != name]
            episodes |= {shown(task, others) for task in sub_task(tasks, grouping, name)}
        return len(episodes)

    return cost
