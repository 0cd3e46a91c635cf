"""From segments to rows of glyph ids: wrapping, and what gives way when the page is full.

A segment starts on a new row. Lines wrap at spaces; a word longer than a row is split. Indentation is kept on
a line's first row (up to half the width). Skill and note segments keep their blank lines, history does not.

When the rows exceed the style's limit, the oldest history segments are dropped whole and a note in their
place says how many; if not even the newest fits, only its last rows are kept. Skills and notes always stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skill0.context.atlas import CELLS, load_atlas
from skill0.context.roles import HISTORY_ROLES, ROLES, Segment
from skill0.context.style import PageStyle
from skill0.context.text import clean
from skill0.errors import RenderError


@dataclass(frozen=True)
class PageReport:
    """What happened to the text on its way to a page.

    `segments_dropped` whole history segments and `rows_dropped` rows (those of dropped segments included)
    gave way to the limit. `substitutions` counts characters shown as an escape, by code point, and
    `normalisations` other changes, by kind (see `skill0.context.text`), in the segments shown.
    `segment_rows` holds the first row and the row after the last of every segment given; empty when dropped.
    """

    segments: int = 0
    segments_dropped: int = 0
    rows: int = 0
    rows_dropped: int = 0
    substitutions: dict[str, int] = field(default_factory=dict)
    normalisations: dict[str, int] = field(default_factory=dict)
    segment_rows: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class SegmentRows:
    """One segment laid out: `ids` `(rows, columns)` uint16, and what was changed in its text."""

    ids: np.ndarray
    substitutions: dict[str, int]
    normalisations: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)


def wrap(line: str, columns: int) -> list[str]:
    """One line as rows of at most `columns` characters, no trailing spaces. A blank line is one empty row."""
    line = line.rstrip(" ")
    indent = len(line) - len(line.lstrip(" "))
    if indent > columns // 2:
        line, indent = line[indent - columns // 2 :], columns // 2
    rows = []
    while len(line) > columns:
        space = line.rfind(" ", indent + 1, columns + 1)
        cut = space if space > 0 else columns
        rows.append(line[:cut].rstrip(" "))
        line, indent = line[cut:].lstrip(" "), 0
    return [*rows, line]


def lay_out_segment(segment: Segment, style: PageStyle) -> SegmentRows:
    """Rows of glyph ids of one segment. Never raises; blank text gives no rows."""
    atlas = load_atlas(style.cell)
    cleaned = clean(segment.text, atlas.drawable)
    keeps_blank_lines = segment.role not in HISTORY_ROLES
    lines = cleaned.text.strip("\n").split("\n") if cleaned.text.strip(" \n") else []
    rows = [
        row for line in lines if keeps_blank_lines or line.strip(" ") for row in wrap(line, style.columns)
    ]
    flat = "".join(row.ljust(style.columns) for row in rows)
    first_id = ROLES.index(segment.role) * atlas.num_glyphs
    ids = atlas.glyphs(flat).reshape(len(rows), style.columns) + np.uint16(first_id)  # (rows, columns)
    ids.setflags(write=False)
    return SegmentRows(ids, cleaned.substitutions, cleaned.normalisations)


def _marker(segments_dropped: int, rows_cut: int, columns: int) -> str:
    """The note that stands for what was dropped, in the longest form that fits into one row."""
    parts = [f"{segments_dropped} earlier"] * (segments_dropped > 0) + [f"{rows_cut} rows"] * (rows_cut > 0)
    short = f"[..{segments_dropped}..]" if segments_dropped else "[..]"
    forms = (f"[.. {' and '.join(parts)} ..]", short, "[..]")
    return next(form for form in forms if len(form) <= columns)


def _too_long(segments: Sequence[Segment], style: PageStyle, rows: int) -> RenderError:
    """Skills and notes alone do not fit: says by how much, and what each smaller cell would need."""
    fixed = [segment for segment in segments if segment.role not in HISTORY_ROLES]
    needed = style.visual_tokens(rows)
    smaller = []
    for cell in CELLS[CELLS.index(style.cell) + 1 :]:
        other = PageStyle(cell, style.width, style.leading)
        other_rows = sum(len(lay_out_segment(segment, other)) for segment in fixed) + 1
        smaller.append(f"{cell} needs {other.visual_tokens(other_rows)}")
    advice = f", or choose a smaller cell ({', '.join(smaller)})" if smaller else ""
    return RenderError(
        f"skills and notes need {needed} visual tokens ({rows} rows at cell {style.cell}, width"
        f" {style.width}, leading {style.leading}); {style.token_limit} are allowed,"
        f" {needed - style.token_limit} fewer; only history may be dropped."
        f" Raise max_visual_tokens, show fewer skill files{advice}"
    )


def _first_kept(laid: Sequence[SegmentRows], history: Sequence[int], room: int) -> tuple[int, int]:
    """How many of the oldest `history` segments to drop, and how many rows to cut off the one after them."""
    kept = 0
    for position in reversed(range(len(history))):
        rows = len(laid[history[position]])
        if kept + rows > room:
            cuttable = kept == 0 and room > 0
            return (position, rows - room) if cuttable else (position + 1, 0)
        kept += rows
    return 0, 0


def assemble(
    segments: Sequence[Segment], laid: Sequence[SegmentRows], style: PageStyle
) -> tuple[np.ndarray, PageReport]:
    """Ids of the whole page `(rows, columns)` uint16 and the report, from segments laid out one by one.

    Raises `RenderError` when skills and notes alone exceed the style's limit.
    """
    shown = [rows.ids for rows in laid]
    dropped: Sequence[int] = ()
    rows_cut = 0
    marker_at = -1
    if sum(map(len, laid)) > style.max_rows:
        history = [i for i, segment in enumerate(segments) if segment.role in HISTORY_ROLES and len(laid[i])]
        fixed_rows = sum(
            len(laid[i]) for i, segment in enumerate(segments) if segment.role not in HISTORY_ROLES
        )
        fixed_rows += bool(history)  # the marker
        if fixed_rows > style.max_rows:
            raise _too_long(segments, style, fixed_rows)
        count, rows_cut = _first_kept(laid, history, style.max_rows - fixed_rows)
        dropped, marker_at = history[:count], history[0]
        for i in dropped:
            shown[i] = shown[i][:0]
        if rows_cut:
            shown[history[count]] = shown[history[count]][rows_cut:]
    spans, pieces, row = [], [], 0
    for i, ids in enumerate(shown):
        if i == marker_at:
            note = Segment("note", _marker(len(dropped), rows_cut, style.columns))
            pieces.append(lay_out_segment(note, style).ids)
            row += 1
        pieces.append(ids)
        spans.append((row, row + len(ids)))
        row += len(ids)
    page = np.concatenate(pieces) if pieces else np.zeros((0, style.columns), np.uint16)
    substitutions: Counter[str] = Counter()
    normalisations: Counter[str] = Counter()
    for i in set(range(len(laid))).difference(dropped):
        substitutions.update(laid[i].substitutions)
        normalisations.update(laid[i].normalisations)
    rows_dropped = sum(len(laid[i]) for i in dropped) + rows_cut
    return page, PageReport(
        len(segments),
        len(dropped),
        row,
        rows_dropped,
        dict(substitutions),
        dict(normalisations),
        tuple(spans),
    )
