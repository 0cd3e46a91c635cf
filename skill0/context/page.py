"""A page: rows of glyph ids that become an image, or the vision encoder's input, only when asked.

A page of fifty turns is about 16 KB of ids, where its float patches are 14 MB: buffers and processes pass
pages, and pixels are made again where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from skill0.context.assembly import PageReport
from skill0.context.atlas import cell_size, load_atlas
from skill0.context.pixels import PATCH_VALUES, fill_patches, grid_of, normalisation_table, normalised
from skill0.context.style import TOKEN_SIDE, PageStyle
from skill0.context.text import clean
from skill0.context.wide import FILLER
from skill0.errors import RenderError

if TYPE_CHECKING:
    from PIL.Image import Image


_ROWS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Page:
    """Text laid out under a style. Equal pages show the same pixels; the report plays no part in that.

    `ids` `(rows, columns)` uint16, with wide characters uint32, read-only: see `Atlas`.
    """

    ids: np.ndarray
    style: PageStyle
    report: PageReport = field(default_factory=PageReport)

    def __post_init__(self) -> None:
        self.ids.setflags(write=False)

    def __reduce__(self):  # unpickling builds the page anew, so that its ids are read-only again
        return Page, (self.ids, self.style, self.report)

    def to_json(self) -> dict[str, Any]:
        """Ids and style, without the report, as JSON data."""
        return {"ids": self.ids.tolist(), "style": asdict(self.style)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Page:
        """A page from what `to_json` gave. Raises `KeyError`, `TypeError` or `ValueError` for other data."""
        style = PageStyle(**content["style"])
        ids = np.array(content["ids"], np.uint32).reshape(-1, style.columns)
        has_wide = ids.max(initial=0) >= load_atlas(style.cell).first_wide
        return Page(ids if has_wide else ids.astype(np.uint16), style)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Page):
            return NotImplemented
        return self.style == other.style and np.array_equal(self.ids, other.ids)

    def __hash__(self) -> int:
        return hash((self.style, self.ids.tobytes()))

    def __repr__(self) -> str:
        height, width = self.size
        return f"Page({width}x{height}, {len(self.ids)} rows, {self.visual_tokens} visual tokens)"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, both multiples of 28."""
        return self.style.size(len(self.ids))

    @property
    def visual_tokens(self) -> int:
        """Tokens the language model sees: one per 28 x 28 pixels."""
        return self.style.visual_tokens(len(self.ids))

    def array(self, compiled: bool = False) -> np.ndarray:
        """The image, `(height, width, 3)` uint8. With `compiled` it is drawn sooner, by code that numba
        compiles (extra `numba`); raises `RenderError` where that is not installed."""
        height, width = self.size
        if self.style.shrink > 1:
            return self._shrunk()
        # The last row's leading may reach below the page.
        written = len(self.ids) * self.style.pitch
        canvas = np.empty((max(height, written), width * 3), np.uint8)
        canvas[written if compiled else 0 :] = 255
        drawing(compiled)(self.ids, self.style, canvas)
        return canvas[:height].reshape(height, width, 3)

    def planes(self) -> Iterator[np.ndarray]:
        """The image normalised for the vision encoder: three planes `(height, width)` float32, one by one."""
        if self.style.shrink > 1:
            yield from normalised(self.array())
        else:
            height, width = self.size
            yield from draw_planes(self.ids, self.style, width, 0, height)

    def _shrunk(self) -> np.ndarray:
        """The image drawn at full size, shrunk, and set at the upper left of a white page."""
        from PIL import Image

        page = np.full((*self.size, 3), 255, np.uint8)
        if len(self.ids):
            full = np.full((len(self.ids) * self.style.pitch, self.style.width * 3), 255, np.uint8)
            draw(self.ids, self.style, full)
            inked = full[: len(full) - self.style.leading].reshape(-1, self.style.width, 3)
            height, width = self.style.inked_size(len(self.ids))
            small = Image.fromarray(inked).resize((width, height), Image.Resampling.LANCZOS)
            page[:height, :width] = np.asarray(small)
        return page

    def image(self) -> Image:
        """The image as an RGB PIL image."""
        from PIL import Image

        return Image.fromarray(self.array())

    def pixel_values(self) -> tuple[np.ndarray, np.ndarray]:
        """`pixel_values` `(patches, 1176)` float32 and `image_grid_thw` `(1, 3)` int64 of Qwen2.5-VL."""
        return batch_pixel_values([self])

    def text(self) -> str:
        """The text as shown, one line per row, without trailing spaces."""
        return "\n".join(self.row_texts()).replace(FILLER, "")

    def row_texts(self) -> list[str]:
        """The text of every row, a character a column (`FILLER` after wide ones), no trailing spaces."""
        characters = load_atlas(self.style.cell).characters(self.ids)  # (rows, columns)
        return ["".join(row).rstrip(" ") for row in characters]

    def token_index(self, row: int, column: int) -> int:
        """Which of the page's visual tokens (row by row, from 0) shows the centre of a text cell.

        Raises `IndexError` for a cell that is not on the page.
        """
        rows, columns = self.ids.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError(f"cell ({row}, {column}) is not on a page of {rows} rows and {columns} columns")
        return int(self.cell_tokens()[row, column])

    def cell_tokens(self) -> np.ndarray:
        """For every text cell the visual token that shows its centre, `(rows, columns)` int64."""
        rows, columns = self.ids.shape
        cell_width, cell_height = cell_size(self.style.cell)
        scale = math.sqrt(self.style.shrink) * TOKEN_SIDE
        down = ((np.arange(rows) * self.style.pitch + cell_height // 2) // scale).astype(int)  # (rows,)
        across = ((np.arange(columns) * cell_width + cell_width // 2) // scale).astype(int)  # (columns,)
        return down[:, None] * (self.size[1] // TOKEN_SIDE) + across[None]

    def find(self, text: str) -> list[tuple[int, int]]:
        """Row and column of every place where `text` stands within one row, from top to bottom."""
        text = clean(text, load_atlas(self.style.cell).drawable).text
        places = []
        for row, shown in enumerate(self.row_texts()):
            column = shown.find(text) if text else -1
            while column >= 0:
                places.append((row, column))
                column = shown.find(text, column + 1)
        return places


def draw(ids: np.ndarray, style: PageStyle, canvas: np.ndarray) -> None:
    """Draws rows of ids from the canvas's upper edge down, on what is white.

    `canvas` `(pixel rows, 3 * width)` uint8.
    """
    atlas = load_atlas(style.cell)
    draw_rows(*atlas.table(ids), atlas.lengths(ids), style.pitch, canvas)


def drawing(compiled: bool) -> Callable[[np.ndarray, PageStyle, np.ndarray], None]:
    """`draw`, or the same compiled. Raises `RenderError` where numba is wanted and not installed."""
    if not compiled:
        return draw
    try:
        from skill0.context import compiled as by_numba
    except ImportError as error:
        raise RenderError(f"compiled=True needs numba ({error}): pip install 'skill0[numba]'") from None
    return by_numba.draw


def draw_planes(ids: np.ndarray, style: PageStyle, width: int, top: int, bottom: int) -> Iterator[np.ndarray]:
    """Pixel rows `top` to `bottom` of a page as the encoder sees them: three planes `(bottom - top, width)`
    float32."""
    first = top // style.pitch
    above = top - first * style.pitch
    atlas = load_atlas(style.cell)
    pictures, places = atlas.plane_table(ids[first:])
    lengths = atlas.lengths(ids[first:])
    height = max(above + bottom - top, len(places) * style.pitch)
    for glyphs, white in zip(pictures, normalisation_table()[:, 255], strict=True):
        plane = np.full((height, width), white, np.float32)
        draw_rows(glyphs, places, lengths, style.pitch, plane)
        yield plane[above : above + bottom - top]


def draw_rows(
    glyphs: np.ndarray, places: np.ndarray, lengths: np.ndarray, pitch: int, canvas: np.ndarray
) -> None:
    """Draws text rows from the canvas's upper edge down, `pitch` pixel rows each, on what is white.

    `glyphs` `(pictures, cell height, ...)`, whose other axes are what a pixel row of a glyph is made of;
    `places` `(rows, columns)`, which picture stands where; `lengths` `(rows,)`, after how many columns a row
    is blank; `canvas` `(pixel rows, values)`, at least `rows * pitch` high. A glyph's pixel row is moved
    whole, and a few text rows of like length at a time, which stay in the processor's cache.
    """
    if not len(places):
        return
    flat = glyphs.reshape(len(glyphs), -1)  # (pictures, values of a glyph)
    height, width = glyphs.shape[1], flat.shape[1] // glyphs.shape[1]
    line = np.dtype(f"V{width * flat.itemsize}")
    places = places.astype(np.intp)
    lines = canvas[: len(places) * pitch].reshape(len(places), pitch, -1)[:, :height]
    lines = lines[:, :, : places.shape[1] * width].view(line)  # (rows, height, columns)
    if len(places) <= _ROWS_AT_ONCE:
        columns = int(lengths.max())
        lines[:, :, :columns] = flat.take(places[:, :columns], axis=0).view(line).transpose(0, 2, 1)
        return
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), _ROWS_AT_ONCE):
        some = order[first : first + _ROWS_AT_ONCE]
        columns = int(lengths[some[-1]])
        drawn = flat.take(places[some, :columns], axis=0).view(line)  # (rows, columns, height)
        lines[some, :, :columns] = drawn.transpose(0, 2, 1)


def batch_pixel_values(pages: Sequence[Page]) -> tuple[np.ndarray, np.ndarray]:
    """The vision encoder's input for several pages, one after another.

    Returns `pixel_values` `(patches of all pages, 1176)` float32 and `image_grid_thw` `(pages, 3)` int64,
    bit-equal to transformers' Qwen2-VL image processor (PIL back end) given the pages' images.
    """
    grids = np.array([grid_of(*page.size) for page in pages], np.int64).reshape(-1, 3)  # (pages, 3)
    ends = np.cumsum(grids.prod(axis=1))
    values = np.empty((int(ends[-1]) if len(ends) else 0, PATCH_VALUES), np.float32)
    for page, end, (_, down, across) in zip(pages, ends, grids, strict=True):
        fill_patches(page.planes(), values[end - down * across : end])
    return values, grids
