"""A worker process as the pool sees it: starting, answering, overdue, lost, replaced.

The other end of the connection is `pool_worker.serve`.
"""

from __future__ import annotations

import pickle
import signal
import socket
import struct
import sys
import time
import types
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, util
from typing import Any, Literal

from skill0.envs.base import EnvFailure
from skill0.envs.pool_worker import READY, serve
from skill0.errors import EnvError

_START_LIMIT_S = 180.0  # a fresh interpreter that imports an engine, on a busy machine
_CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True)
class Call:
    """One call of one environment: `argument` is a task or an action, `home` the number of the worker."""

    kind: Literal["reset", "step"]
    number: int
    argument: Any
    home: int


class WorkerLost(Exception):
    """A worker died or had to be given up. `retry`: another may manage the calls that had not begun."""

    def __init__(self, kind: str, reason: str, detail: str = "", *, retry: bool = True) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.detail = detail
        self.retry = retry


class WorkerProcess:
    """One worker process as the pool sees it: starting, idle, or busy with `pending` calls in order."""

    def __init__(self, factory: bytes, timeout_s: float, start_method: str) -> None:
        self._factory = factory
        self._timeout_s = timeout_s
        self._context = get_context(start_method)
        self.pending: deque[Call] = deque()
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # A stopped process reads nothing; without a limit it would stop the pool as well.
        limit = struct.pack("ll", int(min(max(1.0, self._timeout_s), 3600.0)), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.connection = connection.Connection(ours.detach())
        other_end = connection.Connection(theirs.detach())
        self.process = self._context.Process(  # type: ignore[attr-defined]
            target=serve, args=(other_end, self._factory), name="skill0-env-worker", daemon=True
        )
        with _interrupts_held(), _main_module_hidden(unless=b"__main__" in self._factory):
            self.process.start()
        # Python ends children at its exit by SIGTERM, which workers do not hear.
        util.Finalize(self, _end, (self.process,), exitpriority=10)
        other_end.close()
        self.starting = True
        self.deadline = time.monotonic() + max(_START_LIMIT_S, self._timeout_s)

    def give(self, calls: Iterable[Call]) -> None:
        """Take on calls of one kind; they are sent at once, or when the worker has started."""
        self.pending = deque(calls)
        if self.pending and not self.starting:
            self._send()

    def _send(self) -> None:
        self.deadline = time.monotonic() + self._timeout_s
        # A task that several episodes share is one object, which pickle writes once.
        request = (self.pending[0].kind, [(call.number, call.argument) for call in self.pending])
        try:
            message = pickle.dumps(request)
        except Exception as error:
            raise EnvError(
                f"a task or action cannot be sent to a worker process ({type(error).__name__}: {error}). "
                "Make the payload of the tasks picklable, or use workers=0."
            ) from error
        try:
            self.connection.send_bytes(message)
        except (BlockingIOError, ConnectionError):
            # Noticed again, with the reason, when the answer is waited for.
            self.deadline = time.monotonic()

    def receive(self) -> Any:
        """The next answer, or `None` if this was the news that the worker has started.

        Raises `WorkerLost` when the worker is dead, or its deadline has passed without an answer.
        """
        if not self.connection.poll():
            raise self._overdue()
        try:
            message = self.connection.recv_bytes()
        except BlockingIOError as error:
            raise self._overdue() from error
        except (EOFError, OSError) as error:
            raise self._dead() from error
        try:
            answer = pickle.loads(message)
        except Exception as error:
            answer = EnvFailure("invalid", f"the result cannot be read back: {type(error).__name__}: {error}")
        if isinstance(answer, str) and answer != READY:
            what = "make its environment" if self.starting else "read what it was sent"
            raise WorkerLost("raised", f"the worker could not {what}", answer, retry=False)
        if not self.starting:
            self.deadline = time.monotonic() + self._timeout_s
            return answer
        self.starting = False
        if self.pending:
            self._send()
        return None

    def _overdue(self) -> WorkerLost:
        if self.process.exitcode is not None:
            return self._dead()
        if self.starting:
            return WorkerLost("timeout", "the worker did not start in time", retry=False)
        return WorkerLost("timeout", f"no answer within {self._timeout_s:g} s; the worker was killed")

    def _dead(self) -> WorkerLost:
        self.process.join(_CLOSE_LIMIT_S)
        return WorkerLost(
            "died", f"the worker died ({_exit_reason(self.process.exitcode)})", retry=not self.starting
        )

    def replace(self) -> None:
        """Kill the process and start another. Pending calls are dropped."""
        self.kill()
        self.pending.clear()
        self._start()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()

    def ask_to_close(self) -> None:
        if not self.starting:
            with suppress(BlockingIOError, ConnectionError):  # dead or stopped: `finish` puts an end to it
                self.connection.send(("close",))

    def finish(self) -> list[str]:
        """Wait for the worker to close its environments, then end it. Returns errors of closing."""
        errors: list[str] = []
        if not self.starting:
            try:
                if self.connection.poll(_CLOSE_LIMIT_S):
                    errors = self.connection.recv()
                    self.process.join(_CLOSE_LIMIT_S)
                else:
                    errors = [f"the worker did not close its environments within {_CLOSE_LIMIT_S:g} s"]
            except (EOFError, OSError):
                errors = [f"the worker was dead ({_exit_reason(self.process.exitcode)})"]
        self.kill()
        return errors


def ready(workers: Sequence[WorkerProcess]) -> list[WorkerProcess]:
    """The workers that have sent something or are overdue; waits until there is one."""
    by_connection = {worker.connection: worker for worker in workers}
    rest = min(worker.deadline for worker in workers) - time.monotonic()
    heard = {by_connection[item] for item in connection.wait(list(by_connection), max(0.0, rest))}  # type: ignore[index]
    now = time.monotonic()
    return [worker for worker in workers if worker in heard or worker.deadline <= now]


def start_workers(count: int, factory: bytes, timeout_s: float, start_method: str) -> list[WorkerProcess]:
    """All workers, started side by side and with their first environment made."""
    workers: list[WorkerProcess] = []
    try:
        workers.extend(WorkerProcess(factory, timeout_s, start_method) for _ in range(count))
        while starting := [worker for worker in workers if worker.starting]:
            for worker in ready(starting):
                worker.receive()
    except BaseException as error:
        for worker in workers:
            worker.kill()
        if isinstance(error, WorkerLost):
            raise EnvError(f"a worker cannot start: {error.reason}\n{error.detail}".rstrip()) from error
        raise
    return workers


def _end(process: Any) -> None:
    with suppress(ValueError):  # ended and closed already
        process.kill()


def _exit_reason(code: int | None) -> str:
    if code is None:
        return "it closed its connection"
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block is over, and a process started inside is born deaf to it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_module_hidden(*, unless: bool) -> Iterator[None]:
    """Processes started inside do not run the main script again.

    multiprocessing imports it into every new process. A training script imports torch at its top, which a
    worker has no use for; only a factory defined in the script itself makes that necessary.
    """
    if unless:
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
