"""The environments of one process: what a pool's worker runs, and a pool without workers runs itself.

A worker is a process that answers requests over one connection, in order. It imports neither torch nor
anything else that the factory does not ask for. Requests and replies:

    ("reset", [(number, task), ...])    ->  one reply per pair, as soon as it is known
    ("step", [(number, action), ...])   ->  likewise
    ("close",)                          ->  the errors of closing, as a list of texts; then the worker exits

A reply is the pickled observation, step result or `EnvFailure`. The first message of a worker is `READY`. A
worker that cannot make its first environment, or cannot read a request, sends a traceback (a text) and exits.
It also exits when its connection closes or its parent dies, whatever it is doing then.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection, parent_process
from typing import Any

from skill0.envs.base import EnvFailure, Observation, PreparingEnv, StepResult, Task, TextEnv
from skill0.envs.contract import observation_problem, step_problem

READY = "ready"


class Episodes:
    """Running episodes by number, each in an environment of its own; environments are kept for later ones.

    Nothing an environment raises gets out: it becomes an `EnvFailure`, and the environment is thrown away.
    """

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        self.make_env = make_env
        self._envs: list[TextEnv | None] = [make_env()]
        self._slots: dict[int, int] = {}
        self._unprepared: EnvFailure | None = None

    def clear(self) -> None:
        """Forget all episodes; their environments are free again."""
        self._slots.clear()

    def reset(self, number: int, task: Task) -> Observation | EnvFailure:
        """Start an episode."""
        self._slots[number] = slot = len(self._slots)
        if slot == len(self._envs):
            self._envs.append(None)
        return self._guarded(number, "reset", lambda env: env.reset(task), observation_problem)

    def prepare_steps(self, actions: Sequence[tuple[int, str]]) -> None:
        """Before these steps: let environments that can look at them together (see `PreparingEnv`). Should
        that raise, all of these steps fail."""
        self._unprepared = None
        live = [(env, act) for number, act in actions if (env := self._envs[self._slots[number]]) is not None]
        kinds = dict.fromkeys(type(env) for env, _ in live if isinstance(env, PreparingEnv))
        try:
            for kind in kinds:
                kind.prepare_steps([(env, action) for env, action in live if type(env) is kind])
        except (Exception, SystemExit) as error:
            self._unprepared = EnvFailure(
                "raised", f"prepare_steps: {type(error).__name__}: {error}", traceback.format_exc()
            )

    def step(self, number: int, action: str) -> StepResult | EnvFailure:
        """Act in a running episode."""
        if self._unprepared is not None:
            self._discard(self._slots[number])
            return self._unprepared
        return self._guarded(number, "step", lambda env: env.step(action), step_problem)

    def close(self) -> list[str]:
        """Close every environment; returns the tracebacks of those that would not."""
        errors = [error for slot in range(len(self._envs)) if (error := self._discard(slot))]
        self._envs, self._slots = [], {}
        return errors

    def _guarded(
        self,
        number: int,
        call: str,
        act: Callable[[TextEnv], Any],
        problem: Callable[[Any], str | None],
    ) -> Any:
        slot = self._slots[number]
        try:
            env = self._envs[slot]
            if env is None:
                env = self._envs[slot] = self.make_env()
            result = act(env)
        except (Exception, SystemExit) as error:
            failure = EnvFailure("raised", f"{call}: {type(error).__name__}: {error}", traceback.format_exc())
        else:
            wrong = problem(result)
            if wrong is None:
                return result
            failure = EnvFailure("invalid", f"{call}: the result {wrong}")
        closing = self._discard(slot)
        if closing:
            detail = f"{failure.detail}\nThen, on closing the environment:\n{closing}"
            failure = EnvFailure(failure.kind, failure.message, detail)
        return failure

    def _discard(self, slot: int) -> str:
        env, self._envs[slot] = self._envs[slot], None
        try:
            if env is not None:
                env.close()
        except (Exception, SystemExit):
            return traceback.format_exc()
        return ""


def serve(conn: connection.Connection, factory: bytes) -> None:
    """The main function of a worker process. `factory` is the pickled environment factory."""
    _settle()
    try:
        episodes = Episodes(pickle.loads(factory))
    except (Exception, SystemExit):
        conn.send(traceback.format_exc())
        return
    conn.send(READY)
    try:
        while True:
            message = conn.recv_bytes()
            try:
                request = pickle.loads(message)
            except Exception:
                # Most often a payload whose class is defined in the main script: see `pool_process`.
                conn.send(traceback.format_exc())
                return
            if request[0] == "close":
                conn.send(episodes.close())
                return
            if request[0] == "reset":
                episodes.clear()
            else:
                episodes.prepare_steps(request[1])
            act: Callable[[int, Any], Any] = episodes.reset if request[0] == "reset" else episodes.step
            for number, argument in request[1]:
                conn.send_bytes(_pickled(act(number, argument)))
    except (EOFError, ConnectionError):  # the pool is gone without a word
        episodes.close()


def _settle() -> None:
    """Be a quiet child: leave Ctrl-C and SIGTERM to the parent, keep stdout free, and go when it goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Schedulers send SIGTERM to all processes of a job. The parent may want to finish what it is at, see
    # skill0/training/stopping.py, and cannot without environments.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable()
    # What environments print, from Python or C, must not mix with what the parent prints for its user.
    sys.stdout.flush()
    os.dup2(2, 1)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_go_with_parent, args=(parent.sentinel,), daemon=True).start()


def _go_with_parent(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _pickled(result: Any) -> bytes:
    try:
        return pickle.dumps(result)
    except Exception as error:
        failure = EnvFailure(
            "invalid",
            f"the result cannot be sent to the parent process: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        return pickle.dumps(failure)
