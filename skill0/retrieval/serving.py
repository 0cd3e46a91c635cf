"""Runs a search server: one process or several, until SIGTERM or SIGINT.

On either signal no connection is accepted any more, requests under way are answered, and `serve` returns.
Workers are processes, each with the index opened anew (memory-mapped arrays are shared by the system):
searching holds the interpreter's lock too much of the time for threads. uvicorn does the supervising.
Needs the extra `serve`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skill0.errors import ConfigError, RetrievalError, Skill0Error
from skill0.retrieval.server import ServedIndex, ServerSettings, make_app

try:
    import uvicorn
    from starlette.applications import Starlette
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess
except ImportError as error:
    raise ConfigError("the search server needs the extra `serve`: pip install 'skill0[serve]'") from error

_KEEP_ALIVE_S = 75
"""Longer than the pauses between two steps of a rollout, so that clients keep their connections."""
_LAST_REQUESTS_S = 30
"""Requests under way at the end have so long."""


def serve(
    open_index: Callable[[], ServedIndex],
    settings: ServerSettings,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    announce: Callable[[str, ServedIndex], None] | None = None,
) -> None:
    """Serve what `open_index` opens until a signal ends it; must be called from the main thread.

    Args:
        open_index: opens the index; with several workers it is pickled, and called once in each of them as
        well. settings: what the server takes.
        host, port: where to listen; port 0 takes a free one.
        workers: processes that search. Each has its own queue.
        announce: called with the URL and the index once connections are accepted.

    Raises:
        ConfigError: the port is taken, the host is not of this machine, or the log cannot be written.
        RetrievalError: the index cannot be opened.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1; got {workers}")
    _check_log(settings.access_log)
    with bound(host, port) as listener:
        index = open_index()
        listener.listen(2048)
        if announce:
            announce(_url(host, listener), index)
        factory = _App(open_index, settings) if workers > 1 else (lambda: make_app(index, settings))
        config = uvicorn.Config(
            factory, factory=True, workers=workers, log_config=None, access_log=False, ws="none",
            lifespan="on", server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=_LAST_REQUESTS_S,
            callback_notify=_ParentWatch(os.getpid()) if workers > 1 else None, timeout_notify=1,
        )  # fmt: skip
        if workers > 1:
            supervisor = Multiprocess(config, sockets=[listener])
            supervisor.run()
            if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
                raise RetrievalError("a worker could not open the index; its message is above")
            return
        server = uvicorn.Server(config)
        with _signals_end(server):
            server.run(sockets=[listener])


def _check_log(path: str | None) -> None:
    if path is None or path == "-":
        return
    try:
        Path(path).open("a").close()
    except OSError as error:
        raise ConfigError(f"access_log: {path} cannot be written ({error})") from None


@dataclass(frozen=True)
class _App:
    """Makes the application in a worker process."""

    open_index: Callable[[], ServedIndex]
    settings: ServerSettings

    def __call__(self) -> Starlette:
        try:
            return make_app(self.open_index(), self.settings)
        except Skill0Error as error:
            print(f"skill0: a worker cannot open the index: {error}", file=sys.stderr, flush=True)
            # By this code the supervisor knows that another try would end the same way.
            raise SystemExit(STARTUP_FAILURE) from None


@dataclass(frozen=True)
class _ParentWatch:
    """Ends a worker whose parent was killed and could not end it."""

    parent: int

    async def __call__(self) -> None:
        if os.getppid() != self.parent:
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that has the port, but does not listen: who connects while the index is loaded is refused.

    It says that its protocol is TCP: only then does asyncio set TCP_NODELAY on its connections. Without it
    each request on a kept connection waits 40 ms for a delayed acknowledgement: head and body go apart.

    Raises:
        ConfigError: the port is taken, or the host is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen at {host} port {port}: {error}. Give another --port or --host"
            ) from None
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn ends well on a signal and then raises it again, which would end the process as if killed: this
    takes it. It also takes a signal that comes before uvicorn listens to them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
