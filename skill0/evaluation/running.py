"""Playing tasks for an evaluation: every task exactly once per arm.

The result depends on the policy, the tasks, the arms, the sampling and the seed, and on nothing else: not on
batch size, number of environment workers, or number of processes. Left out: repeated episodes per task (pass
another seed), and choosing checkpoints. Tests: tests/evaluation/test_evaluate.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from skill0.agent.loop import AgentLoop
from skill0.agent.policy import Sampling
from skill0.agent.trajectory import RolloutGroup
from skill0.envs.base import Task
from skill0.errors import ConfigError
from skill0.evaluation.report import ArmReport, EvaluationReport, TaskOutcome
from skill0.skills.skill import SkillFile

Arm = Callable[[Task], Sequence[SkillFile]]
"""Which skill files a task is shown."""

Progress = bool | Callable[[int, int], None]
"""True shows a progress bar; a function is called with the number of episodes that ended, and of all."""


@dataclass(frozen=True)
class Ranks:
    """How an evaluation is spread over processes that all call it with the same arguments.

    `gather` takes this process's list and returns the lists of all processes, in rank order;
    `live_across_ranks` is that of `AgentLoop.run`.
    """

    rank: int = 0
    world_size: int = 1
    gather: Callable[[list[Any]], list[list[Any]]] | None = None
    live_across_ranks: Callable[[int], int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank={self.rank} must lie between 0 and world_size={self.world_size} - 1")
        if self.world_size > 1 and self.gather is None:
            raise ConfigError(f"an evaluation over world_size={self.world_size} processes needs gather")


@dataclass(frozen=True)
class Episode:
    """One task and the skill files it is shown: all that sets an episode apart within an evaluation."""

    task: Task
    skills: tuple[SkillFile, ...]

    @property
    def key(self) -> tuple[str, tuple[SkillFile, ...]]:
        return self.task.id, self.skills


def evaluate(
    loop: AgentLoop,
    tasks: Sequence[Task],
    arms: Mapping[str, Arm],
    *,
    sampling: Sampling,
    seed: int,
    batch_size: int = 64,
    progress: Progress = False,
    ranks: Ranks | None = None,
) -> EvaluationReport:
    """Plays every task exactly once under every arm.

    Args:
        loop: policy, environments and prompt settings.
        tasks: each with an id of its own.
        arms: name -> the skill files that a task is shown; `lambda task: ()` is the plain arm. Arms are
            paired: same tasks, same random numbers. Where two show a task the same files, one episode is
            played for both.
        sampling: how replies are drawn.
        seed: of all replies.
        batch_size: episodes side by side (on each process).
        progress: see `Progress`.
        ranks: how the episodes are spread over processes; every process returns the whole report.

    Raises:
        ConfigError: no tasks or arms, a task id that occurs twice, or a batch size below 1.
    """
    check_tasks(tasks)
    if not arms:
        raise ConfigError("an evaluation needs at least one arm, such as {'plain': lambda task: ()}")
    wanted = {name: [Episode(task, tuple(files(task))) for task in tasks] for name, files in arms.items()}
    return play_arms(
        loop,
        wanted,
        sampling=sampling,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        ranks=ranks or Ranks(),
    )


def play_arms(
    loop: AgentLoop,
    wanted: Mapping[str, Sequence[Episode]],
    *,
    sampling: Sampling,
    seed: int,
    batch_size: int,
    progress: Progress,
    ranks: Ranks,
) -> EvaluationReport:
    """Plays the episodes that the arms ask for, each once however many arms ask for it, and reports."""
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size} must be at least 1")
    start = time.perf_counter()
    distinct = list({episode.key: episode for episodes in wanted.values() for episode in episodes}.values())
    mine = distinct[ranks.rank :: ranks.world_size]
    most = -(-len(distinct) // ranks.world_size)  # episodes of rank 0, which has the most
    played: list[TaskOutcome] = []
    with _reporting(progress if ranks.rank == 0 else False, len(mine)) as advance:
        for first in range(0, most, batch_size):  # as many runs on every process
            groups = [RolloutGroup(e.task, 1, e.skills) for e in mine[first : first + batch_size]]
            trajectories = loop.run(groups, sampling, seed, ranks.live_across_ranks, advance)
            played += map(TaskOutcome.of, trajectories)
    outcomes = _gathered(distinct, played, ranks)
    return EvaluationReport(
        arms=tuple(
            ArmReport(name, tuple(outcomes[episode.key] for episode in episodes))
            for name, episodes in wanted.items()
        ),
        seed=seed,
        sampling=asdict(sampling),
        skill_digests=_digests(distinct),
        episodes=len(distinct),
        env_steps=sum(outcome.turns for outcome in outcomes.values()),
        seconds=time.perf_counter() - start,
    )


def check_tasks(tasks: Sequence[Task]) -> None:
    """Raises `ConfigError` unless there are tasks, each with an id of its own."""
    if not tasks:
        raise ConfigError("there are no tasks to evaluate")
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise ConfigError(f"the task id {task.id!r} occurs twice; every task is evaluated exactly once")
        seen.add(task.id)


def _gathered(
    distinct: Sequence[Episode], played: list[TaskOutcome], ranks: Ranks
) -> dict[tuple[str, tuple[SkillFile, ...]], TaskOutcome]:
    """The outcome of every episode, from all processes."""
    parts = [played] if ranks.gather is None else ranks.gather(played)
    outcomes = {}
    for rank, part in enumerate(parts):
        for episode, outcome in zip(distinct[rank :: ranks.world_size], part, strict=True):
            outcomes[episode.key] = outcome
    return outcomes


def _digests(episodes: Sequence[Episode]) -> dict[str, tuple[str, ...]]:
    digests: dict[str, set[str]] = {}
    for episode in episodes:
        for file in episode.skills:
            digests.setdefault(file.name, set()).add(file.sha256)
    return {name: tuple(sorted(found)) for name, found in sorted(digests.items())}


@contextmanager
def _reporting(progress: Progress, total: int) -> Iterator[Callable[[int], None] | None]:
    """What the agent loop calls when episodes end: a bar, the caller's function, or nothing."""
    if callable(progress):
        ended = 0

        def count(number: int) -> None:
            nonlocal ended
            ended += number
            progress(ended, total)

        yield count
    elif progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task("evaluating", total=total)
            yield lambda number: bar.advance(line, number)
    else:
        yield None
