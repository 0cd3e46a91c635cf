"""A server process for tests: `serve` over word overlap, slow if asked. Prints its URL when it is there."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from servers import OVERLAP, PASSAGES

from skill0.errors import RetrievalError
from skill0.retrieval import Hit
from skill0.retrieval.server import ServedIndex, ServerSettings
from skill0.retrieval.serving import serve


@dataclass(frozen=True)
class Slow:
    seconds: float

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        time.sleep(self.seconds)
        return OVERLAP.search(queries, k)


def open_slow(seconds: float, fails_in_workers: bool) -> ServedIndex:
    if fails_in_workers and multiprocessing.parent_process():
        raise RetrievalError("row 7 is damaged")
    return ServedIndex(Slow(seconds), "slow word overlap", len(PASSAGES))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--fails-in-workers", action="store_true")
    options = parser.parse_args()
    serve(
        partial(open_slow, options.seconds, options.fails_in_workers),
        ServerSettings(batch_size=1),
        port=options.port,
        workers=options.workers,
        announce=lambda url, index: print(url, flush=True),
    )
