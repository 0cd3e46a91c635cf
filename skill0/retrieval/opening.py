"""An index made, and opened, by the name of its engine: what commands, recipes and the server have in common.

A folder says by its header which engine wrote it. Left out: dense indexes, which want an encoder, a function
of yours; they are opened by `skill0.retrieval.dense.DenseIndex`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import dense, tantivy_index
from skill0.retrieval.base import Passage
from skill0.retrieval.bm25 import BM25Index
from skill0.retrieval.bm25_build import build_bm25
from skill0.retrieval.storage import HEADER
from skill0.retrieval.tantivy_index import TantivyIndex

BM25, TANTIVY = "bm25", "tantivy"
ENGINES = (BM25, TANTIVY)
"""Engines that a name is enough for."""


def open_index(folder: Path | str, compiled: bool = False) -> BM25Index | TantivyIndex:
    """The index in a folder, of either engine. `compiled` is as of `BM25Index`; what there is to compile is
    compiled now and not while a first search waits.

    Raises:
        ConfigError: `compiled` for an index that is not of BM25.
        RetrievalError: no such index, one that wants an encoder, another version, a damaged file, or an extra
            that is missing.
    """
    folder = Path(folder)
    kind = _kind(folder)
    if kind == dense.KIND:
        raise RetrievalError(
            f"{folder} is an index of vectors, which wants the encoder that made them: open it in Python "
            "(skill0.retrieval.dense.DenseIndex), and serve it by skill0.retrieval.serving.serve"
        )
    if kind == tantivy_index.KIND:
        if compiled:
            raise ConfigError(f"{folder} is an index of tantivy, which has nothing to compile: leave it out")
        return TantivyIndex(folder)
    return warmed(BM25Index(folder, compiled))  # complains of what is no index at all


def build_index(
    passages: Iterable[Passage],
    folder: Path | str,
    engine: str = BM25,
    k1: float | None = None,
    b: float | None = None,
) -> None:
    """Write an index of an engine of `ENGINES`; k1 and b as of `build_bm25`, whose defaults stand for None.

    Raises:
        ConfigError: another engine, or k1 or b for tantivy, which has its own.
        RetrievalError: as `build_bm25` and `build_tantivy` say.
    """
    if engine not in ENGINES:
        raise ConfigError(f"there is no engine {engine!r}; choose one of {', '.join(ENGINES)}")
    given = {name: value for name, value in (("k1", k1), ("b", b)) if value is not None}
    if engine == BM25:
        return build_bm25(passages, folder, **given)
    if given:
        raise ConfigError(f"{' and '.join(given)}: tantivy has values of its own, which cannot be set")
    return tantivy_index.build_tantivy(passages, folder)


def engine_name(index: BM25Index | TantivyIndex) -> str:
    return TANTIVY if isinstance(index, TantivyIndex) else BM25


def warmed(index: BM25Index) -> BM25Index:
    """The same index after a first search."""
    index.search(["compile"], 1)
    return index


def _kind(folder: Path) -> str:
    """What an index says it is; empty where it says nothing."""
    try:
        return str(json.loads((folder / HEADER).read_text(encoding="utf-8"))["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
