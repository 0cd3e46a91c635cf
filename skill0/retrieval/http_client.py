"""Passages from a search server over HTTP, in either published form of its protocol (see `wire`).

Follows the client of SkillZero (arXiv 2604.02268, `skyrl_gym/tools/search.py`): ten attempts, growing pauses,
thirty seconds for an answer, several servers. Differs: pauses have jitter and obey Retry-After, a server that
is down is left alone, queries go in batches or side by side, and what comes back is checked before it is
believed. Needs the extra `search`.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.base import Hit
from skill0.retrieval.circuit import Circuit
from skill0.retrieval.http_transport import PassingFault, Transport
from skill0.retrieval.wire import WIRE_FORMS, WireForm, read_answer, request_body

try:
    import tenacity
except ImportError as error:
    raise ConfigError(
        "the HTTP client of retrievers needs the extra `search`: pip install 'skill0[search]'"
    ) from error

_LONGEST_RETRY_AFTER_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HttpSettings:
    """How search servers are asked.

    Args:
        form (`str`, *optional*, defaults to `"search_r1"`):
            The wire form: `"search_r1"` sends lists of `queries`, `"skillzero"` one `query` a request.
        batch_size (`int`, *optional*, defaults to `64`):
            Queries in one request; the form `skillzero` has one.
        connections (`int`, *optional*, defaults to `16`):
            Requests under way at the same time, to each server.
        connect_timeout_s (`float`, *optional*, defaults to `5.0`):
            Seconds until a connection stands.
        read_timeout_s (`float`, *optional*, defaults to `30.0`):
            Seconds until the answer begins, and again until it is complete.
        attempts (`int`, *optional*, defaults to `10`):
            How often a request is sent at most; each goes to the next server that is not failing.
        backoff_s (`float`, *optional*, defaults to `0.25`):
            Pause after the first attempt that failed; it doubles from one to the next. Each pause is drawn
            between half of that and the whole.
        backoff_most_s (`float`, *optional*, defaults to `15.0`):
            The longest pause, unless the server asks for a longer one (Retry-After, up to a minute).
        failures_to_open (`int`, *optional*, defaults to `5`), outage_s (`float`, *optional*, defaults to
        `60.0`):
            A server that failed so often in a row, over so many seconds, is left alone: its circuit is open.
        pause_s (`float`, *optional*, defaults to `10.0`):
            Seconds between probes of a server that is failing. When the circuits of all servers are open,
            every other request fails at once.
    """

    form: WireForm = "search_r1"
    batch_size: int = 64
    connections: int = 16
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    attempts: int = 10
    backoff_s: float = 0.25
    backoff_most_s: float = 15.0
    failures_to_open: int = 5
    outage_s: float = 60.0
    pause_s: float = 10.0

    def __post_init__(self) -> None:
        if self.form not in WIRE_FORMS:
            raise ConfigError(f"form must be one of {', '.join(WIRE_FORMS)}; got {self.form!r}")
        for name in ("batch_size", "connections", "attempts", "failures_to_open"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("connect_timeout_s", "read_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0 seconds; got {getattr(self, name)}")
        for name in ("backoff_s", "backoff_most_s", "outage_s", "pause_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0 seconds; got {getattr(self, name)}")


class HttpRetriever:
    """A retriever that asks one or several search servers. Thread-safe; can be pickled (connections stay
    behind).

    Requests take turns among the servers. All queries of a call are answered, or the call raises. `counts`
    has `requests` (sent, with repeats), `retries`, `failed` (requests given up); `logging` tells each retry.

    Args:
        urls (`str` or sequence of `str`):
            Where to ask, for instance `http://localhost:8000`; without a path `/retrieve` is meant.
        settings (`HttpSettings`, *optional*):
            Wire form, timeouts, retries.
    """

    def __init__(self, urls: str | Sequence[str], settings: HttpSettings | None = None) -> None:
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise ConfigError("a HTTP retriever needs the URL of a search server; got none")
        self.urls = tuple(_full_url(url) for url in given)
        self.settings = settings = settings or HttpSettings()
        self.counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._circuits = [
            Circuit(settings.failures_to_open, settings.outage_s, settings.pause_s) for _ in self.urls
        ]
        timeouts = settings.connect_timeout_s, settings.read_timeout_s
        self._transports = [Transport(url, settings.connections, *timeouts) for url in self.urls]
        threads = settings.connections * len(self.urls)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="skill0-retriever")
        self._turn = itertools.count()
        self._closed = False

    def __reduce__(self) -> tuple[type[HttpRetriever], tuple[tuple[str, ...], HttpSettings]]:
        return HttpRetriever, (self.urls, self.settings)

    def __enter__(self) -> HttpRetriever:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and threads; the retriever cannot be used afterwards."""
        self._closed = True
        self._threads.shutdown()
        for transport in self._transports:
            transport.close()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best `k` passages of each query, best first.

        Raises:
            RetrievalError: at least one query could not be answered, or a server answered rubbish; says which
                server, what was wrong and what to do.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1 passage; got {k}")
        if self._closed:
            raise RetrievalError(f"the retriever of {', '.join(self.urls)} was closed: make another")
        size = self.settings.batch_size if self.settings.form == "search_r1" else 1
        parts = [list(queries[start : start + size]) for start in range(0, len(queries), size)]
        abandoned = threading.Event()
        if len(parts) == 1:
            return self._ask(parts[0], k, abandoned)
        asked = [self._threads.submit(self._ask, part, k, abandoned) for part in parts]
        try:
            return [hits for part in asked for hits in part.result()]
        except BaseException:
            _abandon(asked, abandoned)
            raise

    def _ask(self, queries: list[str], k: int, abandoned: threading.Event) -> list[list[Hit]]:
        """One request, repeated until it is answered or given up."""
        body = request_body(queries, k, self.settings.form)
        turn = next(self._turn)
        half, half_most = self.settings.backoff_s / 2, self.settings.backoff_most_s / 2
        backoff = tenacity.wait_exponential(half, half_most) + tenacity.wait_random_exponential(
            half, half_most
        )

        def pause(state: tenacity.RetryCallState) -> float:
            fault = state.outcome.exception() if state.outcome else None
            asked_for = fault.retry_after_s if isinstance(fault, PassingFault) else None
            return backoff(state) + (asked_for or 0.0)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFault),
            stop=tenacity.stop_after_attempt(self.settings.attempts)
            | tenacity.stop_when_event_set(abandoned),
            wait=pause,
            sleep=tenacity.sleep_using_event(abandoned),
            before_sleep=self._count_retry,
            reraise=True,
        )
        attempts = itertools.count(turn)
        tried: list[int] = []
        try:
            return retrying(self._attempt, body, queries, k, attempts, tried)
        except PassingFault as fault:
            self._count("failed")
            raise RetrievalError(
                f"{self.urls[tried[-1]]} left {len(queries)} queries unanswered after {len(tried)} "
                f"attempts; the last: {fault.reason}. To do: {fault.advice}"
            ) from fault
        except RetrievalError:
            self._count("failed")
            raise

    def _attempt(
        self, body: bytes, queries: list[str], k: int, attempts: itertools.count[int], tried: list[int]
    ) -> list[list[Hit]]:
        server = self._choose(next(attempts))
        url, circuit = self.urls[server], self._circuits[server]
        tried.append(server)
        self._count("requests")
        try:
            answer = self._transports[server].post(body)
        except PassingFault as fault:
            if fault.busy:
                circuit.succeeded()
            else:
                circuit.failed(fault.reason)
            if fault.retry_after_s is not None and fault.retry_after_s > _LONGEST_RETRY_AFTER_S:
                raise RetrievalError(
                    f"{url} asks to come back in {fault.retry_after_s:g} s, and at most "
                    f"{_LONGEST_RETRY_AFTER_S:g} s are waited. {fault.reason}"
                ) from fault
            raise
        circuit.succeeded()
        try:
            return read_answer(answer, queries, k)
        except RetrievalError as error:
            raise RetrievalError(f"{url}: {error}") from None

    def _choose(self, turn: int) -> int:
        """The next server in turn that is well or due for a probe; else the next that is not left alone."""
        order = [(turn + step) % len(self.urls) for step in range(len(self.urls))]
        for server in order:
            if self._circuits[server].ready():
                return server
        for server in order:
            if not self._circuits[server].open:
                return server
        circuit, url = self._circuits[order[0]], self.urls[order[0]]
        raise RetrievalError(
            f"{url} has been failing for {circuit.failing_s:.0f} s and is left alone for now (the circuit is "
            f"open); it is looked at every {self.settings.pause_s:g} s. Last failure: {circuit.last_reason}. "
            "To do: start the server again, or give another URL"
        )

    def _count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def _count_retry(self, state: tenacity.RetryCallState) -> None:
        self._count("retries")
        fault = state.outcome.exception() if state.outcome else None
        logger.info(
            "attempt %d failed (%s); next in %.2f s", state.attempt_number, fault, state.upcoming_sleep
        )


def _abandon(asked: Sequence[Future[list[list[Hit]]]], abandoned: threading.Event) -> None:
    """What has not begun does not begin, what waits for its next attempt gives up."""
    abandoned.set()
    for part in asked:
        part.cancel()


def _full_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigError(f"{url!r} is no URL: give for instance http://localhost:8000/retrieve") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise ConfigError(f"{url!r} is no URL of a server: give for instance http://localhost:8000/retrieve")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else "/retrieve"))
