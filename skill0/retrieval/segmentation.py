"""Text cut into words as the StandardTokenizer of Apache Lucene 8 cuts it.

The rules are those of Unicode Standard Annex #29 (word boundaries, Unicode 9.0) with Lucene's additions:
emoji sequences of UTS #51 are words, ideographs and hiragana are words of one character, a run of katakana or
of a South East Asian script (Thai, Lao, Khmer, Myanmar) is one word, and a word longer than 255 UTF-16 units
is cut there. What a character counts as comes from `word_break.json`, found by asking Lucene itself about
every code point: the tables of Python and of the `regex` package belong to later versions of Unicode, in
which other characters are words.

Left out: the types of words that Lucene tells as well; nothing here needs them.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

MAX_TOKEN_UNITS = 255  # Lucene's default `maxTokenLength`, in UTF-16 code units

# Most text has only these characters, for which the rules come down to one short expression.
_COMMON = "\t\n\r -\xa8\xaa-\xac\xaf-\u024f\u2010-\u2017\u201c-\u201f\u2018\u2019\u2026\u20ac"
_LETTER = "A-Za-z\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\u024f"
_UNIT = rf"(?:[0-9]+(?:[.,;'\u2018\u2019][0-9]+)*|[{_LETTER}]+(?:[.:'\xb7\u2018\u2019][{_LETTER}]+)*)"
_UNCOMMON_CHARACTER = re.compile(f"[^{_COMMON}]")
# Most words are letters that nothing follows that could belong to them, which is seen sooner.
_PLAIN_WORD = rf"[A-Za-z]+(?![0-9_.:'\xb7\u2018\u2019{_LETTER}])"
_COMMON_WORD = re.compile(rf"{_PLAIN_WORD}|_*{_UNIT}+(?:_+{_UNIT}+)*_*")


def segment(text: str) -> list[str]:
    """The words of a text, in order, unchanged."""
    if _UNCOMMON_CHARACTER.search(text):
        return _segment_any(text)
    words = _COMMON_WORD.findall(text)
    if len(text) > MAX_TOKEN_UNITS and max(map(len, words), default=0) > MAX_TOKEN_UNITS:
        return _segment_any(text)
    return words


# The class of a character, as one letter of the strings that the rules below are matched against.
_CLASS_LETTERS = {
    "letter": "A",
    "hebrew_letter": "H",
    "numeric": "N",
    "katakana": "K",
    "extend": "x",
    "extend_num_let": "_",
    "mid_letter": ":",
    "mid_num": ",",
    "mid_num_let": ".",
    "ideograph_or_hiragana": "I",
    "complex_context": "S",
    "pictograph": "P",
    "emoji_modifier": "M",
    "regional_indicator": "R",
}
# Characters of two classes, and single ones that a rule names.
_COMBINED = {"letter pictograph": "a", "extend complex_context": "s", "pictograph modifier_base": "B"}
_SINGLE = {"'": "'", '"': '"', "\u200d": "z", "\ufe0e": "e", "\ufe0f": "f", "\u20e3": "k", "\U000e007f": "t"}
_SINGLE |= dict.fromkeys("0123456789", "D") | dict.fromkeys("#*", "#")
_SINGLE |= {chr(code): "g" for code in range(0xE0020, 0xE007F)}
_NO_CLASS = " "


class _Rules(NamedTuple):
    word: re.Pattern[str]
    emoji: re.Pattern[str]


def _compile_rules() -> _Rules:
    """The two expressions over letters of classes.

    They are written so that the first match is the longest one, which is what Lucene's generated scanner
    takes: an alternative that crosses more kinds of joints comes first.
    """
    x = "[xszefktg]*"  # WB4: marks belong to what they follow
    letter, hebrew, number, katakana = f"[AHa]{x}", f"H{x}", f"[ND]{x}", f"K{x}"
    joint, in_word, in_number = f"_{x}", f"[:.']{x}", f"[,.']{x}"
    unit = (
        rf"(?:{hebrew}(?:\"{x}{hebrew}|'{x})"  # WB7a-c
        rf"|{number}(?:{in_number}{number})*"  # WB11, WB12
        rf"|{letter}(?:{in_word}{letter})*)"  # WB6, WB7
    )
    core = rf"(?:(?:{katakana})+|{unit}+)"  # WB5, WB8-10, WB13
    word = rf"(?:{joint})*{core}(?:(?:{joint})+{core})*(?:{joint})*"  # WB13a, WB13b
    others = f"(?:[Ss]{x})+|I{x}"

    mark = "[xszktg]*"  # the two presentation selectors are no marks inside an emoji: they end it
    modified, modifier, picture = f"B{mark}M{mark}", f"M{mark}", f"[PBa]{mark}f?"
    element = f"(?:{modified}|{picture})"
    emoji = (
        f"(?:z*{element}|{modifier})(?:(?<=z)(?:z*{element}|{modifier})|z+{element}|z{modifier})*"
        f"|[D#]{mark}f?k{mark}"
        f"|R{x}R{x}"
    )
    return _Rules(re.compile(f"{word}|{others}"), re.compile(emoji))


_RULES = _compile_rules()


class _ClassOfCharacter(dict[int, str]):
    """Code point to letter, for `str.translate`; filled as characters are met."""

    def __init__(self) -> None:
        super().__init__()
        table = json.loads((files("skill0.retrieval") / "word_break.json").read_text(encoding="utf-8"))
        self._ranges = {name: _bounds(ranges) for name, ranges in table["classes"].items()}

    def __missing__(self, code: int) -> str:
        # bounds are first, past, first, past...: inside a range the insertion point is odd
        names = [name for name, bounds in self._ranges.items() if bisect_right(bounds, code) % 2]
        letter = _SINGLE.get(chr(code)) or _COMBINED.get(" ".join(names))
        if letter is None:
            letter = _CLASS_LETTERS[names[0]] if names else _NO_CLASS
        self[code] = letter
        return letter


def _bounds(ranges: str) -> list[int]:
    """`"61-7a aa"` as `[0x61, 0x7b, 0xaa, 0xab]`."""
    bounds: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        bounds += [int(first, 16), int(last or first, 16) + 1]
    return bounds


@lru_cache(maxsize=1)
def _class_of_character() -> _ClassOfCharacter:
    return _ClassOfCharacter()


def _segment_any(text: str) -> list[str]:
    """The whole rules. Both expressions look for the next word: the earlier wins, then the longer."""
    classes = text.translate(_class_of_character())
    words: list[str] = []
    position = 0
    word = emoji = None
    while True:
        if word is None or word.start() < position:
            word = _RULES.word.search(classes, position) if word is not None or position == 0 else None
        if emoji is None or emoji.start() < position:
            emoji = _RULES.emoji.search(classes, position) if emoji is not None or position == 0 else None
        found = _first(word, emoji)
        if found is None:
            return words
        end = found.end()
        if _units(text[found.start() : found.end()]) > MAX_TOKEN_UNITS:
            limit = _window_end(text, found.start())
            start = found.start()
            cut = [m for m in (rule.match(classes, start, limit) for rule in _RULES) if m is not None]
            end = max((m.end() for m in cut), default=limit)
        words.append(text[found.start() : end])
        position = end


def _first(word: re.Match[str] | None, emoji: re.Match[str] | None) -> re.Match[str] | None:
    if word is None or emoji is None:
        return word or emoji
    return min(word, emoji, key=lambda match: (match.start(), -match.end()))


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _window_end(text: str, start: int) -> int:
    """Where the most characters end that fit into the longest word."""
    units, end = 0, start
    while end < len(text):
        units += 2 if text[end] > "\uffff" else 1
        if units > MAX_TOKEN_UNITS:
            break
        end += 1
    return end
