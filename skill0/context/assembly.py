"""From laid-out segments to one page, and what gives way when it is full.

When the rows exceed the style's limit, the oldest history segments are dropped whole and a note in their
place says how many; if not even the newest fits, only its last rows are kept. Skills and notes always stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skill0.context.atlas import CELLS
from skill0.context.layout import Laid, narrowest
from skill0.context.roles import HISTORY_ROLES, Segment
from skill0.context.style import PageStyle
from skill0.errors import RenderError

LayOut = Callable[[Sequence[Segment], PageStyle], Laid]
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
    """Ids of the whole page `(rows, columns)` and the report.

    Raises `RenderError` when skills and notes alone exceed the style's limit.
    """
    laid = lay(segments, style)
    dropped, rows_dropped = 0, 0
    if len(laid.ids) > style.max_rows:
        whole, history = len(laid.ids), _history(segments, laid)
        dropped = _how_many(segments, history, style, lay)
        laid = _shortened(segments, history, dropped, style, lay)
        rows_dropped = whole - (len(laid.ids) - 1)
    return laid.ids, PageReport(
        len(segments),
        dropped,
        len(laid.ids),
        rows_dropped,
        total(substitutions for substitutions, _ in laid.changes.values()),
        total(normalisations for _, normalisations in laid.changes.values()),
        laid.spans,
    )


def _shortened(
    segments: Sequence[Segment], history: Sequence[int], dropped: int, style: PageStyle, lay: LayOut
) -> Laid:
    """The segments laid out without the oldest history, with a note in its place."""
    left, place, newest = _without(segments, history[:dropped]), history[0], history[-1]
    cut = max(0, len(lay(left, style).ids) + 1 - style.max_rows)
    marker = Segment("note", _marker(dropped, cut, style.columns))
    laid = lay([*left[:place], marker, *left[place:]], style)
    spans = [*laid.spans[:place], *laid.spans[place + 1 :]]
    if not cut:
        return laid._replace(spans=tuple(spans))
    first, last = spans[newest]
    spans = [*spans[:newest], (first, last - cut), *((a - cut, b - cut) for a, b in spans[newest + 1 :])]
    ids = np.delete(laid.ids, slice(first, first + cut), axis=0)
    return Laid(narrowest(ids, style), tuple(spans), laid.changes)


def _history(segments: Sequence[Segment], laid: Laid) -> list[int]:
    """Numbers of the history segments that have rows, oldest first."""
    return [
        number
        for number, (segment, (first, last)) in enumerate(zip(segments, laid.spans, strict=True))
        if segment.role in HISTORY_ROLES and first < last
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
        return len(lay(_without(segments, history[:count]), style).ids) + bool(history)  # the marker

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
        fewer = len(lay(_without(segments, history), other).ids) + bool(history)
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
