"""A search server on loopback beside its index in process, and what becomes of queries when servers fail.

    python benchmarks/retrieval_http.py [--passages 100000] [--index FOLDER] [--json FILE]

**Speed**: BM25 over synthetic passages (100 words, Zipf), queries of 5 words, 3 passages each. Every batch is
searched in this process and by `skill0 serve-retriever` in another, by turns, so that other work on the
machine falls on both alike; medians of wall-clock and of CPU time (of both processes). Answers must be equal,
scores included. `--index` keeps the index for the next run.

**Faults**: 30 % of answers are a status 500, 502 or 503, break off, hang up, or come after the client's
patience of a second, which is the only setting that is not the client's own; and the server is killed
(SIGKILL) and started again three times in the middle. Each query must be answered as in process, or be
reported as failed.

**Episodes** under both at once, in two workers of a pool: each must end as it does in process (actions,
reward, what was told of its searches), and the pool must lose none.

Claims (exit code 1 when one does not hold):

    a batch of 64 queries over HTTP    at most 1.3x the time in process (numpy's search)
    faults                             no query answered wrongly, none lost
    episodes                           none scored wrong, none lost
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from retrieval_episodes import Played, run_episodes
from retrieval_faults import KINDS, Outcome, free_port, run_scenario, wait_until_healthy
from rich.console import Console
from rich.table import Table

from skill0.retrieval import Passage
from skill0.retrieval.bm25 import BM25Index
from skill0.retrieval.bm25_build import build_bm25
from skill0.retrieval.http_client import HttpRetriever, HttpSettings

WORDS, VOCABULARY, QUERY_WORDS, K = 100, 400_000, 5, 3
MOST_RATIO = 1.3
SIZES = (1, 8, 64)
FAULTS = {
    "30 % spoiled": (0.3, 0),
    "killed 3 times": (0.0, 3),
    "both": (0.3, 3),
}


def texts_of(count: int, seed: int = 0) -> Iterator[list[str]]:
    """The words of each passage: how often a word occurs falls with its rank, as in prose (Zipf)."""
    draw = np.random.default_rng(seed)
    cumulative = np.cumsum(1 / np.arange(1, VOCABULARY + 1))  # (words of the vocabulary,)
    for _ in range(count):
        ranks = np.searchsorted(cumulative, draw.random(WORDS) * cumulative[-1]) + 1  # (words of a passage,)
        yield [f"w{rank}" for rank in ranks]


def passages_of(count: int) -> Iterator[Passage]:
    for number, words in enumerate(texts_of(count)):
        yield Passage(f"p{number}", f'"Title {number}"\n{" ".join(words)}')


def batches_of(passages: int, count: int, size: int, seed: int = 1) -> list[list[str]]:
    """Each query: five words of one passage, none of the hundred commonest."""
    draw = random.Random(seed)
    content = [[word for word in words if int(word[1:]) > 100] for words in texts_of(min(passages, 5000))]
    content = [words for words in content if len(words) >= QUERY_WORDS]
    return [
        [" ".join(draw.sample(draw.choice(content), QUERY_WORDS)) for _ in range(size)] for _ in range(count)
    ]


@contextmanager
def server_over(index: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    command = [sys.executable, "-m", "skill0", "serve-retriever", str(index), f"--port={port}", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def timed(call: Callable[[], Any], server: psutil.Process | None) -> tuple[Any, float, float]:
    """What the call returns, and its milliseconds of wall-clock and of CPU time, here and in the server.

    All threads of this process count; of the server's time the system tells hundredths of a second, which the
    sum over many calls evens out.
    """
    before = server.cpu_times() if server else None
    wall, cpu = time.perf_counter(), time.process_time()
    answer = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if server and before:
        after = server.cpu_times()
        cpu += after.user + after.system - before.user - before.system
    return answer, wall * 1000, cpu * 1000


def speed(folder: Path, passages: int, repetitions: int, compiled: bool) -> list[dict[str, Any]]:
    index = BM25Index(folder, compiled)
    rows = []
    with server_over(folder, *["--compiled"] * compiled) as (url, server), HttpRetriever(url) as retriever:
        for size in SIZES:
            here, there = [], []
            for number, batch in enumerate(batches_of(passages, repetitions + 3, size)):
                found, *times_here = timed(lambda batch=batch: index.search(batch, K), None)
                answered, *times_there = timed(lambda batch=batch: retriever.search(batch, K), server)
                if answered != found:
                    raise SystemExit(f"other answers over HTTP than in process, for {batch}")
                if number >= 3:  # what is mapped is read from disk first
                    here.append(times_here)
                    there.append(times_there)
            wall_here, wall_there = (statistics.median(wall for wall, _ in times) for times in (here, there))
            rows.append(
                {
                    "search": "numba" if compiled else "numpy",
                    "queries": size,
                    "in process, ms": wall_here,
                    "over HTTP, ms": wall_there,
                    "ratio": wall_there / wall_here,
                    "ratio of CPU time": sum(cpu for _, cpu in there) / sum(cpu for _, cpu in here),
                }
            )
    return rows


def faults(queries: int) -> dict[str, Outcome]:
    return {
        name: run_scenario(queries, 500, share, restarts, HttpSettings(read_timeout_s=1.0))
        for name, (share, restarts) in FAULTS.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--queries", type=int, default=1200, help="of each scenario of faults")
    parser.add_argument("--episodes", type=int, default=240, help="played while the server fails")
    parser.add_argument("--index", type=Path, help="where to keep the index, or an index of an earlier run")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.index or Path(temporary) / "index"
        if not folder.exists():
            build_bm25(passages_of(given.passages), folder)
        rows = [
            row
            for compiled in (True, False)
            for row in speed(folder, given.passages, given.repetitions, compiled)
        ]
    outcomes = faults(given.queries)
    played = run_episodes(given.episodes, 500, *FAULTS["both"], HttpSettings(read_timeout_s=1.0))
    console = Console()
    table = Table(
        *rows[0], title=f"BM25, {given.passages:,} passages, 3 for each query", title_justify="left"
    )
    for row in rows:
        search, queries, *figures = row.values()
        table.add_row(search, str(queries), *(f"{value:.2f}" for value in figures))
    console.print(table)
    print_faults(console, outcomes, played)
    ratio = rows[-1]["ratio"]  # of the search that needs no compiler
    checked = [
        ("batch of 64 over HTTP / in process", f"{ratio:.2f}", f"<= {MOST_RATIO}", ratio <= MOST_RATIO),
        *((name, f"{one.wrong} wrong, {one.lost} lost", "0, 0", not one.wrong and not one.lost)
          for name, one in outcomes.items()),
        ("episodes", f"{played.wrong} wrong, {played.lost.total()} lost", "0, 0",
         played.same == played.episodes),
    ]  # fmt: skip
    table = Table("claim", "measured", "claimed", "", title="Claims", title_justify="left")
    for name, value, claim, holds in checked:
        table.add_row(name, value, claim, "holds" if holds else "DOES NOT HOLD")
    console.print(table)
    if given.json:
        figures = {name: one.figures() for name, one in outcomes.items()}
        found = {"speed": rows, "faults": figures, "episodes": played.figures()}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(holds for *_, holds in checked) else 1


def print_faults(console: Console, outcomes: dict[str, Outcome], played: Played) -> None:
    table = Table("", *outcomes, title=f"Faults ({', '.join(KINDS)})", title_justify="left")
    columns = [outcome.figures() for outcome in outcomes.values()]
    for what in columns[0]:
        table.add_row(what, *(f"{figures[what]:g}" for figures in columns))
    console.print(table)
    table = Table("", "both", title="Episodes in two workers", title_justify="left")
    for what, figure in played.figures().items():
        table.add_row(what, f"{figure:g}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
