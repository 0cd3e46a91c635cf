"""EnvPool: the same results whatever the number of workers, and failures that stay where they happen."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import tiny_env
from tiny_env import DoorsEnv, WhereEnv

from skill0.envs import EnvFailure, EnvPool, Observation
from skill0.envs.pool import _assign
from skill0.errors import ConfigError, EnvError

SHORT = 2.0  # seconds a call may take where a test makes one hang


@pytest.fixture(autouse=True)
def no_process_left_behind():
    """Whatever a test does, its workers are gone when it ends."""
    yield
    assert not psutil.wait_procs(_workers(), timeout=5)[1]


def _workers() -> list[psutil.Process]:
    """Descendants of this process, without the two helpers that multiprocessing keeps for its own use."""
    multiprocessing.active_children()  # takes note of those that have ended
    here = psutil.Process()
    return [child for child in here.children(recursive=True) if _is_worker(child, here)]


def _is_worker(child: psutil.Process, here: psutil.Process) -> bool:
    helpers = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
    try:
        return child.ppid() != here.pid or not any(helper in " ".join(child.cmdline()) for helper in helpers)
    except psutil.NoSuchProcess:  # it ended, waited for or not, after the list of children was made
        return False


def play(pool: EnvPool) -> list[object]:
    """Two tasks with three episodes each; the third episode of each opens the right door at once."""
    tasks = [tiny_env.task("a", prize=2)] * 3 + [tiny_env.task("b", prize=3)] * 3
    record: list[object] = list(pool.reset(tasks))
    record.append(pool.step({n: "open door 1" if n % 3 < 2 else f"open door {n // 3 + 2}" for n in range(6)}))
    record.append(pool.step({0: "open door 2", 1: "sing", 3: "open door 3", 4: ""}))
    return record


def test_episodes_in_this_process():
    with EnvPool(DoorsEnv) as pool:
        *starts, first, second = play(pool)
        assert pool.workers == 0
    assert [start.text for start in starts] == ["You see 3 doors."] * 6
    assert [first[n].observation.text for n in range(6)] == ["It is empty.", "It is empty.", "The prize!"] * 2
    assert [first[n].terminated for n in range(6)] == [False, False, True] * 2
    assert list(second) == [0, 1, 3, 4]
    assert [second[n].reward for n in (0, 1, 3, 4)] == [1.0, 0.0, 1.0, 0.0]
    assert not pool.failures
    assert pool.seconds > 0


@pytest.mark.integration
@pytest.mark.parametrize(
    ("workers", "start_method"), [(1, "spawn"), (4, "spawn"), (2, "forkserver"), (2, "fork")]
)
def test_workers_change_nothing(workers, start_method):
    with EnvPool(DoorsEnv) as pool:
        expected = play(pool)
    with EnvPool(DoorsEnv, workers=workers, start_method=start_method) as pool:
        assert play(pool) == expected
        assert play(pool) == expected  # and again, with the same environments


@pytest.mark.integration
def test_one_task_one_worker_and_environments_are_reused():
    tasks = [tiny_env.task(name) for name in "aabbccab"]
    with EnvPool(WhereEnv, workers=2) as pool:
        statuses = [[result.status for result in pool.reset(tasks)] for _ in range(2)]
    processes = [[status.split()[0] for status in round_] for round_ in statuses]
    # a, b: three episodes each, c: two. Largest first to the emptiest: a -> 0, b -> 1, c -> 0.
    one, other = processes[0][0], processes[0][2]
    assert one != other
    assert processes[0] == [one, one, other, other, one, one, one, other] == processes[1]
    # Five episodes beside three: as many environments, the same ones in the second round.
    assert sorted(int(status.split()[1]) for status in statuses[1]) == [1, 1, 2, 2, 3, 3, 4, 5]
    assert {status.split()[2] for status in statuses[1]} == {"2"}
    assert {status.split()[3] for status in statuses[1]} == {"False"}, "a worker imported torch"


def test_assignment_is_balanced_and_keeps_tasks_together():
    assert _assign(["a", "b", "a", "c", "d"], 2) == [0, 1, 0, 1, 0]
    assert _assign([str(n) for n in range(8)], 4) == [0, 1, 2, 3] * 2
    assert _assign([], 3) == []


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.integration)])
@pytest.mark.parametrize(
    ("fault", "at", "kind", "words"),
    [
        ("raise", 1, "raised", "step: ValueError: the door is jammed"),
        ("raise", 0, "raised", "reset: ValueError: the door is jammed"),
        ("exit", 1, "raised", "step: SystemExit: 3"),
        ("text", 0, "invalid", "reset: the result must be an Observation, not str"),
        ("text", 1, "invalid", "step: the result must be a StepResult, not str"),
        ("nan", 1, "invalid", "finite number as reward, not nan"),
        ("no_verdict", 1, "invalid", "info['won'] when an episode ends, not None"),
    ],
)
def test_a_fault_ends_its_own_episode_only(workers, fault, at, kind, words):
    tasks = [tiny_env.task("good"), tiny_env.task("bad", fault=fault, fault_at=at), tiny_env.task("good")]
    with EnvPool(DoorsEnv, workers=workers) as pool:
        starts = pool.reset(tasks)
        results = pool.step(dict.fromkeys(range(3), "open door 2"))
        again = pool.step({1: "open door 1", 2: "open door 1"})
        assert pool.failures == {kind: 1}
        repaired = pool.reset([tiny_env.task("good")] * 3)
    failure = results[1]
    assert isinstance(failure, EnvFailure)
    assert (failure.kind, words in failure.message) == (kind, True), failure
    assert starts[1] == failure if at == 0 else isinstance(starts[1], Observation)
    assert ("Traceback" in failure.detail) == (kind == "raised")
    assert again[1] == failure
    assert (results[0].reward, results[2].reward, again[2].reward) == (0.0, 0.0, 1.0)
    assert all(isinstance(start, Observation) for start in repaired)


@pytest.mark.integration
def test_a_result_that_cannot_be_pickled_is_invalid():
    with EnvPool(DoorsEnv, workers=1) as pool:
        pool.reset([tiny_env.task("bad", fault="unpicklable", fault_at=1), tiny_env.task("good")])
        results = pool.step({0: "x", 1: "open door 1"})
    assert results[0].kind == "invalid"
    assert "cannot be sent to the parent process" in results[0].message
    assert results[1].reward == 1.0


@pytest.mark.integration
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("hang", "timeout", "no answer within 2 s; the worker was killed"),
        ("kill", "died", "the worker died (killed by SIGKILL)"),
        ("os_exit", "died", "the worker died (exit code 3)"),
    ],
)
def test_a_lost_worker_takes_its_own_episodes_and_is_replaced(fault, kind, words):
    # Tasks in turn to two workers: 0 and 2 to the first, 1 and 3 to the second, which is lost.
    tasks = [tiny_env.task(str(n), fault=fault if n == 1 else "", fault_at=1) for n in range(4)]
    with EnvPool(WhereEnv, workers=2, timeout_s=SHORT) as pool:
        before = pool.reset(tasks)
        results = pool.step(dict.fromkeys(range(4), "open door 1"))
        assert [results[n].reward for n in (0, 2)] == [1.0, 1.0]
        assert results[1].kind == results[3].kind == kind
        assert words in results[1].message
        assert results[3].message == f"its worker was lost to episode 1: {words.split(';')[0]}" + (
            "; the worker was killed" if ";" in words else ""
        )
        assert pool.step({3: "open door 1"})[3] == results[3]
        assert pool.failures == {kind: 2}
        after = pool.reset([tiny_env.task(str(n)) for n in range(4)])
        processes = [[start.status.split()[0] for start in starts] for starts in (before, after)]
        assert processes[0][0] == processes[1][0], "the worker that was well is kept"
        assert processes[0][1] != processes[1][1], "the lost one is replaced"
        assert pool.step({3: "open door 1"})[3].reward == 1.0


@pytest.mark.integration
def test_an_episode_that_is_over_cannot_be_lost():
    """Of three in one worker, the first wins in the very call that kills the worker by the third."""
    tasks = [tiny_env.task("a"), tiny_env.task("b"), tiny_env.task("c", fault="kill", fault_at=1)]
    with EnvPool(DoorsEnv, workers=1) as pool:
        pool.reset(tasks)
        results = pool.step({0: "open door 1", 1: "open door 2", 2: "open door 1"})
        assert results[0].info["won"]
        assert (results[1].kind, results[2].kind) == ("died", "died")
        assert pool.failures == {"died": 2}
        assert pool.step({0: "look"})[0].kind == "died"


@pytest.mark.integration
@pytest.mark.parametrize("fault", ["hang", "kill"])
def test_a_worker_lost_at_reset_loses_no_task_that_had_not_begun(fault):
    tasks = [tiny_env.task("a"), tiny_env.task("b", fault=fault), tiny_env.task("c"), tiny_env.task("d")]
    with EnvPool(DoorsEnv, workers=1, timeout_s=SHORT) as pool:
        starts = pool.reset(tasks)
        # a was running in the lost worker; c and d were still to come and start in its replacement.
        assert [isinstance(start, EnvFailure) for start in starts] == [True, True, False, False]
        assert pool.step({2: "open door 1"})[2].reward == 1.0


@pytest.mark.integration
def test_a_worker_that_dies_while_idle_is_noticed():
    with EnvPool(WhereEnv, workers=1) as pool:
        (start,) = pool.reset([tiny_env.task("a")])
        os.kill(int(start.status.split()[0]), signal.SIGKILL)
        result = pool.step({0: "open door 1"})[0]
        assert (result.kind, result.message) == ("died", "step: the worker died (killed by SIGKILL)")
        assert isinstance(pool.reset([tiny_env.task("a")])[0], Observation)


@pytest.mark.integration
def test_a_stopped_worker_does_not_stop_the_pool():
    """Its socket takes no more than some hundred kilobytes; sending must not wait for ever either."""
    with EnvPool(WhereEnv, workers=1, timeout_s=SHORT) as pool:
        (start,) = pool.reset([tiny_env.task("a")])
        os.kill(int(start.status.split()[0]), signal.SIGSTOP)
        result = pool.step({0: "x" * 10_000_000})[0]
        assert result.kind == "timeout"
        assert isinstance(pool.reset([tiny_env.task("a")])[0], Observation)


@pytest.mark.integration
@dataclass(frozen=True)
class _Patient:
    """Makes environments of which a call may take so many seconds and be well."""

    longest_call_s: float

    def __call__(self) -> DoorsEnv:
        return DoorsEnv()


def test_calls_that_may_take_long_are_given_their_time():
    with EnvPool(_Patient(200), workers=1) as pool:
        assert pool.timeout_s == 210.0
    with EnvPool(_Patient(5)) as pool:
        assert pool.timeout_s == 60.0
    with pytest.raises(ConfigError, match=r"timeout_s=60 would end calls of _Patient .* may take 200 s"):
        EnvPool(_Patient(200), workers=1, timeout_s=60)
    with EnvPool(_Patient(200), workers=0, timeout_s=60):
        pass  # nothing is timed out in this process


def test_the_timeout_is_for_one_call_and_not_for_all_of_a_worker():
    """Three calls of a second each, in one worker, under a limit of two seconds."""
    with EnvPool(_Slow, workers=1, timeout_s=SHORT) as pool:
        starts = pool.reset([tiny_env.task(name) for name in "abc"])
    assert all(isinstance(start, Observation) for start in starts)


class _Slow(DoorsEnv):
    """Its status tells when the reset began and ended, by the machine's clock."""

    def reset(self, task):
        began = time.monotonic()
        time.sleep(0.9)
        return replace(super().reset(task), status=f"{began} {time.monotonic()}")


@pytest.mark.integration
def test_workers_work_side_by_side():
    with EnvPool(_Slow, workers=3) as pool:
        starts = pool.reset([tiny_env.task(name) for name in "abc"])
    began, ended = zip(*(map(float, start.status.split()) for start in starts), strict=True)
    assert max(began) < min(ended)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.integration)])
def test_an_environment_that_cannot_be_made(workers):
    with pytest.raises(EnvError, match=r"(?s)FileNotFoundError: no such game folder: /nowhere"):
        EnvPool(tiny_env.CannotBeMade, workers=workers)


@pytest.mark.integration
def test_what_cannot_be_sent_to_a_worker():
    with pytest.raises(EnvError, match="cannot be sent to a worker process"):
        EnvPool(lambda: DoorsEnv(), workers=1)
    with EnvPool(DoorsEnv, workers=1) as pool:
        bad = tiny_env.task("a")
        object.__setattr__(bad, "payload", lambda: None)
        with pytest.raises(EnvError, match="Make the payload of the tasks picklable"):
            pool.reset([bad])
        assert isinstance(pool.reset([tiny_env.task("a")])[0], Observation)


def test_misuse():
    with pytest.raises(ConfigError, match="workers must be 0"):
        EnvPool(DoorsEnv, workers=-1)
    with pytest.raises(ConfigError, match="timeout_s must be positive"):
        EnvPool(DoorsEnv, timeout_s=0)
    with pytest.raises(ConfigError, match="start_method must be one of"):
        EnvPool(DoorsEnv, start_method="thread")
    pool = EnvPool(DoorsEnv)
    assert pool.reset([]) == []
    assert pool.step({}) == {}
    pool.reset([tiny_env.task("a")])
    with pytest.raises(EnvError, match="no episode is numbered 1: the last reset started 1"):
        pool.step({1: "look"})
    pool.close()
    pool.close()
    with pytest.raises(EnvError, match="closed"):
        pool.reset([])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.integration)])
def test_errors_of_closing_are_reported(workers):
    pool = EnvPool(tiny_env.CannotBeClosed, workers=workers)
    with pytest.warns(RuntimeWarning, match="(?s)could not be closed.*the engine is stuck"):
        pool.close()


@pytest.mark.integration
def test_a_worker_that_hangs_on_closing_is_ended():
    pool = EnvPool(tiny_env.HangsOnClose, workers=1)
    with pytest.warns(RuntimeWarning, match="did not close its environments within 5 s"):
        pool.close()


def run_script(folder: Path, script: str, **options) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script))
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    return subprocess.Popen(
        [sys.executable, str(path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        # A test run that was started in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options,
    )  # fmt: skip


@pytest.mark.integration
def test_a_main_script_is_not_run_again(tmp_path):
    """No `if __name__ == "__main__"` is needed, and what the script imports stays out of the workers. What
    environments print does not get into the script's output."""
    script = """
        import tiny_env
        from skill0.envs import EnvPool
        print("script runs")
        with EnvPool(tiny_env.NoisyEnv, workers=1) as pool:
            print(pool.reset([tiny_env.task("a")])[0].text)
    """
    out, err = run_script(tmp_path, script).communicate(timeout=120)
    assert out == "script runs\nYou see 3 doors.\n", err
    assert err == "python noise\nsystem noise\n"


@pytest.mark.integration
def test_an_environment_of_the_main_script(tmp_path):
    script = """
        import tiny_env
        from skill0.envs import EnvPool
        class MyEnv(tiny_env.DoorsEnv):
            pass
        if __name__ == "__main__":
            with EnvPool(MyEnv, workers=1) as pool:
                print(pool.reset([tiny_env.task("a")])[0].text)
    """
    out, err = run_script(tmp_path, script).communicate(timeout=120)
    assert (out, err) == ("You see 3 doors.\n", "")


@pytest.mark.integration
def test_a_payload_of_the_main_script_beside_an_imported_environment(tmp_path):
    script = """
        import dataclasses
        import tiny_env
        from skill0.envs import EnvPool
        class Mine:
            doors, fault = 3, ""
        if __name__ == "__main__":
            with EnvPool(tiny_env.DoorsEnv, workers=1) as pool:
                tasks = [dataclasses.replace(tiny_env.task(name), payload=Mine()) for name in "ab"]
                result, beside = pool.reset(tasks)
                print(result.kind, result.message, "Mine" in result.detail)
                print(beside.message)
    """
    out, err = run_script(tmp_path, script).communicate(timeout=120)
    reason = "the worker could not read what it was sent"
    assert out == f"raised reset: {reason} True\nits worker was lost to episode 0: {reason}\n", err


ORPHANS = """
    import json, sys, time
    import tiny_env
    from skill0.envs import EnvPool
    pool = EnvPool(tiny_env.WhereEnv, workers=2)
    starts = pool.reset([tiny_env.task("a", fault=FAULT, fault_at=1), tiny_env.task("b")])
    print(json.dumps([int(start.status.split()[0]) for start in starts]), flush=True)
    if FAULT:
        pool.step({0: "open door 1"})
    time.sleep(600)
"""


@pytest.mark.integration
@pytest.mark.parametrize("fault", ["", "hang"])
def test_workers_go_when_the_parent_is_killed(tmp_path, fault):
    parent = run_script(tmp_path, f"FAULT = {fault!r}\n{textwrap.dedent(ORPHANS)}")
    workers = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
    time.sleep(0.3 if fault else 0)
    parent.kill()
    parent.communicate()
    assert not psutil.wait_procs(workers, timeout=10)[1]


@pytest.mark.integration
def test_ctrl_c_reaches_the_parent_only(tmp_path):
    """As from a terminal: the signal goes to the whole process group. One traceback, the parent's."""
    parent = run_script(tmp_path, f"FAULT = 'hang'\n{textwrap.dedent(ORPHANS)}", start_new_session=True)
    workers = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert err.count("KeyboardInterrupt") == 1, err
    assert err.count("Traceback") == 1, err


@pytest.mark.integration
def test_an_interrupted_call_leaves_the_pool_usable():
    tasks = [tiny_env.task("a", fault="hang", fault_at=1), tiny_env.task("b")]

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with EnvPool(DoorsEnv, workers=2) as pool:
            pool.reset(tasks)
            signal.setitimer(signal.ITIMER_REAL, 1.0)
            with pytest.raises(KeyboardInterrupt):
                pool.step({0: "open door 1", 1: "open door 1"})
            assert pool.step({0: "x"})[0].message == "the call was interrupted"
            starts = pool.reset([tiny_env.task("a"), tiny_env.task("b")])
            assert all(isinstance(start, Observation) for start in starts)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.integration
def test_a_forgotten_pool_leaves_no_workers():
    pool = EnvPool(WhereEnv, workers=2)
    workers = [psutil.Process(int(start.status.split()[0])) for start in pool.reset([tiny_env.task("a")])]
    del pool
    assert not psutil.wait_procs(workers, timeout=5)[1]


class PreparedEnv(DoorsEnv):
    """Notes what it was shown before the step; raises at an action "bad preparation"."""

    shown: tuple[str, ...] = ()

    @classmethod
    def prepare_steps(cls, steps):
        actions = tuple(action for _, action in steps)
        if "bad preparation" in actions:
            raise ValueError("cannot prepare")
        for env, _ in steps:
            env.shown = actions

    def step(self, action):
        result = super().step(action)
        return replace(result, observation=replace(result.observation, status=" and ".join(self.shown)))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.integration)])
def test_environments_are_shown_the_step_before_they_act(workers):
    with EnvPool(PreparedEnv, workers=workers) as pool:
        pool.reset([tiny_env.task(name) for name in "ab"])
        results = pool.step({0: "wait", 1: "look"})
        assert [results[n].observation.status for n in (0, 1)] == ["wait and look"] * 2
        results = pool.step({0: "look"})
        assert results[0].observation.status == "look"


def test_a_preparation_that_raises_fails_the_steps_it_was_for():
    with EnvPool(PreparedEnv) as pool:
        pool.reset([tiny_env.task(name) for name in "abc"])
        results = pool.step({0: "look", 1: "bad preparation"})
        assert results[0] == results[1]
        assert results[0].message == "prepare_steps: ValueError: cannot prepare"
        assert isinstance(pool.step({2: "look"})[2].observation, Observation)
        assert pool.failures == {"raised": 2}
