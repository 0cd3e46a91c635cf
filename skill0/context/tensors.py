"""Pages as Qwen2.5-VL's vision encoder takes them, made on the device that needs them.

On an accelerator only glyph ids travel (16 KB a page of fifty turns, where its float patches are 14 MB): the
pictures of the glyphs are gathered there from an atlas that was copied once. On the CPU the pages draw
themselves. Both are bit-equal to the image processor's result; tests/context/test_tensors.py.

Left out on purpose: pages that are shrunk as images (`PageStyle.compression`) and pages with wide characters,
which are drawn on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from skill0.context.atlas import load_atlas
from skill0.context.page import Page, batch_pixel_values
from skill0.context.pixels import (
    CHANNELS,
    FRAMES,
    MERGE,
    PATCH_SIDE,
    PATCH_VALUES,
    grid_of,
    normalisation_table,
)
from skill0.context.style import TOKEN_SIDE, PageStyle

Pixels = Callable[[Sequence[Page], torch.device | str], tuple[torch.Tensor, torch.Tensor]]
"""Pages, device -> `pixel_values` `(patches of all pages, 1176)` and `image_grid_thw` `(pages, 3)`, there."""


def official_pixels(image_processor: Any) -> Pixels:
    """The same by a transformers image processor, which gets the pages as PIL images; to compare with."""

    def process(pages: Sequence[Page], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        found = image_processor(images=[page.image() for page in pages], return_tensors="pt")
        return found["pixel_values"].to(device), found["image_grid_thw"].to(device)

    return process


def pixel_tensors(
    pages: Sequence[Page], device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """`pixel_values` `(patches of all pages, 1176)` float32 and `image_grid_thw` `(pages, 3)` int64."""
    if torch.device(device).type == "cpu":
        values, grids = batch_pixel_values(pages)
        return torch.from_numpy(values), torch.from_numpy(grids)
    return gathered_pixels(pages, device)


def gathered_pixels(pages: Sequence[Page], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by gathering glyphs on the device, whatever it is; pages of one style all at once."""
    grids = torch.tensor([grid_of(*page.size) for page in pages], dtype=torch.int64).reshape(-1, 3)
    parts: list[torch.Tensor] = [torch.empty(0, PATCH_VALUES, device=device)] * len(pages)
    by_style: dict[PageStyle, list[int]] = {}
    for number, page in enumerate(pages):
        if page.style.shrink > 1 or page.ids.dtype != np.uint16:
            parts[number] = torch.from_numpy(page.pixel_values()[0]).to(device)
        else:
            by_style.setdefault(page.style, []).append(number)
    for style, numbers in by_style.items():
        some = [pages[number] for number in numbers]
        for width in sorted({page.size[1] for page in some}):  # a page without text has a width of its own
            same = [number for number in numbers if pages[number].size[1] == width]
            patches = _patches([pages[number] for number in same], style, width, device)
            lengths = [int(grids[number].prod()) for number in same]
            for number, part in zip(same, patches.split(lengths), strict=True):
                parts[number] = part
    return torch.cat(parts) if parts else torch.empty(0, PATCH_VALUES, device=device), grids.to(device)


def _patches(pages: Sequence[Page], style: PageStyle, width: int, device: torch.device | str) -> torch.Tensor:
    """Patches `(patches of all pages, 1176)` of pages of one style and width."""
    glyphs = _glyphs(style.cell, str(device))  # (ids + 1, cell height + 1, cell width, 3); the last are white
    cells, lines = _places(pages, style)
    ids = torch.from_numpy(cells).to(device).long()  # (pixel rows, columns)
    inside = torch.from_numpy(lines).to(device).long()  # (pixel rows,)
    drawn = glyphs[ids, inside[:, None]]  # (pixel rows, columns, cell width, 3)
    drawn = drawn.reshape(len(ids), -1, CHANNELS)[:, :width]  # (pixel rows, inked width, 3)
    image = drawn.new_full((len(ids), width, CHANNELS), 255)
    image[:, : drawn.shape[1]] = drawn
    table = torch.from_numpy(normalisation_table().copy()).to(device)  # (3, 256)
    planes = torch.stack([table[c][image[..., c].long()] for c in range(CHANNELS)])  # (3, pixel rows, width)
    blocks = planes.reshape(CHANNELS, -1, MERGE, PATCH_SIDE, width // TOKEN_SIDE, MERGE, PATCH_SIDE)
    blocks = blocks.permute(1, 4, 2, 5, 0, 3, 6).unsqueeze(5)  # (down, across, 2, 2, 3, 1, 14, 14)
    frames = blocks.expand(-1, -1, -1, -1, -1, FRAMES, -1, -1)
    return frames.reshape(-1, PATCH_VALUES)


def _places(pages: Sequence[Page], style: PageStyle) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel row of the pages, one below another: the ids of its text row `(pixel rows, columns)`
    int32, and which pixel row of the glyphs it shows `(pixel rows,)` int32. White is one beyond the last."""
    atlas = load_atlas(style.cell)
    blank, cell_height = len(atlas.pixels), atlas.pixels.shape[1]
    cells, lines = [], []
    for page in pages:
        height = page.size[0]
        row, line = np.divmod(np.arange(height, dtype=np.int32), style.pitch)
        ids = np.full((len(page.ids) + 1, style.columns), blank, np.int32)
        ids[: len(page.ids)] = page.ids
        cells.append(ids[np.minimum(row, len(page.ids))])
        lines.append(np.minimum(line, cell_height))
    return np.concatenate(cells), np.concatenate(lines)


@lru_cache(maxsize=16)
def _glyphs(cell: str, device: str) -> torch.Tensor:
    """The atlas on the device, with a white glyph and a white pixel row after the others."""
    pixels = load_atlas(cell).pixels
    glyphs = np.full((len(pixels) + 1, pixels.shape[1] + 1, *pixels.shape[2:]), 255, np.uint8)
    glyphs[:-1, :-1] = pixels
    return torch.from_numpy(glyphs).to(device)
