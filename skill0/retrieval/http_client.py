"""Passages from a search server over HTTP, in either published form of its protocol (see `wire`).

Follows the client of SkillZero (arXiv 2604.02268, `skyrl_gym/tools/search.py`): ten attempts, growing pauses,
thirty seconds for an answer, several servers. Differs: pauses have jitter and obey Retry-After, a call ends
within a stated time, a server that is down is left alone, queries go in batches or side by side, and what
comes back is checked before it is believed. Needs the extra `search`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.base import Hit
from skill0.retrieval.http_servers import Servers
from skill0.retrieval.http_settings import HttpSettings
from skill0.retrieval.http_transport import PassingFault
from skill0.retrieval.wire import read_answer, request_body

try:
    import tenacity
except ImportError as error:
    raise ConfigError(
        "the HTTP client of retrievers needs the extra `search`: pip install 'skill0[search]'"
    ) from error

__all__ = ["HttpRetriever", "HttpSettings"]

_SHARED_ATTEMPTS = 3
"""So many attempts of a request of several queries fail, for which one query may be the reason, before each
is asked alone."""

_TOLD_ATTEMPT = 4
"""From this failed attempt of a request on, a person is told, who may see that a server is down."""

Answers = list[list[Hit]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Call:
    """What the requests of one call share: its passages for a query, and when it ends."""

    k: int
    deadline: float  # of `time.monotonic`

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclass
class _Request:
    """One request while it is repeated. `tried`: where it was sent; `reached`: how often a server took it;
    `suspect`: how often it failed in a way that its queries may be the reason of. Requests that are asked
    side by side are abandoned together."""

    call: _Call
    queries: list[str]
    body: bytes
    shared: bool
    abandoned: threading.Event
    turns: Iterator[int]
    tried: list[str] = field(default_factory=list)
    reached: int = 0
    suspect: int = 0


class HttpRetriever:
    """A retriever that asks one or several search servers. Thread-safe; can be pickled (connections stay
    behind).

    Requests take turns among the servers. `counts` has `requests` (sent, with repeats), `retries`, `failed`
    (requests given up); `logging` tells each retry, the fourth of a request and later ones as warnings.

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
        self.settings = settings = settings or HttpSettings()
        self._servers = Servers(given, settings)
        self.urls = self._servers.urls
        self.counts: Counter[str] = Counter()
        self._counting = threading.Lock()
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
        self._servers.close()

    def search(self, queries: Sequence[str], k: int) -> Answers:
        """The best `k` passages of each query, best first.

        Raises:
            RetrievalError: at least one query could not be answered, or a server answered rubbish; says which
                server, what was wrong and what to do.
        """
        call = self._begin(k)
        answers: Answers = []
        for found in self._side_by_side(self._parts(queries), call, until_error=True):
            if isinstance(found, RetrievalError):
                raise found
            answers += found
        return answers

    def search_each(self, queries: Sequence[str], k: int) -> list[list[Hit] | RetrievalError]:
        """For each query its best `k` passages, or why it could not be answered; within the time of one call.

        The queries of a request that failed are asked each alone, so that one that a server cannot answer
        costs none of the others. A shared request is therefore given up early.
        """
        call, parts = self._begin(k), self._parts(queries)
        found = self._side_by_side(parts, call, alone_next=True)
        answers = [one for part, answer in zip(parts, found, strict=True) for one in _spread(part, answer)]
        shared = [len(part) > 1 for part in parts for _ in part]
        failed = [isinstance(answer, RetrievalError) for answer in answers]
        again = [number for number in range(len(answers)) if shared[number] and failed[number]]
        if again and not call.over:
            alone = self._side_by_side([[queries[number]] for number in again], call)
            for number, answer in zip(again, alone, strict=True):
                [answers[number]] = _spread([queries[number]], answer)
        return answers

    def _begin(self, k: int) -> _Call:
        if k < 1:
            raise ConfigError(f"k must be at least 1 passage; got {k}")
        if self._closed:
            raise RetrievalError(f"the retriever of {', '.join(self.urls)} was closed: make another")
        return _Call(k, time.monotonic() + self.settings.patience_s)

    def _parts(self, queries: Sequence[str]) -> list[list[str]]:
        """The queries of each request."""
        size = self.settings.batch_size if self.settings.form == "search_r1" else 1
        return [list(queries[start : start + size]) for start in range(0, len(queries), size)]

    def _side_by_side(
        self, parts: Sequence[list[str]], call: _Call, until_error: bool = False, alone_next: bool = False
    ) -> list[Answers | RetrievalError]:
        """The answers of requests for these queries; errors stand in their places. `until_error`: the first
        is the last, and what is not answered by then is given up. `alone_next`: see `_SHARED_ATTEMPTS`."""
        abandoned = threading.Event()
        requests = [
            _Request(
                call, part, request_body(part, call.k, self.settings.form), alone_next and len(part) > 1,
                abandoned, itertools.count(next(self._turn)),
            )
            for part in parts
        ]  # fmt: skip
        if len(requests) == 1:
            return [self._answer(requests[0])]
        running = [self._threads.submit(self._answer, request) for request in requests]
        answers: list[Answers | RetrievalError] = []
        try:
            for one in running:
                answers.append(one.result())
                if until_error and isinstance(answers[-1], RetrievalError):
                    break
            return answers
        finally:  # what has not begun does not begin, what waits for its next attempt gives up
            abandoned.set()
            for one in running:
                one.cancel()

    def _answer(self, request: _Request) -> Answers | RetrievalError:
        """One request, repeated until it is answered or given up."""
        count = len(request.queries)
        try:
            if request.call.over:
                raise RetrievalError(
                    f"{', '.join(self.urls)}: {count} queries were not sent, for the call's "
                    f"{self.settings.patience_s:g} s were over. To do: raise `patience_s` or `connections`"
                )
            return self._retrying(request)(self._attempt, request)
        except PassingFault as fault:
            found = RetrievalError(
                f"{request.tried[-1]} left {count} queries unanswered after {len(request.tried)} "
                f"attempts; the last: {fault.reason}. To do: {fault.advice}"
            )
            found.__cause__ = fault
        except RetrievalError as error:
            found = error
        self._count("failed")
        return found

    def _retrying(self, request: _Request) -> tenacity.Retrying:
        """How a request is repeated: pauses, and when it is given up."""
        half, half_most = self.settings.backoff_s / 2, self.settings.backoff_most_s / 2
        backoff = tenacity.wait_exponential(half, half_most) + tenacity.wait_random_exponential(
            half, half_most
        )

        def pause(state: tenacity.RetryCallState) -> float:
            return backoff(state) + self._servers.asked_to_wait_s

        def given_up(state: tenacity.RetryCallState) -> bool:
            too_late = time.monotonic() + state.upcoming_sleep >= request.call.deadline
            too_often = request.reached >= self.settings.attempts
            apart = request.shared and request.suspect >= _SHARED_ATTEMPTS
            return too_late or too_often or apart or request.abandoned.is_set()

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFault),
            stop=given_up,
            wait=pause,
            sleep=tenacity.sleep_using_event(request.abandoned),
            before_sleep=self._count_retry,
            reraise=True,
        )

    def _attempt(self, request: _Request) -> Answers:
        server = self._servers.choose(next(request.turns))
        url = self.urls[server]
        request.tried.append(url)
        self._count("requests")
        try:
            answer = self._servers.post(server, request.body)
        except PassingFault as fault:
            request.reached += fault.reached
            request.suspect += fault.reached and not fault.busy
            raise
        try:
            return read_answer(answer, request.queries, request.call.k)
        except RetrievalError as error:
            raise RetrievalError(f"{url}: {error}") from None

    def _count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def _count_retry(self, state: tenacity.RetryCallState) -> None:
        self._count("retries")
        fault = state.outcome.exception() if state.outcome else None
        level = logging.WARNING if state.attempt_number >= _TOLD_ATTEMPT else logging.INFO
        logger.log(
            level,
            "%s: attempt %d failed (%s); next in %.2f s",
            state.args[0].tried[-1], state.attempt_number, fault, state.upcoming_sleep,
        )  # fmt: skip


def _spread(queries: Sequence[str], answer: Answers | RetrievalError) -> list[list[Hit] | RetrievalError]:
    """For each query of a request what became of it."""
    return [answer] * len(queries) if isinstance(answer, RetrievalError) else list(answer)
