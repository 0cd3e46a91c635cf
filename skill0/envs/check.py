"""Does an environment keep the `TextEnv` contract? `check_env` finds out; meant for users' own tests.

    def test_my_env():
        check_env(MyEnv, my_tasks)

It plays random walks, so it finds what such walks come across: it cannot tell whether tasks are solvable.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from skill0.envs.base import Observation, StepResult, Task, TextEnv
from skill0.envs.contract import observation_problem, step_problem
from skill0.errors import EnvError

INADMISSIBLE = (
    "",
    "   ",
    "\n\t",
    "xyzzy",
    "go to nowhere 99",
    "LOOK!",
    "<action>look</action>",
    "Ω 漢字 🂡",
    "\x00\x1b[2J",
    "\ud800",
    "open " * 2000,
)
"""Strings that no environment has as a command: what a language model may well send."""


@dataclass(frozen=True)
class EnvReport:
    """What was checked.

    `ended` counts the walks that reached an end, `won` those that won; `after_end` tells what a step after
    the end does: "raises", "stays over", or "not reached". `refused` counts the admissible commands that were
    answered like a string no environment knows: not a breach, but in most environments a sign of one.
    """

    tasks: int
    task_types: tuple[str, ...]
    steps: int
    ended: int
    won: int
    after_end: str
    refused: int


def check_env(
    make_env: Callable[[], TextEnv],
    tasks: Sequence[Task],
    *,
    act: Callable[[Observation], str] | None = None,
    max_steps: int = 20,
    seed: int = 0,
) -> EnvReport:
    """Check an environment against the contract of `TextEnv`, `EnvPool` and the agent loop.

    Checked: the factory and the tasks can be pickled; `reset` and `step` return what they must; two resets,
    a second walk after other tasks, and another environment all give the same results for the same actions;
    admissible commands are accepted; unknown strings do not raise; a step after the end raises or stays over.

    Args:
        make_env: Makes one environment, as given to `EnvPool`.
        tasks: Some tasks, best of every type. At most a few dozen: each is walked three times.
        act: Chooses an action where `Observation.admissible` is None. Defaults to sending the instruction.
        max_steps: Length of a walk.
        seed: Of the walks.

    Raises:
        EnvError: the first breach found: which task, which step, what is wrong and how to repair it.
    """
    checker = _Checker(act, max_steps, seed)
    restored = checker.check_pickling(make_env, tasks)
    env = checker.make(make_env)
    walks = [checker.walk_first(env, task) for task in tasks]
    for task, walk in zip(tasks, walks, strict=True):
        checker.walk_again(env, task, walk, "in the same environment, after it had played other tasks")
    for task in tasks:
        checker.check_strange_actions(env, task)
    other = checker.make(restored)
    for task, walk in zip(tasks, walks, strict=True):
        checker.walk_again(
            other, task, walk, "in another environment, made by the pickled and restored factory"
        )
    after_end = {checker.step_after_end(env, task, walk) for task, walk in zip(tasks, walks, strict=True)}
    for opened in (env, other):
        checker.close(opened)
    results = [result for walk in walks for result in walk.results]
    return EnvReport(
        tasks=len(tasks),
        task_types=tuple(dict.fromkeys(task.task_type for task in tasks)),
        steps=len(results),
        ended=sum(walk.ended for walk in walks),
        won=sum(result.info.get("won") is True for result in results),
        after_end=" or ".join(sorted(after_end - {"not reached"})) or "not reached",
        refused=sum(result.observation.text in checker.refusals for result in results),
    )


@dataclass(frozen=True)
class _Walk:
    """One episode: the first observation, then an action and its result for each step."""

    start: Observation
    actions: tuple[str, ...]
    results: tuple[StepResult, ...]

    @property
    def ended(self) -> bool:
        return bool(self.results) and (self.results[-1].terminated or self.results[-1].truncated)


class _Checker:
    def __init__(self, act: Callable[[Observation], str] | None, max_steps: int, seed: int) -> None:
        self.act = act
        self.max_steps = max_steps
        self.seed = seed
        self.refusals: set[str] = set()

    def check_pickling(self, make_env: Callable[[], TextEnv], tasks: Sequence[Task]) -> Callable[[], TextEnv]:
        """The factory after a journey through pickle, as a worker process gets it."""
        if not tasks:
            raise EnvError("check_env: there are no tasks to check with. Give at least one.")
        if len({task.id for task in tasks}) < len(tasks):
            raise EnvError("check_env: two tasks have the same id. Results are kept by id: make ids unique.")
        for task in tasks:
            for name in ("id", "env", "task_type", "instruction"):
                if not isinstance(getattr(task, name), str):
                    _breach(task, "Task", f"{name} must be a str, not {getattr(task, name)!r}")
            try:
                pickle.loads(pickle.dumps(task))
            except Exception as error:
                fix = "keep only picklable data in the payload"
                _breach(task, "Task", f"cannot be pickled ({type(error).__name__}: {error})", fix, error)
        try:
            return pickle.loads(pickle.dumps(make_env))
        except Exception as error:
            raise EnvError(
                f"check_env: make_env cannot be pickled, so no worker process can use it ({error}). "
                "Use a function or class defined at the top level of a module."
            ) from error

    def make(self, make_env: Callable[[], TextEnv]) -> TextEnv:
        try:
            env = make_env()
        except Exception as error:
            raise EnvError(f"check_env: make_env() raised {type(error).__name__}: {error}") from error
        missing = [name for name in ("reset", "step", "close") if not callable(getattr(env, name, None))]
        if missing:
            raise EnvError(f"check_env: {type(env).__qualname__} has no method {', '.join(missing)}")
        return env

    def walk_first(self, env: TextEnv, task: Task) -> _Walk:
        """A random walk, after a second reset that must repeat the first."""
        first, start = self._reset(env, task), self._reset(env, task)
        if first != start:
            _breach(
                task, "reset", f"two resets differ: {_difference(first, start)}",
                "start the task from its own data only; draw random numbers from a seed in the task",
            )  # fmt: skip
        draw = random.Random(f"{self.seed} {task.id}")
        actions: list[str] = []
        results: list[StepResult] = []
        observation = start
        while len(results) < self.max_steps:
            if observation.admissible:
                action = draw.choice(observation.admissible)
            elif self.act is not None:
                action = self.act(observation)
            else:
                action = observation.instruction
            result = self._step(env, task, len(results), action)
            actions.append(action)
            results.append(result)
            observation = result.observation
            if result.terminated or result.truncated:
                break
        return _Walk(start, tuple(actions), tuple(results))

    def walk_again(self, env: TextEnv, task: Task, walk: _Walk, how: str) -> None:
        """The same actions must lead to the same results."""
        fix = "reset everything the task can see, keep no state between episodes, and seed what is random"
        start = self._reset(env, task)
        if start != walk.start:
            _breach(task, "reset", f"differs {how}: {_difference(walk.start, start)}", fix)
        for index, (action, before) in enumerate(zip(walk.actions, walk.results, strict=True)):
            result = self._step(env, task, index, action)
            for name in ("observation", "reward", "terminated", "truncated"):
                if getattr(before, name) != getattr(result, name):
                    difference = _difference(getattr(before, name), getattr(result, name))
                    _breach(task, _where(index, action), f"{name} differs {how}: {difference}", fix)

    def check_strange_actions(self, env: TextEnv, task: Task) -> None:
        """Strings that are no command must be answered, not raised at."""
        observation = self._reset(env, task)
        for action in INADMISSIBLE:
            if action in (observation.admissible or ()):
                continue
            result = self._step(env, task, 0, action)
            self.refusals.add(result.observation.text)
            if result.terminated or result.truncated:
                self._reset(env, task)

    def step_after_end(self, env: TextEnv, task: Task, walk: _Walk) -> str:
        """What a step does once the episode is over."""
        if not walk.ended:
            return "not reached"
        self._reset(env, task)
        for index, action in enumerate(walk.actions):
            self._step(env, task, index, action)
        try:
            result = env.step(walk.actions[-1])
        except Exception:
            return "raises"
        wrong = step_problem(result)
        if wrong is None and not (result.terminated or result.truncated):
            wrong = "goes on, as if the episode were not over"
        if wrong is not None:
            _breach(task, "step after the end", f"the result {wrong}", "raise EnvError there")
        return "stays over"

    def close(self, env: TextEnv) -> None:
        try:
            env.close()
        except Exception as error:
            raise EnvError(f"check_env: close() raised {type(error).__name__}: {error}") from error

    def _reset(self, env: TextEnv, task: Task) -> Observation:
        try:
            observation = env.reset(task)
        except Exception as error:
            _breach(task, "reset", f"raised {type(error).__name__}: {error}", cause=error)
        wrong = observation_problem(observation)
        if wrong is not None:
            _breach(task, "reset", f"the result {wrong}")
        return observation

    def _step(self, env: TextEnv, task: Task, index: int, action: str) -> StepResult:
        try:
            result = env.step(action)
        except Exception as error:
            fix = "answer any string with an observation; only a step without a running episode may raise"
            _breach(task, _where(index, action), f"raised {type(error).__name__}: {error}", fix, error)
        wrong = step_problem(result)
        if wrong is not None:
            _breach(task, _where(index, action), f"the result {wrong}")
        return result


def _where(index: int, action: str) -> str:
    shown = action if len(action) <= 60 else f"{action[:57]}..."
    return f"step {index + 1}, action {shown!r}"


def _breach(task: Task, where: str, what: str, fix: str = "", cause: Exception | None = None) -> NoReturn:
    advice = f". To repair it: {fix}." if fix else "."
    raise EnvError(f"check_env: task {task.id!r}, {where}: {what}{advice}") from cause


def _difference(before: Any, after: Any) -> str:
    """The first field in which two observations differ, or the two values."""
    if isinstance(before, Observation) and isinstance(after, Observation):
        for name in ("text", "instruction", "admissible", "status"):
            if getattr(before, name) != getattr(after, name):
                return f"{name} was {getattr(before, name)!r}, then {getattr(after, name)!r}"
    return f"was {before!r}, then {after!r}"
