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
from skill0.context.wide import FILLER, load_wide
from skill0.errors import ConfigError

CELL_SIZES = {"7x14": (7, 14), "6x12": (6, 12), "5x10": (5, 10), "5x9": (5, 9), "4x8": (4, 8)}
"""Width and height of each cell in pixels, largest first."""

CELLS = tuple(CELL_SIZES)

ATLAS_FOLDER = Path(__file__).parent / "atlases"
NO_GLYPH = 0xFFFF
"""What the look-up table holds for a code point that cannot be drawn."""

_NO_BYTE = 0xFF
"""The same in the table for ASCII."""

_COLOURS = np.array(list(ROLE_COLOURS.values()), np.float32)  # (roles, 3)

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
    """Glyphs of one cell size. A coloured glyph's id is `role * num_glyphs + glyph`; after those of all roles
    come the halves of wide glyphs, `first_wide + 2 * (role * wide glyphs + glyph)` and the next one.

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
    def glyph_of_ascii(self) -> bytes:
        """Glyph by ASCII code, a byte each; `_NO_BYTE` where there is none, or none that a byte holds."""
        glyphs = np.minimum(self.glyph_of_code[:128], _NO_BYTE).astype(np.uint8)
        return glyphs.tobytes().ljust(256, bytes([_NO_BYTE]))

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
        cells = _coloured(ink, _COLOURS[:, None, None, None])  # (roles, glyphs, height, width, 3)
        return cells.reshape(-1, *cells.shape[2:])

    @cached_property
    def planes(self) -> np.ndarray:
        """`pixels` as the vision encoder sees them, `(3, roles * glyphs, height, width)` float32."""
        return normalised(self.pixels)

    @property
    def first_wide(self) -> int:
        return len(ROLE_COLOURS) * self.num_glyphs

    def glyphs(self, text: str) -> np.ndarray:
        """Glyphs of `text`, `(len(text),)` uint16; `NO_GLYPH` for a character that has none."""
        if text.isascii():
            glyphs = text.encode("ascii").translate(self.glyph_of_ascii)
            if _NO_BYTE not in glyphs:
                return np.frombuffer(glyphs, np.uint8).astype(np.uint16)
        return self.glyph_of_code[np.minimum(_codes(text), _TABLE_SIZE - 1)]

    def wide_ids(self, text: str, roles: np.ndarray, columns: int) -> np.ndarray:
        """Ids `(rows, columns)` uint32 of text in which a filler follows every wide character; `roles`
        `(rows, 1)` uint16."""
        codes, glyphs = _codes(text).reshape(-1, columns), self.glyphs(text).reshape(-1, columns)
        ids = glyphs.astype(np.uint32) + roles.astype(np.uint32) * self.num_glyphs  # (rows, columns)
        wide = load_wide()
        row, right = np.nonzero(codes == ord(FILLER))
        numbers = wide.glyphs(codes[row, right - 1]) + roles[row, 0].astype(np.int64) * len(wide.codes)
        ids[row, right - 1] = self.first_wide + 2 * numbers
        ids[row, right] = self.first_wide + 2 * numbers + 1
        return ids

    def lengths(self, ids: np.ndarray) -> np.ndarray:
        """After how many columns the rest of a row may be left blank, `(rows,)`. All of them where a row is
        one character throughout."""
        columns = ids.shape[1]
        last = ids[:, -1]
        like_last = (ids[:, ::-1] != last[:, None]).argmax(axis=1)  # (rows,)
        # A blank has its role, too; a wide glyph is none.
        is_blank = (last % self.num_glyphs == 0) & (last < self.first_wide)
        return columns - like_last * is_blank

    def characters(self, ids: np.ndarray) -> np.ndarray:
        """The character of every id; a filler for the right half of a wide one."""
        narrow = np.array(list(self.text))[ids % self.num_glyphs]
        if ids.dtype == np.uint16:
            return narrow
        wide = load_wide()
        half = np.maximum(ids.astype(np.int64) - self.first_wide, 0)
        left = wide.codes[half // 2 % len(wide.codes)].view("U1").astype(str)
        return np.where(ids < self.first_wide, narrow, np.where(half % 2, FILLER, left))

    def table(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures to draw ids from, `(pictures, height, width, 3)` uint8, and each id's place among them."""
        if ids.dtype == np.uint16:
            return self.pixels, ids
        different, places = np.unique(ids, return_inverse=True)
        halves = different[different >= self.first_wide].astype(np.int64) - self.first_wide
        wide = load_wide()
        role, number = np.divmod(halves, 2 * len(wide.codes))
        ink = wide.halves(number, cell_size(self.cell))[..., None].astype(np.float32) / 255
        drawn = _coloured(ink, _COLOURS[role][:, None, None])  # (halves, height, width, 3)
        narrow = self.pixels[different[different < self.first_wide]]
        return np.concatenate([narrow, drawn]), places.reshape(ids.shape)

    def plane_table(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with pictures as the encoder sees them, `(3, pictures, height, width)` float32."""
        if ids.dtype == np.uint16:
            return self.planes, ids
        pictures, places = self.table(ids)
        return normalised(pictures), places


def _coloured(ink: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Ink of 0 to 1 on white, in a colour, uint8."""
    return np.round(255 * (1 - ink) + colours * ink).astype(np.uint8)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


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
