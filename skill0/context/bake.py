"""Bakes the cell atlases from DejaVu Sans Mono: `python -m skill0.context.bake`.

Each glyph is drawn once at `OVERSAMPLING` times its size, where hinting no longer shows, and averaged
down by boxes into an integer cell, so that a page needs no font, no shaping engine and no rasteriser when
it is made: what the model sees is the same on every machine. The font is matplotlib's own copy (a
dependency already); its licence lies beside the atlases.

Left out: shaping, combining marks and wide characters (`skill0.context.text` writes those as escapes).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skill0.context.atlas import ATLAS_FOLDER, CELLS, atlas_digest, atlas_path, cell_size
from skill0.context.text import LOOK_ALIKES

OVERSAMPLING = 16
ADVANCE_EM = 1233 / 2048  # width of every glyph of DejaVu Sans Mono in units of the font size
DESCENT_EM = 0.236  # how far g, p, q and brackets hang below the base line

PUNCTUATION = "–‘’“”„†‡•…‰′″‹›€™"
MATHEMATICS = "−×÷±≠≈≤≥∞√∂∑∏∫"
ARROWS = "←↑→↓↔⇐⇒⇔"
BOXES = "─│┌┐└┘├┤┬┴┼═║█░▒▓■□▪▲▶▼◀◆○●★☆"
MARKS = "✓✗�"


def characters() -> str:
    """The characters of every atlas in order; the first is the space, whose glyph id is 0."""
    ascii_latin1_extended = [*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x180)]
    listed = "".join(map(chr, ascii_latin1_extended)) + PUNCTUATION + MATHEMATICS + ARROWS + BOXES + MARKS
    return "".join(char for char in dict.fromkeys(listed) if char not in LOOK_ALIKES)


def font_path() -> Path:
    """The copy of DejaVu Sans Mono inside matplotlib."""
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"


def _draw_large(font: ImageFont.FreeTypeFont, char: str) -> tuple[np.ndarray, int, int]:
    """Ink of one glyph at the font's own size: coverage, rows above the base line, columns from the pen."""
    left, top, right, bottom = (
        int(edge) for edge in font.getbbox(char, anchor="ls")
    )  # base line at 0, y down
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), char, fill=255, font=font, anchor="ls")
    return np.asarray(image), -top, left


def _bake_glyph(
    font: ImageFont.FreeTypeFont, char: str, size: tuple[int, int], above: int, lower: int = 0
) -> np.ndarray:
    """One glyph as cell coverage `(height, width)`, its base line below row `above`.

    The highest ink stays `lower` sixteenths of a pixel below the cell's top edge.
    """
    width, height = size
    ink, top, left = _draw_large(font, char)
    bottom = top - ink.shape[0]
    room_above, room_below = above * OVERSAMPLING, (height - above) * OVERSAMPLING
    # Accents on capitals and the tallest signs are flattened to fit rather than cut off.
    fitted_top, fitted_bottom = min(top, room_above - lower), max(bottom, -room_below)
    if (fitted_top, fitted_bottom) != (top, bottom):
        fitted = Image.fromarray(ink).resize((ink.shape[1], fitted_top - fitted_bottom), Image.Resampling.BOX)
        ink = np.asarray(fitted)
    canvas = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING), np.float64)
    start = max(left, 0)
    stop = min(left + ink.shape[1], canvas.shape[1])
    canvas[room_above - fitted_top : room_above - fitted_bottom, start:stop] = ink[
        :, start - left : stop - left
    ]
    cells = canvas.reshape(height, OVERSAMPLING, width, OVERSAMPLING).mean(axis=(1, 3))  # (height, width)
    return np.round(cells).astype(np.uint8)


def bake(cell: str) -> tuple[np.ndarray, np.ndarray]:
    """Code points `(glyphs,)` uint32 and coverage `(glyphs, height, width)` uint8 of one cell size."""
    width, height = cell_size(cell)
    pixels = width * OVERSAMPLING / ADVANCE_EM  # font size at which a glyph is as wide as the cell
    font = ImageFont.truetype(font_path(), pixels, layout_engine=ImageFont.Layout.BASIC)
    above = height - round(DESCENT_EM * pixels / OVERSAMPLING)
    glyphs: dict[str, np.ndarray] = {}
    seen: set[bytes] = set()
    for char in characters():
        # A caron and a circumflex squeezed into one pixel row average to the same ink: lower the later one.
        tries = (_bake_glyph(font, char, (width, height), above, lower) for lower in range(OVERSAMPLING))
        glyphs[char] = next(glyph for glyph in tries if glyph.tobytes() not in seen)
        seen.add(glyphs[char].tobytes())
    return np.array([ord(char) for char in glyphs], np.uint32), np.stack(list(glyphs.values()))


def main() -> None:
    """Writes all atlases of the ladder into the package and prints what was written."""
    for cell in CELLS:
        codes, coverage = bake(cell)
        version = atlas_digest(codes, coverage)
        np.savez_compressed(atlas_path(cell), codes=codes, coverage=coverage, version=np.array(version))
        size = atlas_path(cell).stat().st_size
        print(f"{cell}: {len(codes)} glyphs, {size} bytes, version {version}")
    font_hash = hashlib.sha256(font_path().read_bytes()).hexdigest()
    print(f"font sha256 {font_hash}; licence in {ATLAS_FOLDER / 'LICENSE_DEJAVU'}")


if __name__ == "__main__":
    main()
