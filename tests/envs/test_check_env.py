"""check_env: passes a sound environment, and names each breach with its place and its repair."""

from __future__ import annotations

import re

import pytest
import tiny_env

from skill0.envs import Observation, StepResult, check_env
from skill0.envs.contract import observation_problem, step_problem
from skill0.errors import EnvError

TASKS = [tiny_env.task("a", prize=1), tiny_env.task("b", prize=3)]


def test_a_sound_environment():
    report = check_env(tiny_env.DoorsEnv, TASKS)
    assert (report.tasks, report.task_types) == (2, ("open_doors",))
    # Three doors and four steps: a walk ends with the prize or with the fourth step.
    assert report.ended == 2
    assert report.won <= 2
    assert report.won <= report.steps <= 8
    assert report.after_end == "raises"
    assert report.refused == 0


def test_what_a_step_after_the_end_may_do():
    assert check_env(tiny_env.StaysOverEnv, TASKS).after_end == "stays over"
    # Door 3 of 3 is not opened by the first action of this walk, so no end is reached.
    assert check_env(tiny_env.EndlessEnv, TASKS[1:], max_steps=1, seed=1).after_end == "not reached"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (tiny_env.RandomEnv, "task 'a', reset: two resets differ: text was 'You see 3 doors. "),
        (tiny_env.RemembersEnv, "observation differs in the same environment, after it had played other"),
        (tiny_env.RemembersEnv, "text was 'It is empty. (1)', then 'It is empty. ("),
        (tiny_env.ListingEnv, "task 'a', reset: the result must have a tuple of str, or None, as admissible"),
        (tiny_env.StrictEnv, "task 'a', step 1, action '': raised KeyError: ''. To repair it: answer any"),
        (tiny_env.EndlessEnv, "step after the end: the result goes on, as if the episode were not over"),
        (tiny_env.CannotBeMade, "make_env() raised FileNotFoundError: no such game folder"),
        (tiny_env.CannotBeClosed, "close() raised OSError: the engine is stuck"),
        (object, "object has no method reset, step, close"),
        (lambda: tiny_env.DoorsEnv(), "make_env cannot be pickled"),
    ],
)  # fmt: skip
def test_breaches(env, words):
    with pytest.raises(EnvError, match=re.escape(words)):
        check_env(env, TASKS)


@pytest.mark.parametrize(
    ("fault", "at", "words"),
    [
        ("raise", 0, "task 'c', reset: raised ValueError: the door is jammed"),
        ("raise", 1, "raised ValueError: the door is jammed. To repair it"),
        ("text", 0, "reset: the result must be an Observation, not str"),
        ("nan", 1, "the result must have a finite number as reward, not nan"),
        ("no_verdict", 1, "must tell success by a bool in info['won'] when an episode ends, not None"),
    ],
)
def test_breaches_of_one_task(fault, at, words):
    with pytest.raises(EnvError, match=re.escape(words)):
        check_env(tiny_env.DoorsEnv, [*TASKS, tiny_env.task("c", fault=fault, fault_at=at)])


def test_tasks_are_checked_too():
    with pytest.raises(EnvError, match="no tasks"):
        check_env(tiny_env.DoorsEnv, [])
    with pytest.raises(EnvError, match="two tasks have the same id"):
        check_env(tiny_env.DoorsEnv, [TASKS[0], TASKS[0]])
    bad = tiny_env.task("a")
    object.__setattr__(bad, "payload", lambda: None)
    with pytest.raises(EnvError, match=r"task 'a', Task: cannot be pickled .*only picklable data"):
        check_env(tiny_env.DoorsEnv, [bad])
    object.__setattr__(bad, "instruction", None)
    with pytest.raises(EnvError, match="instruction must be a str, not None"):
        check_env(tiny_env.DoorsEnv, [bad])


def test_own_actions_where_nothing_is_listed():
    seen = []

    def act(observation: Observation) -> str:
        seen.append(observation.text)
        return "open door 1"

    report = check_env(tiny_env.UnlistedEnv, TASKS, act=act)
    assert report.won == 1
    assert seen[0] == "You see 3 doors."


def test_values_of_the_contract():
    good = Observation("text", "do it.", ("look",))
    assert observation_problem(good) is None
    assert observation_problem(Observation("text", "do it.")) is None
    assert observation_problem(Observation("text", "do it.", ("look", 3))) == (
        "must have only str in admissible, found int"
    )
    assert observation_problem(Observation(b"", "do it.")) == "must have a str as text, not bytes"
    assert step_problem(StepResult(good, 1, True, False, {"won": True})) is None
    assert step_problem(StepResult(good, 0.5, False, False)) is None
    assert (
        step_problem(StepResult(good, True, False, False)) == "must have a finite number as reward, not True"
    )
    assert step_problem(StepResult(good, 0.0, 0, False)) == "must have a bool as terminated, not int"
    assert step_problem(StepResult(good, 0.0, False, False, [])) == "must have a mapping as info, not list"
    assert step_problem(StepResult(None, 0.0, False, False)) == (
        "has an observation that must be an Observation, not None"
    )
    assert "bool in info['won']" in step_problem(StepResult(good, 0.0, False, False, {"won": 1}))
