"""A bounded queue in front of a retriever: what waits together is searched together, and what is too much is
refused at once.

One thread searches, so that retrievers need not be thread-safe. While it is at work requests gather; then all
that wait and want the same `k` go in one call. Nothing waits for company: a request that comes alone is
searched alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from skill0.errors import RetrievalError
from skill0.retrieval.base import Hit, Retriever

logger = logging.getLogger(__name__)


class QueueFull(Exception):
    """No room for a request, or it waited too long; about `retry_after_s` seconds from now there will be."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class _Waiting:
    queries: Sequence[str]
    k: int
    answer: asyncio.Future[list[list[Hit]]]
    since: float


class SearchQueue:
    """Requests on their way through `retriever`. Used from one event loop; `work` must be running.

    Args:
        retriever (`Retriever`): what answers, called from one thread.
        most_waiting (`int`): queries that may wait. A request that finds nobody waiting always has room.
        batch_size (`int`): queries in one call of the retriever at most, unless one request has more.
        longest_wait_s (`float`): a request that waited longer is refused: whoever asked has given up by then.
    """

    def __init__(
        self, retriever: Retriever, most_waiting: int, batch_size: int, longest_wait_s: float
    ) -> None:
        self._retriever = retriever
        self.most_waiting, self._batch_size, self._longest_wait_s = most_waiting, batch_size, longest_wait_s
        self._line: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self.waiting = 0
        self.searched = 0
        self._query_s = 0.0

    async def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The answer of the retriever.

        Raises:
            QueueFull: refused; nothing was searched.
            Exception: what the retriever raised for these queries.
        """
        if self._line and self.waiting + len(queries) > self.most_waiting:
            raise QueueFull(
                f"{self.waiting} queries are waiting, and {len(queries)} more are over the limit of "
                f"{self.most_waiting}",
                self._estimate(),
            )
        answer: asyncio.Future[list[list[Hit]]] = asyncio.get_running_loop().create_future()
        self._line.append(_Waiting(queries, k, answer, time.monotonic()))
        self.waiting += len(queries)
        self._came.set()
        return await answer

    async def work(self) -> None:
        """Search until cancelled."""
        with ThreadPoolExecutor(1, thread_name_prefix="skill0-search") as thread:
            while True:
                await self._came.wait()
                batch = self._next_batch()
                if not self._line:
                    self._came.clear()
                if batch:
                    await self._search_together(batch, thread)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._line:
            first = self._line[0]
            if batch and (first.k != batch[0].k or size + len(first.queries) > self._batch_size):
                break
            self._line.popleft()
            self.waiting -= len(first.queries)
            waited = time.monotonic() - first.since
            if first.answer.done():
                continue
            if waited > self._longest_wait_s:
                first.answer.set_exception(QueueFull(f"not reached in {waited:.1f} s", self._estimate()))
                continue
            batch.append(first)
            size += len(first.queries)
        return batch

    async def _search_together(self, batch: list[_Waiting], thread: ThreadPoolExecutor) -> None:
        queries = [query for waiting in batch for query in waiting.queries]
        start = time.perf_counter()
        try:
            found = await asyncio.get_running_loop().run_in_executor(thread, self._call, queries, batch[0].k)
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].answer.done():
                    batch[0].answer.set_exception(error)
                return
            # The fault of one request must not become the fault of those that happened to wait beside it.
            logger.warning("%d requests are searched again one by one: %s", len(batch), error)
            for waiting in batch:
                await self._search_together([waiting], thread)
            return
        self._query_s = 0.8 * self._query_s + 0.2 * (time.perf_counter() - start) / max(1, len(queries))
        self.searched += len(queries)
        position = 0
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_result(found[position : position + len(waiting.queries)])
            position += len(waiting.queries)

    def _call(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        found = self._retriever.search(queries, k)
        if len(found) != len(queries):
            raise RetrievalError(f"the retriever gave {len(found)} answers to {len(queries)} queries")
        return found

    def _estimate(self) -> int:
        """Whole seconds, as Retry-After has them, until what waits now is done; from 1 to 30."""
        return min(30, max(1, math.ceil(self.waiting * self._query_s)))
