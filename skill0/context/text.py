"""Any Unicode string made drawable: what is changed on the way is counted, never silent.

    line ends      CR, CR LF, VT, FF, NEL, U+2028 and U+2029 become a newline
    composition    NFC
    spaces         every width of space becomes the plain one; tabs go to the next stop of four columns
    look-alikes    characters drawn with the same ink become one (the em dash an en dash, ...)
    bidirectional  controls are taken out: a page is read left to right, in the order of the string
    invisible      zero-width and other format characters are taken out
    widths         full-width Latin and half-width Kana become the ordinary forms
    wide           characters two columns wide (CJK, emoji) are followed by `FILLER`, for their right half
    the rest       written as an escape: `\\x1b` for a control character, `<U+0E01>` for anything else without
                   a glyph (rare ideographs, combining marks that have no composed form, lone surrogates)

Left out: shaping and reordering of scripts that need it; their characters are legible only as code points.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field

from skill0.context.wide import FILLER, load_wide

TAB_STOP = 4

LOOK_ALIKES = {
    "‐": "-",
    "‑": "-",
    "‒": "–",
    "—": "–",
    "―": "–",
    "‚": ",",
    "Ð": "Đ",
    "μ": "µ",
}
"""Characters that DejaVu Sans Mono draws alike, and the one that stands for them."""

_PLAIN = re.compile(r"[\x20-\x7e\n]*")
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


@dataclass(frozen=True)
class CleanText:
    """Drawable text, a character a column, with what was done to it.

    `substitutions` counts escaped characters by code point ("U+4E2D"), `normalisations` the other changes by
    kind.
    """

    text: str
    substitutions: dict[str, int] = field(default_factory=dict)
    normalisations: dict[str, int] = field(default_factory=dict)


def is_plain(text: str) -> bool:
    """Whether `clean` surely leaves a text as it is, seen fast."""
    return text.isascii() and text.isprintable()


def code_point_name(char: str) -> str:
    return f"U+{ord(char):04X}"


def _replacement(char: str) -> tuple[str, str]:
    """What stands for a character without a glyph, and the kind of normalisation ("" for a substitution)."""
    if char in LOOK_ALIKES:
        return LOOK_ALIKES[char], "look-alike"
    if char in _BIDIRECTIONAL:
        return "", "bidirectional control"
    category = unicodedata.category(char)
    if category == "Zs":
        return " ", "space"
    is_variation_selector = 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF
    if category == "Cf" or is_variation_selector or char in _INVISIBLE_LETTERS:
        return "", "invisible character"
    if category == "Cc":
        return f"\\x{ord(char):02x}", ""
    return f"<{code_point_name(char)}>", ""


def _has_width(char: str) -> bool:
    """Whether it is a full-width or half-width form of another character."""
    return 0xFF01 <= ord(char) <= 0xFFEE


def clean(text: str, drawable: Set[str]) -> CleanText:
    """`text` with only newlines, `drawable` and wide characters left. Never raises; see the table above."""
    if is_plain(text) or _PLAIN.fullmatch(text):
        return CleanText(text)
    normalisations: Counter[str] = Counter()
    substitutions: Counter[str] = Counter()
    text, line_ends = _LINE_ENDS.subn("\n", text)
    composed = unicodedata.normalize("NFC", text)
    wide = load_wide().drawable
    normalisations.update({"line end": line_ends, "composition": int(composed != text)})
    table: dict[int, str] = {}
    for char, count in Counter(composed).items():
        if char in drawable or char in "\n\t":
            continue
        if char in wide:
            table[ord(char)] = char + FILLER
            continue
        shown, kind = _replacement(char)
        ordinary = unicodedata.normalize("NFKC", char)
        if not kind and _has_width(char) and (ordinary in drawable or ordinary in wide):
            shown, kind = ordinary + FILLER * (ordinary in wide), "width"
        table[ord(char)] = shown
        if kind:
            normalisations[kind] += count
        else:
            substitutions[code_point_name(char)] += count
    normalisations["tab"] = composed.count("\t")
    cleaned = composed.translate(table).expandtabs(TAB_STOP)
    return CleanText(cleaned, dict(substitutions), {kind: n for kind, n in normalisations.items() if n})
