"""Text to index terms, as Lucene's English analysis makes them (Anserini's `DefaultEnglishAnalyzer`).

Words of `segmentation.py`; a possessive 's is taken off; lower case; Lucene's 33 stop words are dropped;
Porter's stemmer. The version below belongs into every index: terms of another version must not be looked up
in it.
"""

from __future__ import annotations

from functools import lru_cache

from skill0.retrieval.porter import stem
from skill0.retrieval.segmentation import segment

ANALYSIS_VERSION = 1

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_CACHED_WORDS = 400_000


def analyze(text: str) -> list[str]:
    """The terms of a text in order, repeated as they are there."""
    return [term for word in segment(text) if (term := _known_term(word)) is not None]


def term_of(word: str) -> str | None:
    """The term of a word, or None for a stop word."""
    if word[-2:-1] in ("'", "\u2019", "\uff07") and word[-1] in "sS":
        word = word[:-2]
    word = word.lower() if word.isascii() else "".join(map(_lower, word))
    return None if word in STOP_WORDS else stem(word)


# A text is mostly words that were met before.
_known_term = lru_cache(maxsize=_CACHED_WORDS)(term_of)


def _lower(character: str) -> str:
    """Java's mapping, one character to one: no final sigma, no dot left over of a dotted I."""
    lower = character.lower()
    return lower if len(lower) == 1 else lower[0]
