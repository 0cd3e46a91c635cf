"""Many episodes at once, in this process or in worker processes.

Episodes of the same task go to the same worker, so that what a worker caches for a task serves the whole
group. Every worker is sent its calls first and answered after, so that workers run side by side. A call that
raises, returns rubbish, hangs or kills its worker ends its own episode with an `EnvFailure`; a dead or hung
worker is replaced. Results do not depend on the number of workers.

Left out: batching of policies (that is the agent loop's), environments on other machines.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_all_start_methods
from typing import Any, Literal

from skill0.envs.base import EnvFailure, Observation, PatientFactory, StepResult, Task, TextEnv
from skill0.envs.pool_process import Call, WorkerLost, WorkerProcess, ready, start_workers
from skill0.envs.pool_worker import Episodes
from skill0.errors import ConfigError, EnvError

_TIMEOUT_S = 60.0
_MARGIN_S = 10.0  # beyond the longest call: for handing it over, on a busy machine


class EnvPool:
    """Runs the episodes of a batch in lock step. Use it as a context manager.

    Args:
        make_env: Makes one environment. With workers it must be picklable, so a module-level function or an
            instance of a module-level class.
        workers: Number of worker processes; 0 runs everything in this process, where nothing can guard
            against an environment that hangs or kills the process.
        timeout_s: Seconds that one `reset` or `step` of one environment may take; when not given 60, or more
            where `make_env` says that it may need more (`PatientFactory`). Only with workers.
        start_method: How processes are started, as in `multiprocessing`. "fork" is not safe once threads run.

    Attributes:
        failures: How many episodes failed so far, by kind ("raised", "invalid", "timeout", "died").
        seconds: Wall-clock seconds spent in `reset` and `step` so far.

    Raises:
        EnvError: the first environment cannot be made, or `make_env` cannot be sent to a worker.
        ConfigError: a value is out of range, or `timeout_s` would end calls that `make_env` says are well.
    """

    def __init__(
        self,
        make_env: Callable[[], TextEnv],
        *,
        workers: int = 0,
        timeout_s: float | None = None,
        start_method: Literal["spawn", "forkserver", "fork"] = "spawn",
    ) -> None:
        if workers < 0:
            raise ConfigError(f"workers must be 0 (run in this process) or more; got {workers}")
        timeout_s = call_timeout(make_env, timeout_s, workers)
        if start_method not in get_all_start_methods():
            raise ConfigError(f"start_method must be one of {get_all_start_methods()}; got {start_method!r}")
        self.timeout_s = timeout_s
        self.failures: Counter[str] = Counter()
        self.seconds = 0.0
        self._failed: dict[int, EnvFailure] = {}
        self._home: dict[int, int] = {}  # episode -> worker that runs it
        self._over: set[int] = set()
        self._closed = False
        self._local: Episodes | None = None
        self._workers: list[WorkerProcess] = []
        if workers == 0:
            self._local = _first_environment(make_env)
        else:
            self._workers = start_workers(workers, _pickled_factory(make_env), timeout_s, start_method)

    @property
    def workers(self) -> int:
        """Number of worker processes."""
        return len(self._workers)

    def reset(self, tasks: Sequence[Task]) -> list[Observation | EnvFailure]:
        """Start one episode per task, numbered by position. All earlier episodes are given up."""
        self._check_open()
        self._failed, self._home, self._over = {}, {}, set()
        homes = _assign([task.id for task in tasks], max(1, self.workers))
        calls = [Call("reset", number, task, homes[number]) for number, task in enumerate(tasks)]
        results = self._run(calls)
        return [results[number] for number in range(len(tasks))]

    def step(self, actions: Mapping[int, str]) -> dict[int, StepResult | EnvFailure]:
        """Act in some of the running episodes, by number. A failed episode gives its failure again.

        Raises:
            EnvError: there is no episode of that number.
        """
        self._check_open()
        strange = [number for number in actions if number not in self._home and number not in self._failed]
        if strange:
            raise EnvError(f"no episode is numbered {strange[0]}: the last reset started {self._episodes()}")
        calls = [
            Call("step", number, action, self._home[number])
            for number, action in actions.items()
            if number not in self._failed
        ]
        results = self._run(calls)
        return {number: results[number] if number in results else self._failed[number] for number in actions}

    def close(self) -> None:
        """Close all environments and end all workers. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._local is not None:
            errors = self._local.close()
        else:
            for worker in self._workers:
                worker.ask_to_close()
            errors = [error for worker in self._workers for error in worker.finish()]
        for error in errors:
            warnings.warn(f"an environment could not be closed:\n{error}", RuntimeWarning, stacklevel=2)

    def __enter__(self) -> EnvPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _episodes(self) -> int:
        return len(self._home.keys() | self._failed.keys())

    def _check_open(self) -> None:
        if self._closed:
            raise EnvError("this pool is closed: make a new EnvPool")

    def _run(self, calls: Sequence[Call]) -> dict[int, Any]:
        """The result of each call by episode number; notes failures and where episodes live."""
        started = time.monotonic()
        results: dict[int, Any] = {}
        try:
            if self._local is not None:
                self._run_here(self._local, calls, results)
            else:
                self._run_in_workers(calls, results)
        finally:
            self.seconds += time.monotonic() - started
        return results

    def _run_here(self, episodes: Episodes, calls: Sequence[Call], results: dict[int, Any]) -> None:
        if calls and calls[0].kind == "reset":
            episodes.clear()
        else:
            episodes.prepare_steps([(call.number, call.argument) for call in calls])
        for call in calls:
            act: Callable[[int, Any], Any] = episodes.reset if call.kind == "reset" else episodes.step
            self._note(call, act(call.number, call.argument), results)

    def _run_in_workers(self, calls: Sequence[Call], results: dict[int, Any]) -> None:
        try:
            for index, worker in enumerate(self._workers):
                worker.give([call for call in calls if call.home == index])
            while busy := [worker for worker in self._workers if worker.pending]:
                for worker in ready(busy):
                    try:
                        answer = worker.receive()
                    except WorkerLost as loss:
                        self._lose(worker, loss, results)
                    else:
                        if answer is not None:
                            self._note(worker.pending.popleft(), answer, results)
        except BaseException:
            # Interrupted in the middle: answers still to come would be taken for those of the next call.
            for worker in self._workers:
                worker.replace()
            for number in list(self._home):
                self._fail(number, EnvFailure("died", "the call was interrupted"), results)
            raise

    def _note(self, call: Call, result: Any, results: dict[int, Any]) -> None:
        results[call.number] = result
        if isinstance(result, EnvFailure):
            self._fail(call.number, result, results)
        else:
            self._home[call.number] = call.home
            if isinstance(result, StepResult) and (result.terminated or result.truncated):
                self._over.add(call.number)

    def _fail(self, number: int, failure: EnvFailure, results: dict[int, Any]) -> None:
        results[number] = self._failed[number] = failure
        self._home.pop(number, None)
        self.failures[failure.kind] += 1

    def _lose(self, worker: WorkerProcess, loss: WorkerLost, results: dict[int, Any]) -> None:
        """Replace a lost worker. The running call fails, and with it every episode that lived there; resets
        that had not begun go to the replacement."""
        culprit, *waiting = worker.pending
        home = culprit.home
        beside = f"its worker was lost to episode {culprit.number}: {loss.reason}"
        self._fail(
            culprit.number, EnvFailure(loss.kind, f"{culprit.kind}: {loss.reason}", loss.detail), results
        )
        for number in [number for number, where in self._home.items() if where == home]:
            if number in self._over:  # nothing was lost; only a step after the end is out of reach
                self._failed[number] = EnvFailure(loss.kind, beside, loss.detail)
            else:
                self._fail(number, EnvFailure(loss.kind, beside, loss.detail), results)
        worker.replace()
        resets = [call for call in waiting if call.kind == "reset"]
        worker.give(resets if loss.retry else [])
        if not loss.retry:
            for call in resets:
                self._fail(call.number, EnvFailure(loss.kind, beside, loss.detail), results)


def call_timeout(make_env: Callable[[], TextEnv], timeout_s: float | None, workers: int) -> float:
    """Seconds that a pool gives to one call; arguments as of `EnvPool`.

    Raises:
        ConfigError: not positive, or, with workers, no more than a call may take and be well: the pool would
            kill a worker that waits, and lose all of its episodes.
    """
    longest_s = make_env.longest_call_s if isinstance(make_env, PatientFactory) else 0.0
    if timeout_s is None:
        return max(_TIMEOUT_S, longest_s + _MARGIN_S)
    if not timeout_s > 0:
        raise ConfigError(f"timeout_s must be positive seconds; got {timeout_s}")
    if workers and timeout_s <= longest_s:
        raise ConfigError(
            f"timeout_s={timeout_s:g} would end calls of {type(make_env).__name__} that are well: one may "
            f"take {longest_s:g} s, retries included. Leave it out (in training env_timeout), raise it, or "
            "lower the patience of what is waited for"
        )
    return timeout_s


def _assign(ids: Sequence[str], workers: int) -> list[int]:
    """The worker of each episode: one task, one worker; largest groups first, each to the emptiest worker."""
    sizes = Counter(ids)  # in the order of first appearance, which settles ties
    load = [0] * workers
    home: dict[str, int] = {}
    for task_id in sorted(sizes, key=lambda task_id: -sizes[task_id]):
        home[task_id] = load.index(min(load))
        load[home[task_id]] += sizes[task_id]
    return [home[task_id] for task_id in ids]


def _first_environment(make_env: Callable[[], TextEnv]) -> Episodes:
    try:
        return Episodes(make_env)
    except EnvError:
        raise
    except Exception as error:
        raise EnvError(f"the environment cannot be made: {type(error).__name__}: {error}") from error


def _pickled_factory(make_env: Callable[[], TextEnv]) -> bytes:
    try:
        return pickle.dumps(make_env)
    except Exception as error:
        raise EnvError(
            f"make_env={make_env!r} cannot be sent to a worker process ({error}). Use a function or class "
            "defined at the top level of a module, or workers=0."
        ) from error
