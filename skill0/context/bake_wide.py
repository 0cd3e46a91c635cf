"""Bakes the wide glyphs, for scripts that take two columns: `python -m skill0.context.bake_wide FONT...`.

Each is drawn large and averaged into a bitmap of 28 x 28, which every cell size then shrinks
(`skill0.context.wide`). The atlas in the package was made from Noto Sans Mono CJK SC and Noto Emoji (both SIL
Open Font License 1.1; licences beside it): the first as it lies in the PyPI package `mplfonts` 0.0.11, the
second in the npm package `@fontsource/noto-emoji` 5.3.2, its files `noto-emoji-*-400-normal.woff` by name.

Which characters: the common ones of four national standards (GB 2312 and JIS X 0208 level 1, Big5 level 1,
KS X 1001 syllables), kana, CJK punctuation, and the emoji that the font has. Left out: rarer ideographs,
which are shown as code points, and emoji made of several code points, which are shown as their parts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skill0.context.atlas import load_atlas
from skill0.context.wide import SIDE, WIDE_PATH, wide_digest

OVERSAMPLING = 8
ASCENT_EM = 0.88
_TRAILING = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
_IDEOGRAPHS = range(0x4E00, 0xA000)
_NO_PICTURES = {0x200D, *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0080)}


def decoded(encoding: str, first: Iterable[int], second: Iterable[int]) -> list[int]:
    """Code points of a double-byte standard's rows."""
    second = list(second)
    found = []
    for high in first:
        for low in second:
            text = bytes((high, low)).decode(encoding, "ignore")
            if len(text) == 1:
                found.append(ord(text))
    return found


def cjk_codes() -> list[int]:
    """Code points in order, none twice."""
    trailing = range(0xA1, 0xFF)
    ideographs = [
        *decoded("gb2312", range(0xB0, 0xD8), trailing),
        *decoded("euc_jp", range(0xB0, 0xD0), trailing),
        *(code for code in decoded("big5", range(0xA4, 0xC7), _TRAILING) if code in _IDEOGRAPHS),
    ]
    hangul = decoded("euc_kr", range(0xB0, 0xC9), trailing)
    kana = [*range(0x3041, 0x3097), *range(0x3099, 0x3100)]
    punctuation = [*range(0x3001, 0x3020), 0x3030, 0x30FB]
    return sorted({*ideographs, *hangul, *kana, *punctuation})


def font_codes(path: Path) -> set[int]:
    from fontTools.ttLib import TTFont

    with TTFont(path) as font:
        return set(font.getBestCmap() or ())


def bitmap(font: ImageFont.FreeTypeFont, char: str) -> np.ndarray:
    """Ink of one glyph, `(28, 28)` of 0 and 1."""
    side = SIDE * OVERSAMPLING
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text((side / 2, side * ASCENT_EM), char, fill=255, font=font, anchor="ms")
    means = np.asarray(image, np.float64).reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING).mean(axis=(1, 3))
    return (means > 127).astype(np.uint8)


def bake(fonts: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Code points `(glyphs,)` uint32 in order and bitmaps `(glyphs, 28, 28)` of 0 and 1, from the first font
    for CJK and all others for emoji. What a font draws as nothing is left out."""
    narrow = set(map(ord, load_atlas("6x12").drawable))
    glyphs: dict[int, np.ndarray] = {}
    cjk, *emoji = fonts
    size = SIDE * OVERSAMPLING
    font = ImageFont.truetype(cjk, size, layout_engine=ImageFont.Layout.BASIC)
    for code in sorted(set(cjk_codes()) & font_codes(cjk) - narrow):
        glyphs[code] = bitmap(font, chr(code))
    for path in emoji:
        # An emoji of this font is wider than its size; it is made to fit the cell's side.
        probe = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        for code in sorted(font_codes(path) - narrow - set(glyphs) - _NO_PICTURES - set(range(0x80))):
            width = probe.getlength(chr(code)) or size
            fitted = ImageFont.truetype(
                path, size * size / max(width, size), layout_engine=ImageFont.Layout.BASIC
            )
            glyphs[code] = bitmap(fitted, chr(code))
    kept = {code: glyphs[code] for code in sorted(glyphs) if glyphs[code].any()}
    return np.array(list(kept), np.uint32), np.stack(list(kept.values()))


def main() -> None:
    """Writes the atlas of wide glyphs into the package and prints what was written."""
    codes, bitmaps = bake([Path(path) for path in sys.argv[1:]])
    packed = np.packbits(bitmaps.reshape(len(codes), -1), axis=1)  # (glyphs, 98)
    version = wide_digest(codes, packed)
    np.savez_compressed(WIDE_PATH, codes=codes, bitmaps=packed, version=np.array(version))
    print(f"{len(codes)} wide glyphs, {WIDE_PATH.stat().st_size} bytes, version {version}")


if __name__ == "__main__":
    main()
