"""The renderer: segments and a style in, a page out.

SKILL0 (arXiv 2604.02268), equation 2: the interaction history and the selected skills become one compact RGB
image. Deviations are listed in docs/context.md. It remembers the rows of segments it has laid out, so that a
growing history costs one segment a turn; what it returns never depends on what it remembers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from skill0.context.layout import SegmentRows, assemble, lay_out_segment
from skill0.context.page import Page
from skill0.context.roles import Segment
from skill0.context.style import PageStyle

_ENTRY_BYTES = 500  # of Python objects around an entry's ids and text


class ContextRenderer:
    """Lays out contexts. One renderer can serve all episodes of a process.

    `cache_bytes` bounds what it remembers; the segments used longest ago are forgotten first.
    """

    def __init__(self, cache_bytes: int = 64 * 2**20) -> None:
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, str, str, int], SegmentRows] = OrderedDict()
        self._cached_bytes = 0

    def page(self, segments: Sequence[Segment], style: PageStyle) -> Page:
        """The page that shows `segments` from top to bottom, the oldest history first.

        History that does not fit is dropped, oldest first, and reported by a visible note and `page.report`.
        Raises `RenderError` when skills and notes alone do not fit `style.max_visual_tokens`.
        """
        ids, report = assemble(segments, [self._rows(segment, style) for segment in segments], style)
        return Page(ids, style, report)

    def visual_tokens(self, segments: Sequence[Segment], style: PageStyle) -> int:
        """Visual tokens of `page(segments, style)`, by layout alone. Raises what `page` raises."""
        return self.page(segments, style).visual_tokens

    def _rows(self, segment: Segment, style: PageStyle) -> SegmentRows:
        key = (segment.role, segment.text, style.cell, style.columns)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        rows = lay_out_segment(segment, style)
        self._cache[key] = rows
        self._cached_bytes += self._size(segment.text, rows)
        while self._cached_bytes > self.cache_bytes:
            (_, text, _, _), forgotten = self._cache.popitem(last=False)
            self._cached_bytes -= self._size(text, forgotten)
        return rows

    @staticmethod
    def _size(text: str, rows: SegmentRows) -> int:
        return rows.ids.nbytes + 4 * len(text) + _ENTRY_BYTES
