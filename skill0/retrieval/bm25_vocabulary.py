"""The terms of a BM25 index, found by their hash: which number has the term of a word?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import xxhash

from skill0.retrieval.analysis import term_of
from skill0.retrieval.segmentation import segment
from skill0.retrieval.storage import load_array, map_bytes

_KNOWN_WORDS = 50_000  # words whose terms are remembered
_NONE = -1  # a stop word's, and a term's that the index does not have


class Vocabulary:
    """The terms of an index, numbered in the order of their hashes. May be asked from several threads.

    Args:
        folder (`Path`): the index.
        seed (`int`): of its hashes.
        compiled (`ModuleType`, *optional*): `bm25_compiled`, which finds the same in less time.
    """

    def __init__(self, folder: Path, seed: int, compiled: ModuleType | None = None) -> None:
        self._hashes, self._starts = load_array(folder, "term_hashes"), load_array(folder, "term_starts")
        self._texts = map_bytes(folder / "terms.bin")
        self._seed, self._compiled = seed, compiled
        self._known: dict[str, int] = {}

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
        return [[number for word in of_text if (number := known[word]) != _NONE] for of_text in words]

    def _look_up(self, words: Collection[str]) -> dict[str, int]:
        terms = {word: term.encode("utf-8", "surrogatepass") for word in words if (term := term_of(word))}
        found = dict.fromkeys(words, _NONE)
        if terms:
            found.update(zip(terms, self._find(list(terms.values())), strict=True))
        return found

    def _find(self, terms: list[bytes]) -> list[int]:
        wanted = hash_terms(terms, self._seed)
        if self._compiled is not None:
            texts, wanted_texts = (np.frombuffer(text, np.uint8) for text in (self._texts, b"".join(terms)))
            lengths = np.fromiter(map(len, terms), np.int64, len(terms))
            numbers = self._compiled.find_terms(
                self._hashes, self._starts, texts, wanted, lengths, wanted_texts
            )
            return numbers.tolist()
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        firsts, lasts = self._starts[places].tolist(), self._starts[places + 1].tolist()
        rows = zip(terms, places.tolist(), firsts, lasts, strict=True)
        return [place if self._texts[first:last] == term else _NONE for term, place, first, last in rows]


def hash_terms(terms: Collection[bytes], seed: int) -> np.ndarray:
    """The hash of each term.  # (terms,) uint64"""
    return np.fromiter(map(partial(xxhash.xxh64_intdigest, seed=seed), terms), np.uint64, len(terms))
