"""BM25 with the scores and the order of Lucene's `BM25Similarity` under Anserini.

score(q, d) = sum over terms of  w - w / (1 + tf / (k1 (1 - b + b |d| / avgdl))),  w = mentions in q * idf

(Robertson and Zaragoza, The probabilistic relevance framework, 2009, without the constant factor k1 + 1), in
32-bit floats in Lucene's order of operations, |d| kept in one byte as Lucene keeps it, the sum in 64 bits and
rounded to 32. Equal scores are ordered by passage id (its UTF-8 bytes), as Anserini orders them.

The passages found are exactly those that scoring every passage would find. Terms are taken by the most they
can add; once what the rest can add lifts no new passage among the best k, only the passages met so far are
looked at (Turtle and Flood, Query evaluation: strategies and optimizations, 1995: MaxScore). Left out: block
maxima, field weights, phrase queries, changing an index.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.analysis import ANALYSIS_VERSION
from skill0.retrieval.base import Hit, Passage
from skill0.retrieval.bm25_build import (
    KIND,
    VERSION,
    build_bm25,
    idf,
    impacts,
    weights_of_lengths,
)
from skill0.retrieval.bm25_vocabulary import Vocabulary
from skill0.retrieval.passages import PassageStore
from skill0.retrieval.storage import fact, hold, load_array, open_folder

# Scores are rounded to 24 bits, impacts of several mentions too: a bound must be this much wider to be safe.
_MARGIN = 1 + 1e-6
_SMALL = 2000  # postings that are added faster than it is found out whether they could be left out
_PROBE_COST = 8  # looking one passage up in a list of postings costs as much as adding so many postings


class _Term(NamedTuple):
    number: int
    mentions: int
    bound: float  # the most it adds to a score


class _Zeros(NamedTuple):
    """What a search writes to, and leaves all zeros."""

    scores: np.ndarray  # (passages,) float64
    met: np.ndarray  # (passages,) uint8


def _minus_bound(term: _Term) -> float:
    return -term.bound


def _load_compiled() -> ModuleType:
    try:
        from skill0.retrieval import bm25_compiled
    except ImportError as error:
        raise RetrievalError(f"compiled=True needs numba ({error}): pip install 'skill0[numba]'") from None
    return bm25_compiled


class BM25Index:
    """A BM25 index, opened from the folder that `build_bm25` wrote. May be searched from several threads.

    Args:
        folder (`Path` or `str`): the index.
        compiled (`bool`, *optional*, defaults to `False`): search with code compiled by numba, which finds
            the same in less time.

    Raises:
        RetrievalError: no such index, another version, a damaged file, which is named, or numba is not there.
    """

    def __init__(self, folder: Path | str, compiled: bool = False) -> None:
        folder = Path(folder)
        self._compiled = _load_compiled() if compiled else None
        header = open_folder(folder, KIND, VERSION)
        analysis = fact(header, folder, "analysis", int)
        if analysis != ANALYSIS_VERSION:
            raise RetrievalError(
                f"{folder} was built with version {analysis} of the analysis, this is {ANALYSIS_VERSION}: "
                "build it again"
            )
        self.k1, self.b = (fact(header, folder, name, float) for name in ("k1", "b"))
        self._passages = PassageStore(folder)
        self._vocabulary = Vocabulary(folder, fact(header, folder, "hash_seed", int), self._compiled)
        self._starts = load_array(folder, "posting_starts")
        self._documents, self._impacts = load_array(folder, "documents"), load_array(folder, "impacts")
        self._counts, self._lengths = load_array(folder, "counts"), load_array(folder, "lengths")
        self._max_impacts = load_array(folder, "max_impacts")
        mean_length = np.float32(fact(header, folder, "mean_length", float))
        self._length_weights = weights_of_lengths(self.k1, self.b, mean_length)
        self._idfs = idf(len(self), np.diff(self._starts))
        self._free: list[_Zeros] = []

    @classmethod
    def of(
        cls, passages: Iterable[Passage], k1: float = 0.9, b: float = 0.4, compiled: bool = False
    ) -> BM25Index:
        """An index of these passages, gone with the process. Arguments and errors as for `build_bm25`."""
        with tempfile.TemporaryDirectory() as folder:
            build_bm25(passages, Path(folder) / "index", k1, b)
            index = cls(Path(folder) / "index", compiled)
        for owner in (index, index._passages, index._vocabulary):
            hold(owner)
        return index

    def __len__(self) -> int:
        return len(self._passages)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best `k` passages of each query, best first, ties by id; fewer where fewer have a word of it.

        Raises:
            ConfigError: `k` is less than 1.
        """
        return [self._passages.hits(*found) for found in self.search_numbers(queries, k)]

    def search_numbers(self, queries: Sequence[str], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same as numbers of passages in the corpus's order, with float32 scores.  # (hits,), (hits,)"""
        if k < 1:
            raise ConfigError(f"k is {k}: ask for at least 1 passage")
        terms = self._vocabulary.numbers(queries)
        try:
            zeros = self._free.pop()
        except IndexError:  # the first search, or another thread has it
            zeros = _Zeros(np.zeros(len(self)), np.zeros(len(self), np.uint8))
        search = self._search_by_numpy if self._compiled is None else self._search_compiled
        best = search(terms, min(k, len(self)), zeros)
        self._free.append(zeros)  # all zeros again; not reached after a fault, which may leave others
        return best

    def _search_by_numpy(
        self, of_query: list[list[int]], k: int, zeros: _Zeros
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """The best for each query, of which the terms are given."""
        best = []
        for query in of_query:
            mentions = Counter(query)
            most = self._max_impacts[list(mentions)].tolist()
            terms = [
                _Term(*pair, pair[1] * bound * _MARGIN)
                for pair, bound in zip(mentions.items(), most, strict=True)
            ]
            terms.sort(key=_minus_bound)
            best.append(self._passages.best(*self._score(terms, k, zeros.scores), k))
        return best

    def _search_compiled(
        self, of_query: list[list[int]], k: int, zeros: _Zeros
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        assert self._compiled is not None
        sizes = [len(query) for query in of_query]
        most = max(sizes, default=0)
        found, best, best_scores = self._compiled.search_batch(
            np.fromiter(chain.from_iterable(of_query), np.int64, sum(sizes)),
            np.array(list(accumulate(sizes)), np.int64),
            k,
            self._compiled.Postings(
                self._starts,
                self._documents,
                self._counts,
                self._impacts,
                self._max_impacts,
                self._idfs,
                self._lengths,
                self._length_weights,
                self._passages.ranks,
            ),
            zeros.met if most < 256 else np.zeros(len(self), np.min_scalar_type(most)),
            zeros.scores,
        )
        rows = zip(found.tolist(), best, best_scores, strict=True)
        return [(numbers[:count], of_query[:count]) for count, numbers, of_query in rows]

    def _num_postings(self, term: _Term) -> int:
        first, last = self._starts[term.number : term.number + 2].tolist()
        return last - first

    def _postings(self, term: _Term) -> tuple[np.ndarray, np.ndarray]:
        """Passages, ascending, and what the term adds to each.  # (postings,), (postings,)"""
        first, last = self._starts[term.number : term.number + 2].tolist()
        documents, of_one = self._documents[first:last], self._impacts[first:last]
        if term.mentions == 1:
            return documents, of_one
        weight = np.float32(term.mentions) * self._idfs[term.number]
        weights = self._length_weights[self._lengths[documents]]
        return documents, impacts(weight, self._counts[first:last], weights)

    def _score(self, terms: list[_Term], k: int, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Passages with exact scores, the best `k` among them. `scores` is all zeros before and after."""
        met: list[np.ndarray] = []
        num_met = 0
        rests = _sums_from(term.bound for term in reversed(terms))
        sizes = _sums_from(self._num_postings(term) for term in reversed(terms))
        for index, term in enumerate(terms):
            worth_a_look = sizes[index] > max(num_met, _SMALL) and rests[index] < terms[0].bound * index
            if num_met >= k and worth_a_look:
                candidates = np.concatenate(met)
                if _kth(scores[candidates], k) > rests[index] * _MARGIN:
                    return self._finish(terms[index:], rests[index:], k, scores, candidates)
            documents, added = self._postings(term)
            new = documents[scores[documents] == 0] if met else documents
            scores[documents] += added
            met.append(new)
            num_met += len(new)
        found = np.concatenate(met) if met else np.empty(0, dtype=np.int32)
        return found, _take(scores, found, found)

    def _finish(
        self, terms: list[_Term], rests: list[float], k: int, scores: np.ndarray, candidates: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The remaining terms, for candidates only; fewer of them after each term."""
        touched = [candidates]
        for term, rest in zip(terms, rests, strict=True):
            partial = scores[candidates]
            candidates = candidates[partial + rest * _MARGIN >= _kth(partial, k) / _MARGIN]
            documents, added = self._postings(term)
            if len(candidates) * _PROBE_COST < len(documents):
                places = np.searchsorted(documents, candidates)
                places[places == len(documents)] = 0
                has = documents[places] == candidates
                scores[candidates[has]] += added[places[has]]
            else:
                scores[documents] += added
                touched.append(documents)
        return candidates, _take(scores, candidates, np.concatenate(touched))


def _sums_from(last_to_first: Iterable[float]) -> list[float]:
    """For each term, the sum over it and those after it."""
    return list(accumulate(last_to_first))[::-1]


def _kth(scores: np.ndarray, k: int) -> float:
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _take(scores: np.ndarray, numbers: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """The scores of these passages, rounded; all that were touched are zero afterwards."""
    taken = scores[numbers].astype(np.float32)
    scores[touched] = 0
    return taken
