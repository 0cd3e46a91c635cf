"""Porter's stemmer as Lucene has it (M. F. Porter, An algorithm for suffix stripping, 1980).

With the two departures of Porter's own later program: in step 2, BLI becomes BLE (published: ABLI becomes
ABLE) and LOGI becomes LOG. A word of one or two characters is left alone. Whatever is no vowel a, e, i, o, u,
nor y after a consonant, is a consonant: digits, apostrophes and other scripts too.

Of the libraries at hand, Snowball's `porter` is another algorithm in places ("trekking" gives "trekk", here
"trek"), and NLTK's, which agrees with Lucene, brings its whole package along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "logi": "log",
}
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
# ION only after S or T, which stay
_STEP_4 = "al ance ence er ic able ible ant ement ment ent sion tion ou ism ate iti ous ive ize"


def _longest_first(suffixes: Iterable[str]) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(sorted(suffixes, key=len, reverse=True)) + r")\Z")


_SUFFIX_2, _SUFFIX_3, _SUFFIX_4 = map(_longest_first, (_STEP_2, _STEP_3, _STEP_4.split()))
# What words end with that a step may change; every fifth word of English ends otherwise. Of steps 1 and 5: s,
# ed, ing, y, e, ll.
_LAST_LETTERS = frozenset(suffix[-1] for suffix in (*_STEP_2, *_STEP_3, *_STEP_4.split(), *"sdgyel"))


def stem(word: str) -> str:
    """The stem of a lower-case word."""
    if len(word) <= 2 and len(word.encode("utf-16-le")) <= 4:  # Lucene counts UTF-16 units
        return word
    if word[-1] not in _LAST_LETTERS:
        return word
    word = _plurals_and_participles(word)
    if word[-1] == "y" and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(word, _SUFFIX_2, _STEP_2)
    word = _replace(word, _SUFFIX_3, _STEP_3)
    found = _SUFFIX_4.search(word)
    if found is not None:
        start = found.start() + (found.group() in ("sion", "tion"))
        if _measure(_shape(word[:start])) > 1:
            word = word[:start]
    return _tidy(word)


def _plurals_and_participles(word: str) -> str:
    """Steps 1a and 1b."""
    if word.endswith("s"):
        if word.endswith(("sses", "ies")):
            word = word[:-2]
        elif word[-2:-1] != "s":
            word = word[:-1]
    if word.endswith("eed"):
        return word[:-1] if _measure(_shape(word[:-3])) > 0 else word
    cut = 2 if word.endswith("ed") else 3 if word.endswith("ing") else 0
    if not cut or "v" not in _shape(word[:-cut]):
        return word
    word = word[:-cut]
    shape = _shape(word)
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if word[-1] == word[-2:-1] and shape[-1] == "c":
        return word if word[-1] in "lsz" else word[:-1]
    if _measure(shape) == 1 and _is_short(word, shape):
        return word + "e"
    return word


def _replace(word: str, suffix: re.Pattern[str], replacements: dict[str, str]) -> str:
    """Steps 2 and 3: the suffix is exchanged where enough of a word stands before it."""
    found = suffix.search(word)
    if found is None or _measure(_shape(word[: found.start()])) == 0:
        return word
    return word[: found.start()] + replacements[found.group()]


def _tidy(word: str) -> str:
    """Step 5: a last e, and one of two last l."""
    if word.endswith("e"):
        before = word[:-1]
        shape = _shape(before)
        measure = _measure(shape)
        if measure > 1 or (measure == 1 and not _is_short(before, shape)):
            word = before
    if word.endswith("ll") and _measure(_shape(word)) > 1:
        word = word[:-1]
    return word


def _shape(word: str) -> str:
    """One letter for each of the word: `v` for a vowel, `c` for a consonant."""
    shape: list[str] = []
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and bool(shape) and shape[-1] == "c")
        shape.append("v" if vowel else "c")
    return "".join(shape)


def _measure(shape: str) -> int:
    """Porter's m: how often a vowel is followed by a consonant."""
    return shape.count("vc")


def _is_short(word: str, shape: str) -> bool:
    """Porter's *o: ends consonant, vowel, consonant, the last not w, x or y."""
    return shape[-3:] == "cvc" and word[-1] not in "wxy"
