"""Passages by the inner product of vectors, on faiss (extra `faiss`), with any encoder.

Up to `exact_below` passages every vector is compared (Flat). Above, vectors are kept in 8 bits a number, in
lists by their nearest of 4 sqrt(N) centroids, of which a search looks at 32 (IVF, SQ8): on 384 numbers, a
tenth of a second for a million passages becomes a millisecond, and 1.5 GB 0.4 GB. Left out: encoders. An
encoder is a function of yours; for E5, two functions that put "passage: " and "query: " before the text and
give unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.base import Hit, Passage
from skill0.retrieval.passages import PassageStore, PassageWriter
from skill0.retrieval.storage import fact, new_folder, open_folder

Encoder = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors.  # (texts, numbers), float32"""

KIND = "skill0 dense"
VERSION = 1
_FILE, _VECTORS = "vectors.faiss", "vectors.bin"
_TRAINING_VECTORS = 64  # per centroid
_PROBES = 32
_SEED = 0


def build_dense(
    passages: Iterable[Passage],
    folder: Path | str,
    encode: Encoder,
    batch: int = 64,
    exact_below: int = 20_000,
) -> None:
    """Write an index of the passages' contents to a folder.

    Args:
        passages (`Iterable[Passage]`): read once, in order.
        folder (`Path` or `str`): new, or an index, which is replaced when the new one is complete.
        encode (`Callable`): passages' contents to vectors.
        batch (`int`, *optional*, defaults to `64`): how many passages are encoded at once.
        exact_below (`int`, *optional*, defaults to `20000`): fewer passages than this are all compared, in
            full precision.

    Raises:
        ConfigError: `batch` is less than 1.
        RetrievalError: faiss is not there, there is no passage, two have the same id, `folder` is no index,
            or the encoder gives something else than one finite vector for each text.
    """
    if batch < 1:
        raise ConfigError(f"batch is {batch}: encode at least 1 passage at once")
    faiss = _load_faiss()
    with new_folder(Path(folder), KIND, VERSION) as (place, facts):
        vectors_file = place / _VECTORS
        width = None
        with PassageWriter(place) as store, vectors_file.open("wb") as file:
            stream = iter(passages)
            while part := list(islice(stream, batch)):
                for passage in part:
                    store.add(passage)
                vectors = _vectors(encode, [passage.contents for passage in part], width)
                width = vectors.shape[1]
                file.write(vectors.tobytes())
            store.finish()
            count = len(store)
        vectors = np.memmap(vectors_file, np.float32, "r", shape=(count, width or 0))
        index = _index(faiss, vectors, exact=count < exact_below)
        faiss.write_index(index, str(place / _FILE))
        del vectors
        vectors_file.unlink()
        facts |= {"passages": count, "width": width, "exact": count < exact_below}


class DenseIndex:
    """An index opened from the folder that `build_dense` wrote. Equal scores within the `k` found go by id.

    Args:
        folder (`Path` or `str`): the index.
        encode (`Callable`): queries to vectors, of the model that encoded the passages.

    Raises:
        RetrievalError: faiss is not there, no such index, another version, or a damaged file, which is named.
    """

    def __init__(self, folder: Path | str, encode: Encoder) -> None:
        folder = Path(folder)
        faiss = _load_faiss()
        header = open_folder(folder, KIND, VERSION)
        self._encode, self._width = encode, fact(header, folder, "width", int)
        self._passages = PassageStore(folder)
        self._index = faiss.read_index(str(folder / _FILE))

    def __len__(self) -> int:
        return len(self._passages)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As `Retriever.search`; scores are inner products. Every passage matches, in an exact index.

        Raises:
            ConfigError: `k` is less than 1.
            RetrievalError: the encoder's vectors are not those of this index.
        """
        if k < 1:
            raise ConfigError(f"k is {k}: ask for at least 1 passage")
        if not queries:
            return []
        vectors = _vectors(self._encode, list(queries), self._width)
        scores, numbers = self._index.search(vectors, min(k, len(self)))  # (queries, k) both
        rows = zip(numbers, scores, strict=True)
        best = self._passages.best
        return [self._passages.hits(*best(row[row >= 0], of_row[row >= 0], k)) for row, of_row in rows]


def _index(faiss: ModuleType, vectors: np.ndarray, exact: bool) -> Any:
    count, width = vectors.shape
    if exact:
        index = faiss.IndexFlatIP(width)
    else:
        centroids = max(1, int(4 * count**0.5))
        kind = faiss.METRIC_INNER_PRODUCT
        index = faiss.index_factory(width, f"IVF{centroids},SQ8", kind)
        index.cp.seed = _SEED
        chosen = np.random.default_rng(_SEED).permutation(count)[: centroids * _TRAINING_VECTORS]
        index.train(np.ascontiguousarray(vectors[np.sort(chosen)]))
        index.nprobe = min(_PROBES, centroids)
    for start in range(0, count, 65536):
        index.add(np.ascontiguousarray(vectors[start : start + 65536]))
    return index


def _vectors(encode: Encoder, texts: list[str], width: int | None) -> np.ndarray:
    vectors = np.ascontiguousarray(encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
        raise RetrievalError(
            f"the encoder gave an array of shape {vectors.shape} for {len(texts)} texts: "
            "it must be (texts, numbers)"
        )
    if width is not None and vectors.shape[1] != width:
        raise RetrievalError(f"the encoder gave vectors of {vectors.shape[1]} numbers: the index has {width}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise RetrievalError(f"the encoder gave a vector that is not finite for {texts[row][:60]!r}")
    return vectors


def _load_faiss() -> ModuleType:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise RetrievalError(
            f"a dense index needs faiss-cpu ({error}): pip install 'skill0[faiss]'"
        ) from None
