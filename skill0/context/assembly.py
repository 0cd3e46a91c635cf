"""From laid-out segments to one page, and what gives way when it is full.

When the rows exceed the style's limit, the oldest history segments are dropped whole and a note in their
place says how many; if not even the newest fits, only its last rows are kept. Skills and notes always stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np

from skill0.context.atlas import CELLS
from skill0.context.layout import SegmentRows
from skill0.context.roles import HISTORY_ROLES, Segment
from skill0.context.style import PageStyle
from skill0.errors import RenderError

LayOut = Callable[[Sequence[Segment], PageStyle], list[SegmentRows]]
"""Lays out segments in their order; flowing history begins where the segment before it ends."""


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
    substitutions: Mapping[str, int] = field(default_factory=dict)
    normalisations: Mapping[str, int] = field(default_factory=dict)
    segment_rows: tuple[tuple[int, int], ...] = ()


def assemble(segments: Sequence[Segment], style: PageStyle, lay: LayOut) -> tuple[np.ndarray, PageReport]:
    """Ids of the whole page `(rows, columns)` uint16 and the report.

    Raises `RenderError` when skills and notes alone exceed the style's limit.
    """
    laid = lay(segments, style)
    ids, spans = join(laid, style)
    dropped, rows_dropped = 0, 0
    if len(ids) > style.max_rows:
        whole, history = len(ids), _history(segments, laid)
        dropped = _how_many(segments, history, style, lay)
        ids, spans, laid = _shortened(segments, history, dropped, style, lay)
        rows_dropped = whole - (len(ids) - 1)
    return ids, PageReport(
        len(segments),
        dropped,
        len(ids),
        rows_dropped,
        total(rows.substitutions for rows in laid),
        total(rows.normalisations for rows in laid),
        spans,
    )


def _shortened(
    segments: Sequence[Segment], history: Sequence[int], dropped: int, style: PageStyle, lay: LayOut
) -> tuple[np.ndarray, tuple[tuple[int, int], ...], list[SegmentRows]]:
    """Ids, spans and rows without the oldest history, with a note in its place."""
    left, place, newest = _without(segments, history[:dropped]), history[0], history[-1]
    rows_cut = max(0, sum(map(_new_rows, lay(left, style))) + 1 - style.max_rows)
    marker = Segment("note", _marker(dropped, rows_cut, style.columns))
    laid = lay([*left[:place], marker, *left[place:]], style)
    if rows_cut:
        laid[newest + 1] = laid[newest + 1]._replace(ids=laid[newest + 1].ids[rows_cut:])
    ids, spans = join(laid, style)
    return ids, (*spans[:place], *spans[place + 1 :]), laid


def join(laid: Sequence[SegmentRows], style: PageStyle) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Ids `(rows, columns)` of segments one after another, and the rows of each, first and after the last."""
    if not laid:
        return np.zeros((0, style.columns), np.uint16), ()
    ends = list(accumulate(map(_new_rows, laid), initial=0))
    if not style.joiner:
        return np.concatenate([rows.ids for rows in laid]), tuple(pairwise(ends))
    ids = np.concatenate([rows.ids[len(rows.ids) - _new_rows(rows) :] for rows in laid])
    for rows, end in zip(laid, ends, strict=False):
        if rows.start and len(rows.ids):  # its first row is the last one of the segment before
            ids[end - 1, rows.start :] = rows.ids[0, rows.start :]
    spans = [
        (first - bool(rows.start and len(rows.ids)), last)
        for rows, (first, last) in zip(laid, pairwise(ends), strict=True)
    ]
    return ids, tuple(spans)


def _new_rows(rows: SegmentRows) -> int:
    """How many rows a segment adds: a flowing one goes on in a row that is there."""
    return max(0, len(rows.ids) - bool(rows.start))


def _history(segments: Sequence[Segment], laid: Sequence[SegmentRows]) -> list[int]:
    """Places of history segments that have rows, oldest first."""
    return [
        place
        for place, segment in enumerate(segments)
        if segment.role in HISTORY_ROLES and len(laid[place].ids)
    ]


def _without(segments: Sequence[Segment], dropped: Sequence[int]) -> list[Segment]:
    """The segments with these emptied, so that all others keep their places."""
    left = list(segments)
    for place in dropped:
        left[place] = Segment(left[place].role, "")
    return left


def _how_many(segments: Sequence[Segment], history: Sequence[int], style: PageStyle, lay: LayOut) -> int:
    """How many of the oldest history segments give way, so that the rest and the marker fit. Where any of it
    has room the newest stays, if need be with its last rows alone.

    Raises `RenderError` when what must stay does not fit.
    """

    def rows_without(count: int) -> int:
        rows = sum(map(_new_rows, lay(_without(segments, history[:count]), style)))
        return rows + bool(history)  # the marker

    least = rows_without(len(history))
    if least > style.max_rows:
        raise _too_long(segments, history, style, least, lay)
    if least == style.max_rows:
        return len(history)
    return bisect_left(range(len(history) - 1), True, key=lambda count: rows_without(count) <= style.max_rows)


def _too_long(
    segments: Sequence[Segment], history: Sequence[int], style: PageStyle, rows: int, lay: LayOut
) -> RenderError:
    """Skills and notes alone do not fit: says by how much, and what each smaller cell would need."""
    needed = style.visual_tokens(rows)
    smaller = []
    for cell in CELLS[CELLS.index(style.cell) + 1 :]:
        other = replace(style, cell=cell, max_visual_tokens=None)
        fewer = sum(map(_new_rows, lay(_without(segments, history), other))) + bool(history)
        smaller.append(f"{cell} needs {other.visual_tokens(fewer)}")
    advice = f", or choose a smaller cell ({', '.join(smaller)})" if smaller else ""
    return RenderError(
        f"skills and notes need {needed} visual tokens ({rows} rows at cell {style.cell}, width"
        f" {style.width}, leading {style.leading}); {style.token_limit} are allowed,"
        f" {needed - style.token_limit} fewer; only history may be dropped."
        f" Raise max_visual_tokens, show fewer skill files{advice}"
    )


def _marker(segments_dropped: int, rows_cut: int, columns: int) -> str:
    """The note that stands for what was dropped, in the longest form that fits into one row."""
    parts = [f"{segments_dropped} earlier"] * (segments_dropped > 0) + [f"{rows_cut} rows"] * (rows_cut > 0)
    short = f"[..{segments_dropped}..]" if segments_dropped else "[..]"
    forms = (f"[.. {' and '.join(parts)} ..]", short, "[..]")
    return next(form for form in forms if len(form) <= columns)


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of several segments together."""
    together: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            together[name] = together.get(name, 0) + number
    return together
