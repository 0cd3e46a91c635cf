"""The terms of a BM25 index, found by their hash: which number has the term of a word?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xxhash

from skill0.retrieval.analysis import term_of
from skill0.retrieval.segmentation import segment
from skill0.retrieval.storage import load_array, map_bytes

_KNOWN_WORDS = 50_000  # words whose terms are remembered

_SearchSorted = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Vocabulary:
    """The terms of an index, numbered in the order of their hashes. May be asked from several threads.

    Args:
        folder (`Path`): the index.
        seed (`int`): of its hashes.
        search (`Callable`, *optional*): another `numpy.searchsorted` of hashes.
    """

    def __init__(self, folder: Path, seed: int, search: _SearchSorted = np.searchsorted) -> None:
        self._hashes, self._starts = load_array(folder, "term_hashes"), load_array(folder, "term_starts")
        self._texts = map_bytes(folder / "terms.bin")
        self._seed, self._search, self._last = seed, search, len(self._hashes) - 1
        self._known: dict[str, int | None] = {}

    def numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """For each text its terms that the index has, in order, repeated as they are there."""
        words = [segment(text) for text in texts]
        known = self._known
        new = {word for of_text in words for word in of_text if word not in known}
        if new:
            if len(known) + len(new) > _KNOWN_WORDS:  # not emptied, for another thread may be reading it
                known = self._known = {}
                new = {word for of_text in words for word in of_text}
            known.update(self._look_up(new))
        return [[number for word in of_text if (number := known[word]) is not None] for of_text in words]

    def _look_up(self, words: Collection[str]) -> dict[str, int | None]:
        """The numbers of the words' terms; None for a stop word and for what the index does not have."""
        terms = {word: term.encode("utf-8", "surrogatepass") for word in words if (term := term_of(word))}
        places = np.minimum(self._search(self._hashes, hash_terms(terms.values(), self._seed)), self._last)
        firsts, lasts, texts = self._starts[places].tolist(), self._starts[places + 1].tolist(), self._texts
        found: dict[str, int | None] = dict.fromkeys(words)
        for (word, term), place, first, last in zip(
            terms.items(), places.tolist(), firsts, lasts, strict=True
        ):
            if texts[first:last] == term:
                found[word] = place
        return found


def hash_terms(terms: Collection[bytes], seed: int) -> np.ndarray:
    """The hash of each term.  # (terms,) uint64"""
    return np.fromiter(map(partial(xxhash.xxh64_intdigest, seed=seed), terms), np.uint64, len(terms))
