"""`skill0 serve-retriever`: a search server over an index, or over a small corpus."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from skill0.errors import ConfigError
from skill0.retrieval import BM25Index, read_corpus, tantivy_index
from skill0.retrieval.server import ServedIndex, ServerSettings
from skill0.retrieval.serving import serve
from skill0.retrieval.storage import HEADER


def serve_source(
    source: Path, host: str, port: int, workers: int, compiled: bool = False, **settings: Any
) -> None:
    """Serve an index folder or a corpus file until a signal ends it; `settings` as of `ServerSettings`.

    Raises:
        ConfigError: a setting is wrong, or a corpus is to be indexed by several workers, each for itself.
        RetrievalError: the index or corpus cannot be used.
    """
    if workers > 1 and source.is_file():
        raise ConfigError(
            f"{source} is a corpus, and {workers} workers would each index it in memory: "
            "make an index first (skill0 data index), or give --workers 1"
        )
    serve(partial(open_source, source, compiled), ServerSettings(**settings), host, port, workers, _announce)


def open_source(source: Path, compiled: bool = False) -> ServedIndex:
    """A corpus file, or an index folder of BM25 or tantivy. (A dense one wants an encoder: call `serve`.)"""
    if not source.is_file() and _kind(source) == tantivy_index.KIND:
        index = tantivy_index.TantivyIndex(source)
        return ServedIndex(index, "tantivy", len(index))
    if source.is_file():
        index = BM25Index.of(read_corpus(source), compiled=compiled)
    else:
        index = BM25Index(source, compiled)
    if compiled:
        index.search(["compile"], 1)  # now, not while the first request waits
    return ServedIndex(index, "bm25", len(index))


def _kind(folder: Path) -> str:
    """What an index says it is; empty where it says nothing, which opening it will complain of."""
    try:
        return str(json.loads((folder / HEADER).read_text(encoding="utf-8"))["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _announce(url: str, index: ServedIndex) -> None:
    print(
        f"{index.passages:,} passages ({index.engine}) at {url}/retrieve, state at {url}/health",
        file=sys.stderr,
        flush=True,
    )
