"""A page that grows: what is drawn stays drawn, whatever is appended.

An episode's page is last turn's page and a few rows more. A canvas keeps the pixels, and the vision encoder's
patches, of what has not changed: rows are drawn once, and a row of visual tokens is made again only when a
text row in it changed. When a window slides, rows that moved up are moved, not drawn.

What a canvas shows never depends on how it came there: tests/context/test_canvas.py compares it, after any
sequence of changes, with a page made from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skill0.context.assembly import PageReport, total
from skill0.context.layout import lay_out
from skill0.context.page import Page, draw_planes, drawing
from skill0.context.pixels import PATCH_VALUES, fill_patches, grid_of
from skill0.context.renderer import ContextRenderer
from skill0.context.roles import Segment
from skill0.context.style import TOKEN_SIDE, PageStyle

_CANDIDATES = 8


class Canvas:
    """One growing page of a style.

    Args:
        style: how it looks; another one is another canvas.
        renderer: lays segments out, and may be shared by many canvases.
        compiled: images are drawn by code that numba compiles (extra `numba`), as in `Page.array`.

    Raises:
        RenderError: numba is asked for and not installed.
    """

    def __init__(
        self, style: PageStyle, renderer: ContextRenderer | None = None, compiled: bool = False
    ) -> None:
        self.compiled = compiled
        self._draw = drawing(compiled)
        self.renderer = renderer or ContextRenderer()
        self.segments: list[Segment] = []
        self.page = self.renderer.page((), style)
        self._replaced = 0  # how often the page was: between two, rows were only appended
        self._pixels = np.full((0, style.width * 3), 255, np.uint8)
        self._drawn, self._drawn_at = np.zeros((0, style.columns), np.uint16), 0  # ids that the pixels show
        self._patches = np.empty((0, PATCH_VALUES), np.float32)
        self._patched, self._patched_at = self._drawn, 0  # ids that the patches show

    @property
    def style(self) -> PageStyle:
        return self.page.style

    @property
    def _is_drawn_whole(self) -> bool:
        """Without text, and where the image is shrunk, nothing can be kept."""
        return not len(self.page.ids) or self.style.shrink > 1

    def show(self, segments: Sequence[Segment]) -> Page:
        """The page of these segments, whatever was shown before. Raises as `ContextRenderer.page` does."""
        self.page = self.renderer.page(segments, self.style)
        self.segments = list(segments)
        self._replaced += 1
        return self.page

    def append(self, *segments: Segment) -> Page:
        """The page with these segments after all others. Raises what `ContextRenderer.page` raises."""
        if self.style.joiner or self.page.report.rows_dropped:
            return self.show([*self.segments, *segments])
        laid = lay_out(segments, self.style)  # not to be remembered: the page has it
        before, rows = self.page.report, len(self.page.ids)
        if rows + len(laid.ids) > self.style.max_rows:
            return self.show([*self.segments, *segments])
        ids = np.concatenate([self.page.ids, laid.ids])
        substitutions, normalisations = before.substitutions, before.normalisations
        if laid.changes:
            substitutions = total([substitutions, *(changed for changed, _ in laid.changes.values())])
            normalisations = total([normalisations, *(changed for _, changed in laid.changes.values())])
        report = PageReport(
            before.segments + len(segments),
            0,
            len(ids),
            0,
            substitutions,
            normalisations,
            before.segment_rows + tuple([(rows + first, rows + last) for first, last in laid.spans]),
        )
        self.page = Page(ids, self.style, report)
        self.segments += segments
        return self.page

    def array(self) -> np.ndarray:
        """The image, `(height, width, 3)` uint8, read-only: a view that the next change may overwrite."""
        page, style = self.page, self.page.style
        ids, (height, width), pitch = page.ids, page.size, style.pitch
        if self._is_drawn_whole:
            return page.array(self.compiled)
        lowest = max(height, len(ids) * pitch)
        self._pixels = pixels = _grown(self._pixels, lowest, 255)
        same = len(self._drawn)
        if self._drawn_at != self._replaced:
            same = equal_rows(self._drawn, ids)
        start, shift, stop = _moved(self._drawn, ids, same)
        if shift:
            pixels[start * pitch : stop * pitch] = pixels[(start + shift) * pitch : (stop + shift) * pitch]
        lowest = max(lowest, len(self._drawn) * pitch)
        for first, last, end in ((same, start, start * pitch), (stop, len(ids), lowest)):
            white = last if self.compiled else first  # compiled code leaves nothing as it was
            if white * pitch < end:
                pixels[white * pitch : end] = 255
            if first < last:
                self._draw(ids[first:last], style, pixels[first * pitch : last * pitch])
        self._drawn, self._drawn_at = ids, self._replaced
        picture = pixels[:height].reshape(height, width, 3)
        picture.setflags(write=False)
        return picture

    def pixel_values(self) -> tuple[np.ndarray, np.ndarray]:
        """`pixel_values` `(patches, 1176)` float32 and `image_grid_thw` `(1, 3)` int64 of Qwen2.5-VL, the
        former read-only: a view that the next change may overwrite."""
        ids, (height, width), pitch = self.page.ids, self.page.size, self.style.pitch
        if self._is_drawn_whole:
            return self.page.pixel_values()
        count, per_band = height * width // 14**2, 4 * width // TOKEN_SIDE
        self._patches = _grown(self._patches, count, 0)
        same = len(self._patched)
        if self._patched_at != self._replaced:
            same = equal_rows(self._patched, ids)
        band = same * pitch // TOKEN_SIDE  # the first row of visual tokens that shows a change
        if band * TOKEN_SIDE < height:
            planes = draw_planes(ids, self.style, width, band * TOKEN_SIDE, height)
            fill_patches(planes, self._patches[band * per_band : count])
        self._patched, self._patched_at = ids, self._replaced
        values = self._patches[:count]
        values.setflags(write=False)
        return values, np.array([grid_of(height, width)], np.int64)


def equal_rows(one: np.ndarray, other: np.ndarray) -> int:
    """How many rows two arrays have in common at their beginning."""
    count = min(len(one), len(other))
    different = (one[:count] != other[:count]).any(axis=1)
    return int(different.argmax()) if different.any() else count


def _moved(old: np.ndarray, new: np.ndarray, same: int) -> tuple[int, int, int]:
    """Rows of `new`, from and to, that stood `shift` rows lower in `old`, and the shift; nothing moved is 0.

    Looked for behind the equal rows and one more, for the note that counts what was dropped changes.
    """
    for start in (same, same + 1):
        if start >= len(new) or start >= len(old):
            continue
        rows = np.flatnonzero((old[start + 1 :] == new[start]).all(axis=1))[:_CANDIDATES] + 1
        for shift in rows.tolist():
            stop = min(len(new), len(old) - shift)
            if np.array_equal(old[start + shift : stop + shift], new[start:stop]):
                return start, shift, stop
    return same, 0, same


def _grown(buffer: np.ndarray, rows: int, fill: float) -> np.ndarray:
    """The buffer with room for so many rows; one that has to grow gets twice as many."""
    if len(buffer) >= rows:
        return buffer
    larger = np.full((2 * rows, buffer.shape[1]), fill, buffer.dtype)
    larger[: len(buffer)] = buffer
    return larger
