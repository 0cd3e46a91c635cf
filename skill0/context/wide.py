"""Glyphs two columns wide, for Chinese, Japanese, Korean and emoji.

Text that needs none never loads them. A wide character stands in a row as itself and a filler after it, so
that a row is as many characters as it has columns; its two halves are two glyphs of the page. Rare ideographs
are not among them (see `skill0.context.text`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from skill0.errors import ConfigError

SIDE = 28
"""Pixels a side of the bitmaps that every cell size shrinks."""

WIDE_PATH = Path(__file__).parent / "atlases" / "noto_wide.npz"

FILLER = "\uffff"
"""Stands after a wide character, for its right half. It is no character, so text cannot bring it."""


def wide_digest(codes: np.ndarray, bitmaps: np.ndarray) -> str:
    """The version of the wide glyphs: it changes when any of them or their order does."""
    return hashlib.sha256(codes.tobytes() + bitmaps.tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class WideAtlas:
    """Wide glyphs: `codes` `(glyphs,)` uint32 ascending, `bitmaps` `(glyphs, 98)` uint8, a bit a pixel."""

    codes: np.ndarray
    bitmaps: np.ndarray
    version: str

    @cached_property
    def drawable(self) -> frozenset[str]:
        return frozenset(map(chr, self.codes))

    def glyphs(self, codes: np.ndarray) -> np.ndarray:
        """Number of each code point's glyph; every code point must have one."""
        return np.searchsorted(self.codes, codes)

    def halves(self, numbers: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
        """Ink of half glyphs, `(halves, height, width)` uint8. Half 2 g is the left one of glyph g, and the
        next one its right one."""
        width, height = cell
        bits = np.unpackbits(self.bitmaps[numbers // 2], axis=1).reshape(-1, SIDE, SIDE).astype(np.int64)
        down, across = _overlaps(height), _overlaps(2 * width)  # (height, 28), (2 * width, 28)
        ink = np.einsum("hy,nyx,wx->nhw", down, bits, across, optimize=True)  # (halves, height, 2 * width)
        levels = (255 * ink + SIDE**2 // 2) // SIDE**2  # a cell's pixel is 28 x 28 small parts
        pairs = levels.reshape(len(numbers), height, 2, width).transpose(0, 2, 1, 3)
        return pairs[np.arange(len(numbers)), numbers % 2].astype(np.uint8)


def _overlaps(pixels: int) -> np.ndarray:
    """How much of each of 28 pixels lies under each of fewer, in whole parts: rows add up to 28."""
    edges = np.arange(pixels + 1) * SIDE  # in units of 1 / (28 * pixels) of the side
    fine = np.arange(SIDE + 1) * pixels
    top = np.minimum(edges[1:, None], fine[None, 1:])
    bottom = np.maximum(edges[:-1, None], fine[None, :-1])
    return np.maximum(0, top - bottom)  # (pixels, 28)


@lru_cache(maxsize=1)
def load_wide() -> WideAtlas:
    """The wide glyphs. Raises `ConfigError` when their file is damaged."""
    with np.load(WIDE_PATH, allow_pickle=False) as arrays:
        codes, bitmaps, version = arrays["codes"], arrays["bitmaps"], str(arrays["version"])
    if wide_digest(codes, bitmaps) != version:
        raise ConfigError(f"{WIDE_PATH} is damaged: its glyphs do not match version {version}; reinstall")
    return WideAtlas(codes, bitmaps, version)
