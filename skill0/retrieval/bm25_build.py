"""Building a BM25 index from a stream of passages.

Words are counted in chunks that are sorted and put aside on disk; at the end each chunk's postings go to
their place. Memory holds the vocabulary, one chunk and the passages' ids, not the corpus.

The arrays of an index (P postings, T terms, N passages), terms in the order of their hashes:

    term_hashes (T,) uint64          with term_starts (T + 1,) int64 and terms.bin: the vocabulary
    posting_starts (T + 1,) int64    where a term's postings are
    documents (P,) int32             passage of each posting, ascending within a term
    counts (P,) uint8, 16 or 32      how often the term is in it
    impacts (P,) float32             the score for one mention in the query
    max_impacts (T,) float32         the largest of a term
    lengths (N,) uint8               Lucene's byte of the length
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.analysis import ANALYSIS_VERSION, analyze
from skill0.retrieval.base import Passage
from skill0.retrieval.bm25_vocabulary import hash_terms
from skill0.retrieval.lucene_lengths import LENGTHS, encode_lengths
from skill0.retrieval.passages import PassageWriter
from skill0.retrieval.storage import load_array, new_array, new_folder

KIND = "skill0 bm25"
VERSION = 1
_CHUNK_TERMS = 2_000_000  # occurrences sorted at once: about 60 MB


def build_bm25(passages: Iterable[Passage], folder: Path | str, k1: float = 0.9, b: float = 0.4) -> None:
    """Write an index of the passages' contents to a folder.

    Args:
        passages (`Iterable[Passage]`): read once, in order.
        folder (`Path` or `str`): new, or an index, which is replaced when the new one is complete.
        k1 (`float`, *optional*, defaults to `0.9`): how slowly repetition saturates; Anserini's default.
        b (`float`, *optional*, defaults to `0.4`): how much length counts, 0 to 1; Anserini's default.

    Raises:
        ConfigError: k1 or b is out of range.
        RetrievalError: there is no passage or no word, two have the same id, or `folder` is no index.
    """
    if not 0 <= k1 < 1e4:
        raise ConfigError(f"k1 is {k1}: it must be at least 0 and less than 10000")
    if not 0 <= b <= 1:
        raise ConfigError(f"b is {b}: it must be from 0 to 1")
    with new_folder(Path(folder), KIND, VERSION) as (place, facts):
        chunks = _Chunks(place)
        with PassageWriter(place) as writer:
            for passage in passages:
                writer.add(passage)
                chunks.add(analyze(passage.contents))
            writer.finish()
        chunks.flush()
        if not chunks.vocabulary:
            raise RetrievalError("the passages have no word but stop words: there is nothing to search for")
        lengths = np.array(chunks.lengths, dtype=np.int64)  # (N,)
        # Lucene: the float next to the mean over passages; not the mean of what the bytes stand for
        mean_length = np.float32(lengths.sum() / len(lengths))
        codes = encode_lengths(lengths)
        np.save(place / "lengths.npy", codes)
        seed = _write_postings(chunks, place)
        _write_impacts(place, weights_of_lengths(k1, b, mean_length)[codes])
        facts |= {
            "analysis": ANALYSIS_VERSION,
            "k1": k1,
            "b": b,
            "passages": len(lengths),
            "terms": len(chunks.vocabulary),
            "mean_length": float(mean_length),
            "hash_seed": seed,
        }


def weights_of_lengths(k1: float, b: float, mean_length: np.float32) -> np.ndarray:
    """1 / (k1 (1 - b + b length / mean)) for each byte, in floats as Lucene computes it.  # (256,)"""
    one, k1_float, b_float = np.float32(1), np.float32(k1), np.float32(b)
    with np.errstate(divide="ignore"):  # k1 or b and the length may be 0
        share = b_float * LENGTHS.astype(np.float32) / mean_length  # in this order
        return one / (k1_float * ((one - b_float) + share))


def idf(passages: int, with_term: np.ndarray) -> np.ndarray:
    """ln(1 + (N - n + 0.5) / (n + 0.5)), rounded to floats at the end."""
    n = with_term.astype(np.float64)
    return np.log(1 + (passages - n + 0.5) / (n + 0.5)).astype(np.float32)


def impacts(weight: np.ndarray | np.float32, counts: np.ndarray, length_weights: np.ndarray) -> np.ndarray:
    """The scores of a term of this weight (mentions in the query times idf), in Lucene's order of operations.

    Never 0, which says that a passage was not met: with a k1 in the thousands a score may round to it.
    """
    one = np.float32(1)
    scores = weight - weight / (one + counts.astype(np.float32) * length_weights)
    return np.maximum(scores, np.finfo(np.float32).smallest_subnormal)


class _Chunks:
    """Occurrences of terms, numbered as they are first met; sorted and put aside when there are many."""

    def __init__(self, folder: Path) -> None:
        self.vocabulary: dict[str, int] = {}
        self.lengths = array("i")  # of each passage, in terms
        self.files: list[Path] = []
        self._folder = folder
        self._terms = array("i")
        self._first = 0  # passage of the chunk

    def add(self, terms: list[str]) -> None:
        vocabulary = self.vocabulary
        self._terms.extend([vocabulary.setdefault(term, len(vocabulary)) for term in terms])
        self.lengths.append(len(terms))
        if len(self._terms) >= _CHUNK_TERMS:
            self.flush()

    def flush(self) -> None:
        terms = np.array(self._terms, dtype=np.int64)
        documents = np.arange(self._first, len(self.lengths))
        documents = np.repeat(documents, np.array(self.lengths[self._first :], dtype=np.int64))
        pairs = (terms << 32) | documents
        pairs.sort()
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        counts = np.diff(starts, append=len(pairs))
        pairs = pairs[starts]
        path = self._folder / f"chunk_{len(self.files)}.npy"
        np.save(path, np.stack([pairs >> 32, pairs & 0xFFFFFFFF, counts]).astype(np.int32))
        self.files.append(path)
        self._terms = array("i")
        self._first = len(self.lengths)

    def take(self) -> Iterator[np.ndarray]:
        """Term, passage and count of each posting of a chunk, sorted.  # (3, postings)"""
        for path in self.files:
            yield np.load(path)


def _write_postings(chunks: _Chunks, folder: Path) -> int:
    """The vocabulary by hash, and every chunk's postings at their place, passages ascending within a term.

    Returns:
        `int`: the seed of the hash.
    """
    texts = [term.encode("utf-8") for term in chunks.vocabulary]
    seed, hashes = 0, hash_terms(texts, 0)
    while len(np.unique(hashes)) < len(hashes):  # one chance in ten million at a million terms
        seed += 1
        hashes = hash_terms(texts, seed)
    order = np.argsort(hashes)
    place_of_term = np.empty(len(order), dtype=np.int64)
    place_of_term[order] = np.arange(len(order))
    np.save(folder / "term_hashes.npy", hashes[order])
    ordered = [texts[index] for index in order.tolist()]
    (folder / "terms.bin").write_bytes(b"".join(ordered))
    np.save(folder / "term_starts.npy", np.cumsum([0, *map(len, ordered)], dtype=np.int64))

    sizes, most = np.zeros(len(order), dtype=np.int64), 0
    for terms, _, counts in chunks.take():
        sizes += np.bincount(place_of_term[terms], minlength=len(order))
        most = max(most, int(counts.max(initial=0)))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    np.save(folder / "posting_starts.npy", starts)
    documents = new_array(folder, "documents", np.int32, int(starts[-1]))
    occurrences = new_array(folder, "counts", np.min_scalar_type(most), int(starts[-1]))
    next_free = starts[:-1].copy()
    for terms, passages, counts in chunks.take():
        firsts = np.flatnonzero(np.diff(terms, prepend=-1))  # of each term in the chunk
        of_term = np.diff(firsts, append=len(terms))
        places = place_of_term[terms[firsts]]
        target = np.repeat(next_free[places] - firsts, of_term) + np.arange(len(terms))
        documents[target], occurrences[target] = passages, counts
        next_free[places] += of_term
    for path in chunks.files:
        path.unlink()
    return seed


def _write_impacts(folder: Path, length_weights: np.ndarray) -> None:
    """The score of every posting, some terms at a time, and each term's largest."""
    starts = load_array(folder, "posting_starts")
    documents, counts = load_array(folder, "documents"), load_array(folder, "counts")
    weights = idf(len(length_weights), np.diff(starts))
    made = new_array(folder, "impacts", np.float32, len(documents))
    largest = new_array(folder, "max_impacts", np.float32, len(weights))
    first = 0
    while first < len(weights):
        past = int(np.searchsorted(starts, starts[first] + _CHUNK_TERMS, side="right")) - 1
        past = min(max(past, first + 1), len(weights))
        a, z = starts[first], starts[past]
        weight = np.repeat(weights[first:past], np.diff(starts[first : past + 1]))
        scores = impacts(weight, counts[a:z], length_weights[documents[a:z]])
        made[a:z] = scores
        largest[first:past] = np.maximum.reduceat(scores, starts[first:past] - a)
        first = past
