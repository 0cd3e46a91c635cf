"""`skill0 serve-retriever`: a search server over an index, or over a small corpus."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from skill0.errors import ConfigError
from skill0.retrieval import BM25Index, read_corpus
from skill0.retrieval.opening import engine_name, open_index, warmed
from skill0.retrieval.server import ServedIndex, ServerSettings
from skill0.retrieval.serving import serve


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
    if source.is_file():
        index = warmed(BM25Index.of(read_corpus(source), compiled=compiled))
    else:
        index = open_index(source, compiled)
    return ServedIndex(index, engine_name(index), len(index))


def _announce(url: str, index: ServedIndex) -> None:
    print(
        f"{index.passages:,} passages ({index.engine}) at {url}/retrieve, state at {url}/health",
        file=sys.stderr,
        flush=True,
    )
