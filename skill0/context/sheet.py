"""Contact sheets: several pages side by side, each under its caption, to be looked at by people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skill0.context.layout import lay_out
from skill0.context.page import Page
from skill0.context.roles import Segment
from skill0.context.style import PageStyle
from skill0.errors import RenderError

if TYPE_CHECKING:
    from PIL.Image import Image

_GAP = 12
_FRAME, _BACKGROUND = 160, 235


def _caption(text: str, width: int) -> np.ndarray:
    """A caption as wide as its page, `(height, width, 3)` uint8."""
    style = PageStyle(cell="6x12", width=width)
    rows = lay_out([Segment("skill", text)], style).ids
    return Page(rows, style).array()[: max(1, len(rows)) * style.pitch + 4]


def _framed(page: Page, caption: str) -> np.ndarray:
    """One page in a thin frame under its caption, `(height, width, 3)` uint8."""
    picture = page.array()
    width = max(picture.shape[1], 168)  # narrower than that, a caption cannot be read
    picture = np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=_FRAME)
    beside = ((0, 0), (0, max(0, width + 2 - picture.shape[1])), (0, 0))
    picture = np.pad(picture, beside, constant_values=_BACKGROUND)
    title = np.pad(_caption(caption, width), ((0, 0), (1, 1), (0, 0)), constant_values=255)
    return np.concatenate([np.minimum(title, _BACKGROUND), picture])


def contact_sheet(pages: Sequence[Page], captions: Sequence[str], columns: int = 4) -> Image:
    """Pages side by side, `columns` to a row of the sheet, as a PIL image.

    Raises `RenderError` when there is no page or not one caption for each.
    """
    from PIL import Image

    if not pages or len(pages) != len(captions):
        given = f"{len(pages)} pages, {len(captions)} captions"
        raise RenderError(f"a contact sheet needs pages and one caption for each, not {given}")
    tiles = [_framed(page, caption) for page, caption in zip(pages, captions, strict=True)]
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    line_heights = [max(tile.shape[0] for tile in line) + _GAP for line in lines]
    width = max(sum(tile.shape[1] + _GAP for tile in line) for line in lines) + _GAP
    sheet = np.full((sum(line_heights) + _GAP, width, 3), _BACKGROUND, np.uint8)
    y = _GAP
    for line, line_height in zip(lines, line_heights, strict=True):
        x = _GAP
        for tile in line:
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            x += tile.shape[1] + _GAP
        y += line_height
    return Image.fromarray(sheet)
