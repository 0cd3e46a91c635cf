"""The BM25 index beside bm25s and tantivy, and beside Lucene's recorded answers.

    python benchmarks/retrieval.py [--sizes 10000,100000] [--json FILE]

Synthetic passages of 100 words, Zipf's law over 400,000 words, seeded. Each engine indexes the same passages
with its own analysis and answers the same queries, text in, numbers and scores of ten passages out:
*content*, five words of one passage which are none of the 100 commonest; *mixed*, those and three of the
commonest; *drawn*, five words drawn as the passages' are. (Words end in x, so that skill0's stemmer, which
the others have none of, sees at once that it leaves them alone.)

One thread. Times are CPU time of this process,
medians over batches of queries that take turns, so that other work on the machine falls on all alike; ratios
are what counts. Memory is that of a process that opens one index and searches, and what one build needs at
most. bm25s and skill0 run on numba; *skill0 numpy* is what needs no compiler.

Where real passages and questions are at hand (`--data`), the same engines answer those, too.

Claims (exit code 1 when one does not hold):

    queries per second, 100,000 passages, five words    at least 2x bm25s, at least 2x tantivy
    the best 10 of Lucene's recorded queries            equal for all; in order to 50 for 99.5 %
    build, faithful analysis                            at least 20,000 passages a minute
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = "1"  # before it is imported

import numpy as np
import psutil
import webshop_products
from rich.console import Console
from rich.table import Table

from skill0.retrieval import BM25Index, Passage, build_bm25

VOCABULARY, WORDS, COMMON, K = 400_000, 100, 100, 10
BATCH, ROUNDS = 50, 7
ENGINES = ("skill0", "skill0 numpy", "bm25s", "tantivy")
Search = Callable[[Sequence[str]], Any]


def word(rank: int) -> str:
    """A word of letters for a rank: consonants and vowels in turn, so that it reads and stems as words do."""
    letters = ""
    rank += 1
    while rank:
        rank, consonant = divmod(rank, 19)
        rank, vowel = divmod(rank, 5)
        letters += "bcdfghjklmnpqrstvwz"[consonant] + "aeiou"[vowel]
    return letters + "x"


class Draw:
    """Ranks drawn by Zipf's law."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        weights = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
        self._cumulative = weights / weights[-1]

    def ranks(self, count: int) -> list[int]:
        return np.searchsorted(self._cumulative, self._random.random(count)).tolist()

    def choice(self, of: Sequence[int], count: int) -> list[int]:
        return self._random.choice(of, count, replace=len(of) < count).tolist()


def passages(count: int) -> Iterator[Passage]:
    draw, words = Draw(0), [word(rank) for rank in range(VOCABULARY)]
    for number in range(count):
        yield Passage(str(number), " ".join(words[rank] for rank in draw.ranks(WORDS)))


def queries(count: int) -> dict[str, list[str]]:
    draw, kinds = Draw(1), {"content": [], "mixed": [], "drawn": []}
    for _ in range(count):
        rare = [rank for rank in draw.ranks(WORDS) if rank >= COMMON]
        content = draw.choice(rare, 5)
        common = draw.choice(range(COMMON), 3)
        for kind, ranks in zip(kinds, (content, content + common, draw.ranks(5)), strict=True):
            kinds[kind].append(" ".join(map(word, ranks)))
    return kinds


def build(engine: str, folder: Path, corpus: Iterable[Passage]) -> None:
    if engine.startswith("skill0"):
        build_bm25(corpus, folder)
    elif engine == "bm25s":
        import bm25s

        index = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend="numba")
        texts = [passage.contents for passage in corpus]
        index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
        index.save(folder)
    else:
        import tantivy

        folder.mkdir()
        schema = tantivy.SchemaBuilder().add_text_field("contents", index_option="freq").build()
        writer = tantivy.Index(schema, path=str(folder)).writer(num_threads=1)
        for passage in corpus:
            writer.add_document(tantivy.Document(contents=passage.contents))
        writer.commit()
        writer.wait_merging_threads()


def open_engine(engine: str, folder: Path) -> Search:
    """A function from queries to what was found, numbers and scores; opened from disk."""
    if engine.startswith("skill0"):
        index = BM25Index(folder, compiled=engine == "skill0")
        return lambda texts: index.search_numbers(texts, K)
    if engine == "bm25s":
        import bm25s

        ranked = bm25s.BM25.load(folder, mmap=True)
        ranked.activate_numba_scorer() if hasattr(ranked, "activate_numba_scorer") else None
        ranked.backend = "numba"

        def by_bm25s(texts: Sequence[str]) -> Any:
            tokens = bm25s.tokenize(list(texts), stopwords="en", show_progress=False)
            return ranked.retrieve(tokens, k=K, show_progress=False, n_threads=1)

        return by_bm25s
    import tantivy

    opened = tantivy.Index.open(str(folder))
    searcher = opened.searcher()
    return lambda texts: [
        searcher.search(opened.parse_query(text, ["contents"]), K, count=False) for text in texts
    ]


def cpu_seconds(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def in_process(command: str, engine: str, folder: Path, count: int) -> dict[str, float]:
    """Run a part of this file in a process of its own, for its memory; what it prints."""
    arguments = [sys.executable, __file__, "--part", command, engine, str(folder), str(count)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def part(command: str, engine: str, folder: Path, count: int) -> dict[str, float]:
    if command == "build":
        cpu, wall = time.process_time(), time.perf_counter()
        build(engine, folder, passages(count))
        took = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - wall}
    else:
        start = time.perf_counter()
        search = open_engine(engine, folder)
        took = {"seconds": time.perf_counter() - start}
        search(queries(20)["mixed"])
    return {**took, "mib": psutil.Process().memory_info().rss / 2**20, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_size(count: int, folder: Path, console: Console) -> dict[str, Any]:
    """Build, disk, memory and speed of every engine at one size."""
    result: dict[str, Any] = {}
    place = {engine: folder / f"{engine.split()[0]}-{count}" for engine in ENGINES}
    for engine in ENGINES:
        console.print(f"{count} passages: building {engine}")
        if engine == "skill0 numpy":  # the same index
            result[engine] = {"build": result["skill0"]["build"]}
        else:
            result[engine] = {"build": in_process("build", engine, place[engine], count)}
        result[engine]["open"] = in_process("open", engine, place[engine], count)
        sizes = (path.stat().st_size for path in place[engine].rglob("*") if path.is_file())
        result[engine]["disk_mib"] = sum(sizes) / 2**20
    # Not before all are built: what lies in memory unused for a minute may be taken away.
    searches = {engine: open_engine(engine, place[engine]) for engine in ENGINES}
    for kind, texts in queries(BATCH * ROUNDS).items():
        for engine, speed in speeds(searches, texts).items():
            result[engine][kind] = speed
    return result


def speeds(searches: dict[str, Search], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Queries per second of each engine, and how much faster skill0 is, in batches that take turns."""
    times: dict[str, list[float]] = {engine: [] for engine in searches}
    for search in searches.values():  # compiled, and in the page cache
        search(texts[:BATCH])
    for start in range(0, len(texts) - BATCH + 1, BATCH):
        batch = texts[start : start + BATCH]
        for engine, search in searches.items():
            times[engine].append(cpu_seconds(lambda run=search, batch=batch: run(batch)) / BATCH)
    return {
        engine: {
            "queries_per_second": 1 / statistics.median(taken),
            "ours_is_faster_by": statistics.median(
                other / own for other, own in zip(taken, times["skill0"], strict=True)
            ),
        }
        for engine, taken in times.items()
    }


def measure_questions(data: Path, folder: Path) -> dict[str, Any]:
    """Real questions to real passages; their punctuation, which tantivy reads as commands, is left out."""
    corpus = list(_real_passages(data))
    with gzip.open(data / "search" / "wiki18_sample_questions.jsonl.gz", "rt", encoding="utf-8") as lines:
        questions = [re.sub(r"[^\w\s]", " ", json.loads(line)["question"]) for line in lines]
    searches: dict[str, Search] = {}
    for engine in ENGINES:
        place = folder / f"{engine.split()[0]}-real"
        if not place.exists():
            build(engine, place, corpus)
        searches[engine] = open_engine(engine, place)
    found = speeds(searches, questions)
    return {"passages": len(corpus), "questions": len(questions), "engines": found}


def measure_faithful(data: Path) -> dict[str, Any]:
    """Against Lucene's recorded answers; and how fast real passages are indexed."""
    index = BM25Index.of(webshop_products.documents(data))
    texts, expected = webshop_products.recorded(data)
    found = [[hit.passage.id for hit in hits] for hits in index.search(texts, 50)]
    pairs = list(zip(found, expected, strict=True))
    corpus = list(_real_passages(data))
    seconds = cpu_seconds(lambda: BM25Index.of(corpus))
    return {
        "queries": len(texts),
        "top_10_equal": sum(ours[:10] == theirs[:10] for ours, theirs in pairs),
        "top_50_equal": sum(ours == theirs for ours, theirs in pairs),
        "real_passages": len(corpus),
        "passages_per_minute": 60 * len(corpus) / seconds,
    }


def _real_passages(data: Path) -> Iterator[Passage]:
    from skill0.retrieval import read_corpus

    yield from read_corpus(data / "search" / "wiki18_passages_sample.jsonl.gz")


def show(sizes: dict[int, Any], console: Console) -> None:
    columns = "passages", "engine", "build s (CPU)", "peak MiB", "disk MiB", "open s", "MiB"
    table = Table(*columns, "content q/s", "mixed q/s", "drawn q/s", title="(n x): so much faster is skill0")
    for count, engines in sizes.items():
        for engine, at in engines.items():
            speeds = [
                f"{at[kind]['queries_per_second']:,.0f} ({at[kind]['ours_is_faster_by']:.1f}x)"
                for kind in ("content", "mixed", "drawn")
            ]
            facts = at["build"]["cpu"], at["build"]["peak_mib"], at["disk_mib"]
            opened = f"{at['open']['seconds']:.1f}", f"{at['open']['mib']:.0f}"
            table.add_row(f"{count:,}", engine, *(f"{fact:.0f}" for fact in facts), *opened, *speeds)
    console.print(table)


def claims(results: dict[str, Any]) -> list[str]:
    """What does not hold."""
    missed = []
    at = results["sizes"].get(100_000, {})
    for engine in ENGINES[2:]:
        if at and (ratio := at[engine]["content"]["ours_is_faster_by"]) < 2:
            missed.append(f"{ratio:.2f}x {engine}, not 2x")
    faithful = results["faithful"]
    if faithful and faithful["top_10_equal"] < faithful["queries"]:
        missed.append(f"top 10 equal for {faithful['top_10_equal']} of {faithful['queries']}")
    if faithful and faithful["top_50_equal"] < 0.995 * faithful["queries"]:
        missed.append(f"top 50 equal for {faithful['top_50_equal']} of {faithful['queries']}")
    if faithful and faithful["passages_per_minute"] < 20_000:
        missed.append(f"{faithful['passages_per_minute']:.0f} passages a minute, not 20,000")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--sizes", default="10000,100000", help="passages, separated by commas; up to 1000000"
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        command, engine, folder, count = arguments.part
        print(json.dumps(part(command, engine, Path(folder), int(count))))
        return
    console = Console(width=150)
    results: dict[str, Any] = {"sizes": {}, "faithful": None, "questions": None}
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(size) for size in arguments.sizes.split(",") if size):
            results["sizes"][count] = measure_size(count, Path(folder), console)
        if (arguments.data / "search").is_dir():
            results["questions"] = measure_questions(arguments.data, Path(folder))
    show(results["sizes"], console)
    if (arguments.data / "webshop").is_dir():
        results["faithful"] = measure_faithful(arguments.data)
        console.print(results["faithful"])
    else:
        console.print(f"no recorded queries at {arguments.data}: not compared with Lucene")
    if results["questions"] is not None:
        console.print(results["questions"])
    else:
        console.print(f"no passages and questions at {arguments.data}: not measured on real ones")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if missed := claims(results):
        sys.exit("does not hold: " + "; ".join(missed))


if __name__ == "__main__":
    main()
