"""How a page looks: cell, width, leading, and how many visual tokens it may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from skill0.context.atlas import CELLS, cell_size
from skill0.errors import ConfigError

TOKEN_SIDE = 28
"""A visual token of Qwen2.5-VL shows 28 x 28 pixels: 2 x 2 merged patches of 14 x 14."""

MIN_PIXELS = 56 * 56
MAX_PIXELS = 16384 * TOKEN_SIDE**2
MAX_ASPECT = 200
"""Limits of the published Qwen2.5-VL image processor: within them an aligned image is not resampled."""


def _round_up(pixels: int) -> int:
    return -(-pixels // TOKEN_SIDE) * TOKEN_SIDE


@dataclass(frozen=True)
class PageStyle:
    """The look of a page. Raises `ConfigError` for a value out of range.

    Args:
        cell (`str`, *optional*, defaults to `"6x12"`):
            One of `CELLS`, width x height in pixels.
        width (`int`, *optional*, defaults to `392`):
            Of the page in pixels, a multiple of 28, at least 56.
        leading (`int`, *optional*, defaults to `0`):
            White space in pixels below each text row. Cell 7x14 with leading 14 puts one text row into each
            row of visual tokens.
        max_visual_tokens (`int`, *optional*):
            Above it the oldest history gives way. Without one: as many as the image processor takes.
        joiner (`str`, *optional*):
            Stands for new lines in and between history segments, such as `" | "`: history flows, which costs
            fewer rows. Printable ASCII, at most 8 characters. Without one each segment begins a row.
        compression (`str`, *optional*, defaults to `"atlas"`):
            How `compressed` makes text smaller: by a smaller cell (`"atlas"`), or as in the published code by
            shrinking the drawn image, Lanczos, the root of the factor a side (`"resize"`).
        shrink (`float`, *optional*, defaults to `1.0`):
            The factor by which the drawn image's area is shrunk; at least 1.
    """

    cell: str = "6x12"
    width: int = 392
    leading: int = 0
    max_visual_tokens: int | None = None
    joiner: str | None = None
    compression: str = "atlas"
    shrink: float = 1.0

    def __post_init__(self) -> None:
        cell_size(self.cell)
        if self.width % TOKEN_SIDE or not 56 <= self.width <= TOKEN_SIDE * MAX_ASPECT:
            raise ConfigError(
                f"a page's width must be a multiple of 28 from 56 to 5600 pixels, not {self.width}"
            )
        if not 0 <= self.leading <= 10 * TOKEN_SIDE:
            raise ConfigError(f"leading must be 0 to 280 pixels, not {self.leading}")
        if self.joiner is not None and not (
            0 < len(self.joiner) <= 8 and self.joiner.isascii() and self.joiner.isprintable()
        ):
            raise ConfigError(f"a joiner is 1 to 8 printable ASCII characters, not {self.joiner!r}")
        if self.compression not in ("atlas", "resize"):
            raise ConfigError(f"compression is 'atlas' or 'resize', not {self.compression!r}")
        if not (math.isfinite(self.shrink) and self.shrink >= 1):
            raise ConfigError(f"shrink must be a number of at least 1, not {self.shrink}")
        least = max(4, self.visual_tokens(1))
        if self.max_visual_tokens is not None and self.max_visual_tokens < least:
            raise ConfigError(
                f"max_visual_tokens={self.max_visual_tokens} holds no text at cell {self.cell} and width"
                f" {self.width}: one row costs {least} visual tokens"
            )

    @cached_property
    def columns(self) -> int:
        """Characters in a row."""
        return self.width // cell_size(self.cell)[0]

    @property
    def pitch(self) -> int:
        """Pixels from one text row to the next."""
        return cell_size(self.cell)[1] + self.leading

    @cached_property
    def page_width(self) -> int:
        """Pixels from side to side of a page with text: `width`, or what it is shrunk to, up to 28 more."""
        return _round_up(self._shrunk(self.width))

    @property
    def token_limit(self) -> int:
        """Visual tokens a page may have: `max_visual_tokens`, never more than the image processor takes."""
        tall = MAX_ASPECT * (self.page_width // TOKEN_SIDE) ** 2
        limit = min(MAX_PIXELS // TOKEN_SIDE**2, tall)
        return limit if self.max_visual_tokens is None else min(limit, self.max_visual_tokens)

    @cached_property
    def max_rows(self) -> int:
        """Text rows that `token_limit` has room for."""
        height = self.token_limit // (self.page_width // TOKEN_SIDE) * TOKEN_SIDE
        rows = (math.floor(height * math.sqrt(self.shrink)) + self.leading) // self.pitch
        while self.inked_size(rows)[0] > height:  # rounded up above
            rows -= 1
        return rows

    def inked_size(self, rows: int) -> tuple[int, int]:
        """Height and width in pixels of what `rows` text rows take; nothing follows the last one."""
        return self._shrunk(rows * self.pitch - self.leading), self._shrunk(self.width)

    def size(self, rows: int) -> tuple[int, int]:
        """Height and width in pixels of a page of `rows` text rows; a page without text is 56 x 56."""
        if rows == 0:
            return 56, 56
        width = self.page_width
        return _round_up(max(self.inked_size(rows)[0], math.ceil(MIN_PIXELS / width))), width

    def visual_tokens(self, rows: int) -> int:
        """Visual tokens of a page of `rows` text rows."""
        height, width = self.size(rows)
        return (height // TOKEN_SIDE) * (width // TOKEN_SIDE)

    def compressed(self, factor: float) -> PageStyle:
        """This style with text of `1 / factor` the area. A larger factor never gives larger text; 1 and below
        change nothing.

        By `"atlas"`: the cell whose area is nearest, never a larger one. By `"resize"`: the same cell, and
        the image shrunk. Raises `ConfigError` for a factor that is not a positive number.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ConfigError(f"a compression factor must be a positive number, not {factor}")
        if self.compression == "resize":
            return replace(self, shrink=max(self.shrink, factor))
        area = math.prod(cell_size(self.cell))
        rungs = [cell for cell in CELLS if math.prod(cell_size(cell)) <= area]
        nearest = min(rungs, key=lambda cell: abs(math.prod(cell_size(cell)) - area / max(factor, 1.0)))
        return replace(self, cell=nearest)

    def _shrunk(self, pixels: int) -> int:
        return pixels if self.shrink == 1 else max(1, math.ceil(pixels / math.sqrt(self.shrink) - 1e-9))
