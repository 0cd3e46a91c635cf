"""Drawing compiled by numba (extra `numba`): the same pixels as `skill0.context.page.draw`, sooner.

numpy moves a glyph's pixel row by a call of its own. Compiled for a cell, whose size is then known, it is two
or three moves of eight bytes: what they hold too much falls where the next column is drawn after it. Imported
only where `compiled=True` is asked for. The first page of a cell on a machine takes about a second to
compile; the result is kept beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numba
import numpy as np

from skill0.context.atlas import cell_size, load_atlas
from skill0.context.style import PageStyle

_CHANNELS, _WORD = 3, 8


def draw(ids: np.ndarray, style: PageStyle, canvas: np.ndarray) -> None:
    """As `page.draw`, but the canvas, which must be contiguous, need not be white."""
    if not len(ids):
        return
    atlas, (width, height) = load_atlas(style.cell), cell_size(style.cell)
    if ids.dtype == np.uint16:
        (glyphs, glyph_words), places, num_glyphs = _padded_atlas(style.cell), ids, atlas.num_glyphs
    else:
        pictures, places = atlas.table(ids)
        (glyphs, glyph_words), num_glyphs = _padded(pictures), 0
    size, columns = width * _CHANNELS, ids.shape[1]
    words = np.ndarray(
        (len(canvas), columns - 1, glyph_words.shape[2]),
        np.uint64,
        canvas,
        0,
        (canvas.shape[1], size, _WORD),
    )  # all columns but the last, each reaching into the next
    _kernel(height, size)(glyphs, glyph_words, places, num_glyphs, style.pitch, words, canvas)


@cache
def _padded_atlas(cell: str) -> tuple[np.ndarray, np.ndarray]:
    return _padded(load_atlas(cell).pixels)


def _padded(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(pictures, height, width, 3)` uint8 as `(pictures, height, bytes)`, in whole words; and as these."""
    rows = pictures.reshape(*pictures.shape[:2], -1)
    rows = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % _WORD)))
    return rows, rows.view(np.uint64)


@cache
def _kernel(height: int, size: int) -> Callable[..., None]:
    """Drawing for cells of this height, whose pixel rows are so many bytes long."""
    num_words = -(-size // _WORD)

    @numba.njit(cache=True)
    def kernel(
        glyphs: np.ndarray,  # (pictures, height, bytes)
        glyph_words: np.ndarray,  # (pictures, height, words), the same memory
        places: np.ndarray,  # (rows, columns)
        num_glyphs: int,  # the first of so many pictures is blank; 0 where it need not be
        pitch: int,
        canvas_words: np.ndarray,  # (pixel rows, columns - 1, words), the same memory as
        canvas: np.ndarray,  # (pixel rows, bytes)
    ) -> None:
        for row in range(places.shape[0]):
            columns = places.shape[1]
            while num_glyphs and columns and places[row, columns - 1] % num_glyphs == 0:
                columns -= 1
            for y in range(pitch):
                line = row * pitch + y
                shown = columns if y < height else 0
                for column in range(shown - 1):
                    for word in range(num_words):
                        canvas_words[line, column, word] = glyph_words[places[row, column], y, word]
                if shown:
                    for byte in range(size):
                        canvas[line, (shown - 1) * size + byte] = glyphs[places[row, shown - 1], y, byte]
                canvas[line, shown * size :] = 255

    return kernel
