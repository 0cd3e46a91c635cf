"""A search server that fails on purpose, and a run of many queries against it that loses none.

    python benchmarks/retrieval_faults.py serve --port 8123 --share 0.3     the server alone

The scenario (`run_scenario`) is told and printed by benchmarks/retrieval_http.py. Passages and queries are
made of a seed, so that every process has the same; the right answers come from the same retriever in this
process.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from skill0.errors import RetrievalError
from skill0.retrieval import Hit, Passage
from skill0.retrieval.http_client import HttpRetriever, HttpSettings

KINDS = ("status 500", "status 503", "status 502", "cut off", "hung up", "slow")
SLOW_S = 3.0


class WordOverlap:
    """Finds the passages that share most words with the query; of equals, those that come first."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        self._words = [frozenset(passage.contents.lower().split()) for passage in passages]

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        return [self._search_one(frozenset(query.lower().split()), k) for query in queries]

    def _search_one(self, query: frozenset[str], k: int) -> list[Hit]:
        shared = [len(query & words) for words in self._words]
        best = sorted(range(len(shared)), key=lambda row: (-shared[row], row))[:k]
        return [Hit(self.passages[row], float(shared[row])) for row in best if shared[row]]


def make_passages(count: int, words: int = 30, vocabulary: int = 2000, seed: int = 0) -> list[Passage]:
    draw = random.Random(seed)
    texts = [" ".join(f"w{draw.randrange(vocabulary)}" for _ in range(words)) for _ in range(count)]
    return [Passage(f"p{row}", f'"Title {row}"\n{text}') for row, text in enumerate(texts)]


def make_queries(count: int, words: int = 5, vocabulary: int = 2000, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(vocabulary)}" for _ in range(words)) for _ in range(count)]


class Faulty:
    """An ASGI application before another: it spoils a share of the answers of /retrieve, by a seeded draw."""

    def __init__(self, app: Callable[..., Awaitable[None]], share: float, seed: int) -> None:
        self._app, self._share, self._draw = app, share, random.Random(seed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/retrieve" or self._draw.random() >= self._share:
            await self._app(scope, receive, send)
            return
        kind = self._draw.choice(KINDS)
        if kind == "slow":
            await asyncio.sleep(SLOW_S)
            await self._app(scope, receive, send)
        elif kind == "hung up":
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"900")]}
            )
        elif kind == "cut off":
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"900")]}
            )
            await send({"type": "http.response.body", "body": b'{"result": [[', "more_body": True})
        else:
            headers = [(b"content-length", b"7"), (b"retry-after", b"0")]
            await send({"type": "http.response.start", "status": int(kind.split()[1]), "headers": headers})
            await send({"type": "http.response.body", "body": b"spoiled"})


class ServerProcess:
    """The faulty server as a process of its own, that can be killed and started again at the same port."""

    def __init__(self, passages: int, share: float, seed: int = 0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [f"--port={self.port}", f"--passages={passages}", f"--share={share}"]
        self._seed = seed
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, wait: bool = True) -> None:
        """Each start has another seed: what failed before need not fail again."""
        self._seed += 1
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "serve", *self._arguments, f"--seed={self._seed}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if wait:
            wait_until_healthy(self.url)

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(url: str, longest_s: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + longest_s
    with urllib3.PoolManager() as pool:
        while True:
            with suppress(urllib3.exceptions.HTTPError):
                return pool.request("GET", f"{url}/health", retries=False, timeout=2.0).json()
            if time.monotonic() > deadline:
                raise TimeoutError(f"no server at {url} after {longest_s} s")
            time.sleep(0.05)


@dataclass
class Outcome:
    """What became of the queries of a scenario."""

    queries: int
    right: int = 0
    wrong: int = 0
    reported: int = 0
    restarts: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        return self.queries - self.right - self.wrong - self.reported

    def figures(self) -> dict[str, float]:
        return {
            "queries": self.queries,
            "right": self.right,
            "wrong": self.wrong,
            "reported as failed": self.reported,
            "lost": self.lost,
            "requests": self.counts["requests"],
            "retries": self.counts["retries"],
            "restarts": self.restarts,
            "seconds": round(self.seconds, 1),
        }


def run_scenario(
    queries: int, passages: int, share: float, restarts: int, settings: HttpSettings, per_call: int = 4
) -> Outcome:
    """Ask from eight threads while a `share` of answers is spoiled and the server is killed `restarts` times,
    each time when a further part of the calls is done; compare every answer with the retriever in process."""
    right = WordOverlap(make_passages(passages))
    asked = make_queries(queries)
    calls = [asked[start : start + per_call] for start in range(0, queries, per_call)]
    outcome = Outcome(queries)
    begin = time.perf_counter()
    with (
        ServerProcess(passages, share) as server,
        HttpRetriever(server.url, settings) as retriever,
        ThreadPoolExecutor(8) as threads,
    ):

        def ask(call: list[str]) -> tuple[list[str], list[list[Hit]] | None]:
            try:
                return call, retriever.search(call, 3)
            except RetrievalError:
                return call, None

        running = [threads.submit(ask, call) for call in calls]
        for number in range(restarts):
            mark = (number + 1) * len(calls) // (restarts + 1)
            while sum(call.done() for call in running) < mark:
                time.sleep(0.01)
            server.kill()
            time.sleep(0.5)
            server.start(wait=False)
            outcome.restarts += 1
        for done in running:
            call, found = done.result()
            if found is None:
                outcome.reported += len(call)
            else:
                same = sum(one == other for one, other in zip(found, right.search(call, 3), strict=True))
                outcome.right += same
                outcome.wrong += len(call) - same
        outcome.counts = retriever.counts
    outcome.seconds = time.perf_counter() - begin
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    serve = parser.add_subparsers(required=True).add_parser("serve")
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--passages", type=int, default=500)
    serve.add_argument("--share", type=float, default=0.3)
    serve.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import uvicorn

    from skill0.retrieval.server import ServedIndex, make_app

    index = ServedIndex(WordOverlap(make_passages(options.passages)), "word overlap", options.passages)
    app = Faulty(make_app(index), options.share, options.seed)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="critical")


if __name__ == "__main__":
    main()
