"""From segments to rows of glyph ids: wrapping.

A segment starts on a new row. Lines wrap at spaces; a word longer than a row is split. Indentation is kept on
a line's first row (up to half the width). Skill and note segments keep their blank lines, history does not.

With a joiner in the style, history flows instead: a history segment goes on in the row where the one before
it ended, and the joiner stands for every new line. Its rows then depend on the column where it starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from skill0.context.atlas import load_atlas
from skill0.context.roles import HISTORY_ROLES, ROLES, Segment
from skill0.context.style import PageStyle
from skill0.context.text import clean, is_plain
from skill0.context.wide import FILLER

_ROLE_NUMBER = {role: number for number, role in enumerate(ROLES)}

Changes = tuple[Mapping[str, int], Mapping[str, int]]
"""Substitutions and normalisations in the text of a segment."""


class Laid(NamedTuple):  # a tuple is made faster than a frozen dataclass, and pages are made of hundreds
    """Segments laid out one below another: `ids` `(rows, columns)`, uint16 or with wide characters uint32;
    the first row and the row after the last of each; by its number, what was changed in a segment's text."""

    ids: np.ndarray
    spans: tuple[tuple[int, int], ...]
    changes: Mapping[int, Changes]


class SegmentRows(NamedTuple):
    """One segment laid out, and what was changed in its text.

    The first row begins in column `start` (the cells before it are another segment's), the last one ends
    before column `end`.
    """

    ids: np.ndarray
    changes: Changes | None
    start: int = 0
    end: int = 0


def wrap(line: str, columns: int, first: int | None = None) -> list[str]:
    """One line as rows of at most `columns` characters, no trailing spaces. A blank line is one empty row.

    The first row may be given another width, `first`; it stays empty where not even one word fits.
    """
    line = line.rstrip(" ")
    room = columns if first is None else first
    indent = 0
    if line[:1] == " ":
        indent = len(line) - len(line.lstrip(" "))
        if indent > columns // 2:
            line, indent = line[indent - columns // 2 :], columns // 2
    rows = []
    while len(line) > room:
        space = line.rfind(" ", indent + 1, room + 1)
        if FILLER in line:  # a line may end after a wide character, never within one
            space = max(space, line.rfind(FILLER, 0, room) + 1)
        cut = space if space > 0 else room if room == columns else 0
        if line[cut : cut + 1] == FILLER:
            cut -= 1
        rows.append(line[:cut].rstrip(" "))
        line, indent, room = line[cut:].lstrip(" "), 0, columns
    rows.append(line)
    return rows


def lay_out(segments: Sequence[Segment], style: PageStyle) -> Laid:
    """Every segment on rows of its own. Never raises; blank text gives no rows."""
    columns = style.columns
    rows: list[str] = []
    ends: list[int] = [0]
    changes: dict[int, Changes] = {}
    for number, segment in enumerate(segments):
        text = segment.text
        if not is_plain(text):
            cleaned = clean(text, load_atlas(style.cell).drawable)
            text = cleaned.text
            if cleaned.substitutions or cleaned.normalisations:
                changes[number] = cleaned.substitutions, cleaned.normalisations
        if "\n" in text:
            rows += _lines(text, columns, segment.role not in HISTORY_ROLES)
        elif text and not text.isspace():
            rows += wrap(text, columns)
        ends.append(len(rows))
    ids = _ids(rows, [segment.role for segment in segments], ends, style)
    return Laid(ids, tuple(pairwise(ends)), changes)


def apart(laid: Laid, style: PageStyle) -> list[SegmentRows]:
    """What was laid out together, segment by segment, each with ids of its own."""
    found = []
    for number, (first, last) in enumerate(laid.spans):
        ids = narrowest(laid.ids[first:last], style)
        found.append(SegmentRows(ids.copy() if ids.base is not None else ids, laid.changes.get(number)))
    return found


def narrowest(ids: np.ndarray, style: PageStyle) -> np.ndarray:
    """The ids as uint16, unless there are wide characters among them."""
    if ids.dtype == np.uint16 or ids.max(initial=0) >= load_atlas(style.cell).first_wide:
        return ids
    return ids.astype(np.uint16)


def joined(parts: Sequence[SegmentRows], style: PageStyle) -> Laid:
    """Segments one after another; a flowing one goes on in the last row of the one before it."""
    new = [max(0, len(rows.ids) - bool(rows.start)) for rows in parts]
    ends = list(accumulate(new, initial=0))
    changes = {number: rows.changes for number, rows in enumerate(parts) if rows.changes is not None}
    if not parts:
        return Laid(np.zeros((0, style.columns), np.uint16), (), changes)
    if not style.joiner:
        return Laid(np.concatenate([rows.ids for rows in parts]), tuple(pairwise(ends)), changes)
    ids = np.concatenate([rows.ids[len(rows.ids) - count :] for rows, count in zip(parts, new, strict=True)])
    spans = []
    for rows, (first, last) in zip(parts, pairwise(ends), strict=True):
        goes_on = rows.start > 0 and len(rows.ids) > 0
        if goes_on:
            ids[first - 1, rows.start :] = rows.ids[0, rows.start :]
        spans.append((first - goes_on, last))
    return Laid(ids, tuple(spans), changes)


def flow_on(segment: Segment, style: PageStyle, start: int) -> SegmentRows:
    """A history segment that goes on from column `start`, after the joiner where that is not 0."""
    cleaned = clean(segment.text, load_atlas(style.cell).drawable)
    changed = cleaned.substitutions or cleaned.normalisations
    changes = (cleaned.substitutions, cleaned.normalisations) if changed else None
    lines = [line for line in map(str.strip, cleaned.text.split("\n")) if line]
    if not lines:
        return SegmentRows(np.zeros((0, style.columns), np.uint16), changes, start, start)
    joiner = style.joiner or ""
    text = joiner.join(["", *lines] if start else lines)
    rows = wrap(text, style.columns, style.columns - start)
    rows[0] = " " * start + rows[0]
    ids = _ids(rows, [segment.role], [0, len(rows)], style)
    return SegmentRows(ids, changes, start, len(rows[-1]))


def _lines(text: str, columns: int, keeps_blank_lines: bool) -> list[str]:
    """Several lines of clean text, wrapped. Nothing of a text that is all blank."""
    lines = text.strip("\n").split("\n") if text.strip(" \n") else []
    return [row for line in lines if keeps_blank_lines or line.strip(" ") for row in wrap(line, columns)]


def _ids(rows: Sequence[str], roles: Sequence[str], ends: Sequence[int], style: PageStyle) -> np.ndarray:
    """Ids `(rows, columns)` of rows of text, of which `ends[i]` to `ends[i + 1]` are of role i."""
    atlas, columns = load_atlas(style.cell), style.columns
    flat = "".join([row.ljust(columns) for row in rows])
    numbers: list[int] = []  # of the role of every row
    for role, (first, last) in zip(roles, pairwise(ends), strict=True):
        numbers += [_ROLE_NUMBER[role]] * (last - first)
    role_of_row = np.array(numbers, np.uint16)[:, None]  # (rows, 1)
    if FILLER in flat:
        return atlas.wide_ids(flat, role_of_row, columns)
    ids = atlas.glyphs(flat).reshape(len(rows), columns)  # (rows, columns)
    ids += role_of_row * np.uint16(atlas.num_glyphs)
    return ids
