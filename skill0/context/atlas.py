"""The ladder of cell atlases: every glyph as a small, fixed-size picture, baked in advance.

An atlas is read from the package (see `skill0.context.bake` for how it was made) and kept for the life
of the process. Compression is a step down this ladder, never a resize: text stays as crisp as its cell
allows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from skill0.context.pixels import normalised
from skill0.context.roles import ROLE_COLOURS
from skill0.errors import ConfigError

CELL_SIZES = {"7x14": (7, 14), "6x12": (6, 12), "5x10": (5, 10), "5x9": (5, 9), "4x8": (4, 8)}
"""Width and height of each cell in pixels, largest first."""

CELLS = tuple(CELL_SIZES)

ATLAS_FOLDER = Path(__file__).parent / "atlases"
NO_GLYPH = 0xFFFF
"""What the look-up table holds for a code point that cannot be drawn."""

_TABLE_SIZE = 0x3000  # no glyph of the atlases lies beyond


def cell_size(cell: str) -> tuple[int, int]:
    """Width and height in pixels. Raises `ConfigError` for a cell that has no atlas."""
    if cell not in CELL_SIZES:
        raise ConfigError(f"there is no atlas for cell {cell!r}; choose one of {', '.join(CELLS)}")
    return CELL_SIZES[cell]


def atlas_path(cell: str) -> Path:
    return ATLAS_FOLDER / f"dejavu_sans_mono_{cell}.npz"


def atlas_digest(codes: np.ndarray, coverage: np.ndarray) -> str:
    """The version of an atlas: it changes when any glyph or their order does."""
    digest = hashlib.sha256(repr(coverage.shape).encode())
    digest.update(codes.tobytes())
    digest.update(coverage.tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Atlas:
    """Glyphs of one cell size. A coloured glyph's id is `role * num_glyphs + glyph`.

    `codes` `(glyphs,)` uint32 are the code points, `coverage` `(glyphs, height, width)` uint8 the ink.
    """

    cell: str
    codes: np.ndarray
    coverage: np.ndarray
    version: str

    @property
    def num_glyphs(self) -> int:
        return len(self.codes)

    @cached_property
    def glyph_of_code(self) -> np.ndarray:
        """Glyph by code point, uint16; everything beyond the table is clamped to its last entry."""
        table = np.full(_TABLE_SIZE, NO_GLYPH, np.uint16)
        drawable = self.codes < _TABLE_SIZE - 1
        table[self.codes[drawable]] = np.flatnonzero(drawable)
        return table

    @cached_property
    def drawable(self) -> frozenset[str]:
        return frozenset(self.text)

    @cached_property
    def text(self) -> str:
        """The characters in the order of their glyphs."""
        return "".join(map(chr, self.codes))

    @cached_property
    def pixels(self) -> np.ndarray:
        """Every glyph black on white, in each role's colour: `(roles * glyphs, height, width, 3)` uint8."""
        ink = self.coverage[None, ..., None].astype(np.float32) / 255  # (1, glyphs, height, width, 1)
        colours = np.array(list(ROLE_COLOURS.values()), np.float32)  # (roles, 3)
        colours = colours[:, None, None, None]  # (roles, 1, 1, 1, 3)
        cells = np.round(255 * (1 - ink) + colours * ink)  # (roles, glyphs, height, width, 3)
        return cells.astype(np.uint8).reshape(-1, *cells.shape[2:])

    @cached_property
    def planes(self) -> np.ndarray:
        """`pixels` as the vision encoder sees them, `(3, roles * glyphs, height, width)` float32."""
        return normalised(self.pixels)

    def glyphs(self, text: str) -> np.ndarray:
        """Glyphs of `text`, `(len(text),)` uint16; `NO_GLYPH` for a character that has none."""
        if text.isascii():
            return self.glyph_of_code[np.frombuffer(text.encode("ascii"), np.uint8)]
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return self.glyph_of_code[np.minimum(codes, _TABLE_SIZE - 1)]


@lru_cache(maxsize=len(CELLS))
def load_atlas(cell: str) -> Atlas:
    """The atlas of one cell size. Raises `ConfigError` when there is none, or when its file is damaged."""
    cell_size(cell)
    with np.load(atlas_path(cell), allow_pickle=False) as arrays:
        codes, coverage, version = arrays["codes"], arrays["coverage"], str(arrays["version"])
    if atlas_digest(codes, coverage) != version:
        raise ConfigError(
            f"{atlas_path(cell)} is damaged: its glyphs do not match version {version}; reinstall"
        )
    codes.setflags(write=False)
    coverage.setflags(write=False)
    return Atlas(cell, codes, coverage, version)
