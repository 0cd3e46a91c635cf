"""The search server: both published wire forms (see `wire`) over any retriever, as an ASGI application.

    POST /retrieve    {"query": ...} or {"queries": [...]}, "topk", "return_scores"
    GET  /health      what is served, since when, and how long the queue is

Statuses: 200; 413 a body or a list that is too long; 422 with FastAPI's `detail` for a request that is not of
the form, as SkillZero's server has it; 500 the retriever raised; 503 with Retry-After where the queue is
full. How it is run: `serving`. Needs the extra `serve`. Left out: logins and TLS, which a reverse proxy does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import to_json

from skill0._version import __version__
from skill0.errors import ConfigError
from skill0.retrieval.base import Retriever
from skill0.retrieval.search_queue import QueueFull, SearchQueue
from skill0.retrieval.wire import answer_body, excerpt

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise ConfigError("the search server needs the extra `serve`: pip install 'skill0[serve]'") from error

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """What a search server takes.

    Args:
        topk (`int`, *optional*, defaults to `3`):
            Passages for a query where the request does not say (no `topk`, or 0).
        most_topk (`int`, *optional*, defaults to `1000`):
            The largest `topk` of a request.
        most_queries (`int`, *optional*, defaults to `1024`):
            The most queries in one request.
        most_bytes (`int`, *optional*, defaults to `4194304`):
            The longest body of a request.
        queue (`int`, *optional*, defaults to `1024`):
            Queries that may wait; further requests get 503 and a Retry-After.
        batch_size (`int`, *optional*, defaults to `64`):
            Queries of requests that wait together, in one call of the retriever.
        longest_wait_s (`float`, *optional*, defaults to `30.0`):
            A request that waited longer in the queue gets 503 instead of a search.
        access_log (`str`, *optional*):
            A file that gets one JSON line for each request; `"-"` is standard output.
    """

    topk: int = 3
    most_topk: int = 1000
    most_queries: int = 1024
    most_bytes: int = 1 << 22
    queue: int = 1024
    batch_size: int = 64
    longest_wait_s: float = 30.0
    access_log: str | None = None

    def __post_init__(self) -> None:
        for name in ("topk", "most_topk", "most_queries", "most_bytes", "queue", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.topk > self.most_topk:
            raise ConfigError(f"topk must be at most most_topk={self.most_topk}; got {self.topk}")
        if self.longest_wait_s <= 0:
            raise ConfigError(f"longest_wait_s must be more than 0 seconds; got {self.longest_wait_s}")


class _RetrieveRequest(BaseModel):
    """The body of a request. Unknown keys, and "3" for 3, are let through, as the published servers do."""

    query: str | None = None
    queries: list[str] | None = None
    topk: int | None = None
    return_scores: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> _RetrieveRequest:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either `query` (text) or `queries` (a list of texts)")
        if self.topk is not None and self.topk < 0:
            raise ValueError(f"`topk` must be at least 0; got {self.topk}")
        return self


@dataclass(frozen=True)
class ServedIndex:
    """A retriever, and what the health endpoint tells of it. `passages` is their number."""

    retriever: Retriever
    engine: str
    passages: int


class _Refused(Exception):
    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def make_app(index: ServedIndex, settings: ServerSettings | None = None) -> Starlette:
    """The application that serves `index`; its lifespan starts and ends the search thread."""
    service = _Service(index, settings or ServerSettings())
    routes = [
        Route("/retrieve", service.retrieve, methods=["POST"]),
        Route("/health", service.health, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=service.lifespan)


class _Service:
    def __init__(self, index: ServedIndex, settings: ServerSettings) -> None:
        self._index, self._settings = index, settings
        self._queue: SearchQueue
        self._started = time.monotonic()
        self._statuses: Counter[int] = Counter()
        self._log: TextIO | None = None

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        settings = self._settings
        self._queue = SearchQueue(
            self._index.retriever, settings.queue, settings.batch_size, settings.longest_wait_s
        )
        with ExitStack() as files:
            if settings.access_log == "-":
                self._log = sys.stdout
            elif settings.access_log:
                self._log = files.enter_context(Path(settings.access_log).open("a"))
            work = asyncio.create_task(self._queue.work())
            try:
                yield
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

    async def health(self, request: Request) -> Response:
        return _answer(
            200,
            {
                "status": "ok",
                "engine": self._index.engine,
                "passages": self._index.passages,
                "version": __version__,
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - self._started, 3),
                "waiting_queries": self._queue.waiting,
                "most_waiting_queries": self._queue.most_waiting,
                "searched_queries": self._queue.searched,
                "answers_by_status": {str(status): count for status, count in sorted(self._statuses.items())},
            },
        )

    async def retrieve(self, request: Request) -> Response:
        start = time.perf_counter()
        asked: _RetrieveRequest | None = None
        try:
            asked = _parse(await self._body(request))
            response = await self._search(asked)
        except _Refused as refused:
            response = _answer(refused.status, {"detail": refused.detail}, refused.headers)
        except ClientDisconnect:
            response = Response(status_code=400)
        self._statuses[response.status_code] += 1
        if self._log:
            self._write_log(request, asked, response, time.perf_counter() - start)
        return response

    async def _search(self, asked: _RetrieveRequest) -> Response:
        settings = self._settings
        queries = asked.queries if asked.queries is not None else [asked.query or ""]
        k = asked.topk or settings.topk
        if len(queries) > settings.most_queries:
            raise _Refused(413, f"{len(queries)} queries; at most {settings.most_queries} in one request")
        if k > settings.most_topk:
            raise _Refused(422, _detail(["topk"], f"at most {settings.most_topk}", k, "less_than_equal"))
        try:
            found = await self._queue.search(queries, k)
        except QueueFull as full:
            raise _Refused(503, str(full), {"Retry-After": str(full.retry_after_s)}) from None
        except Exception as error:
            logger.exception("the retriever raised")
            raise _Refused(500, f"{type(error).__name__}: {error}") from error
        return Response(answer_body(found, asked.return_scores), media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        most = self._settings.most_bytes
        parts: list[bytes] = []
        length = 0
        async for part in request.stream():
            length += len(part)
            if length > most:
                raise _Refused(413, f"the body is longer than {most} bytes", {"Connection": "close"})
            parts.append(part)
        return b"".join(parts)

    def _write_log(
        self, request: Request, asked: _RetrieveRequest | None, response: Response, seconds: float
    ) -> None:
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "client": f"{request.client.host}:{request.client.port}" if request.client else None,
            "status": response.status_code,
            "form": None if asked is None else ("skillzero" if asked.queries is None else "search_r1"),
            "queries": None if asked is None else (1 if asked.queries is None else len(asked.queries)),
            "topk": None if asked is None else asked.topk,
            "bytes": len(response.body),
            "ms": round(seconds * 1000, 3),
        }
        print(json.dumps(line), file=self._log, flush=True)


def _parse(body: bytes) -> _RetrieveRequest:
    """Raises `_Refused` with what FastAPI would say: a list of places and messages under `detail`."""
    try:
        return _RetrieveRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        detail = [
            {
                "type": row["type"],
                "loc": ["body", *row["loc"]],
                "msg": row["msg"],
                "input": _shown(row["input"]),
            }
            for row in found
        ]
        raise _Refused(422, detail) from None


def _shown(value: Any) -> Any:
    """What was sent wrongly may be long, or no text at all: its beginning is enough."""
    return value if value is None or isinstance(value, (bool, int)) else excerpt(value)


def _detail(place: list[str], message: str, value: Any, kind: str) -> list[dict[str, Any]]:
    return [{"type": kind, "loc": ["body", *place], "msg": message, "input": value}]


def _answer(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    body = to_json(content)
    return Response(body, status, headers, media_type="application/json")
