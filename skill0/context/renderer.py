"""The renderer: segments and a style in, a page out.

SKILL0 (arXiv 2604.02268), equation 2: the interaction history and the selected skills become one compact RGB
image. Deviations are listed in docs/context.md. It remembers the rows of segments it has laid out, so that a
growing history costs one segment a turn; what it returns never depends on what it remembers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from skill0.context.assembly import assemble
from skill0.context.fitting import SMALLEST, Fitted, fit
from skill0.context.layout import Laid, SegmentRows, apart, flow_on, joined, lay_out
from skill0.context.page import Page
from skill0.context.roles import HISTORY_ROLES, Segment
from skill0.context.style import PageStyle

_ENTRY_BYTES = 700  # of Python objects around an entry's ids and text

_Key = tuple[tuple[str, int, str | None], str, str, int]
"""Cell, columns and joiner; role; text; the column where the segment starts."""


class ContextRenderer:
    """Lays out contexts. One renderer can serve all episodes of a process.

    `cache_bytes` bounds what it remembers; the segments used longest ago are forgotten first.
    """

    def __init__(self, cache_bytes: int = 64 * 2**20) -> None:
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[_Key, SegmentRows] = OrderedDict()
        self._cached_bytes = 0

    def page(self, segments: Sequence[Segment], style: PageStyle) -> Page:
        """The page that shows `segments` from top to bottom, the oldest history first.

        History that does not fit is dropped, oldest first, and reported by a visible note and `page.report`.
        Raises `RenderError` when skills and notes alone do not fit `style.max_visual_tokens`.
        """
        ids, report = assemble(segments, style, self.lay_out)
        return Page(ids, style, report)

    def visual_tokens(self, segments: Sequence[Segment], style: PageStyle) -> int:
        """Visual tokens of `page(segments, style)`, by layout alone. Raises what `page` raises."""
        return self.page(segments, style).visual_tokens

    def fit(
        self, segments: Sequence[Segment], style: PageStyle, max_visual_tokens: int, smallest: str = SMALLEST
    ) -> Fitted:
        """The page with at most so many visual tokens: in a smaller cell, down to `smallest`, before history
        is dropped. See `skill0.context.fitting` for the rule and what is raised."""
        return fit(self, segments, style, max_visual_tokens, smallest)

    def lay_out(self, segments: Sequence[Segment], style: PageStyle) -> Laid:
        """All segments one below another, remembered or laid out now."""
        if style.joiner:
            return joined(self._flow(segments, style), style)
        if not self.cache_bytes:
            return lay_out(segments, style)
        look = (style.cell, style.columns, style.joiner)
        keys = [(look, segment.role, segment.text, 0) for segment in segments]
        found = [self._recall(key) for key in keys]
        missing = {key: number for number, key in enumerate(keys) if found[number] is None}
        if not missing:
            return joined([rows for rows in found if rows is not None], style)
        laid = lay_out([segments[number] for number in missing.values()], style)
        new = dict(zip(missing, apart(laid, style), strict=True))
        for key, rows in new.items():
            self._remember(key, rows)
        return joined(
            [new[key] if rows is None else rows for key, rows in zip(keys, found, strict=True)], style
        )

    def _flow(self, segments: Sequence[Segment], style: PageStyle) -> list[SegmentRows]:
        """One after another, for a history segment begins in the column where the one before it ended."""
        look = (style.cell, style.columns, style.joiner)
        laid: list[SegmentRows] = []
        column = 0
        for segment in segments:
            flows = segment.role in HISTORY_ROLES
            key = (look, segment.role, segment.text, column if flows else 0)
            rows = self._recall(key)
            if rows is None:
                flowing = flow_on(segment, style, column) if flows else None
                rows = flowing or apart(lay_out([segment], style), style)[0]
                self._remember(key, rows)
            if flows or len(rows.ids):
                column = rows.end
            laid.append(rows)
        return laid

    def _recall(self, key: _Key) -> SegmentRows | None:
        rows = self._cache.get(key)
        if rows is not None:
            self._cache.move_to_end(key)
        return rows

    def _remember(self, key: _Key, rows: SegmentRows) -> None:
        self._cache[key] = rows
        self._cached_bytes += _size(key, rows)
        while self._cached_bytes > self.cache_bytes:
            self._cached_bytes -= _size(*self._cache.popitem(last=False))


def _size(key: _Key, rows: SegmentRows) -> int:
    return rows.ids.nbytes + 4 * len(key[2]) + _ENTRY_BYTES
