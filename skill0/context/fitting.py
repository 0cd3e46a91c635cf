"""Fitting a context into a budget of visual tokens: smaller text first, then less of it.

The rule: of the cells not larger than the style's and not smaller than the smallest allowed, the largest one
in which everything fits. Where there is none, the smallest allowed one, and the oldest history gives way
(`skill0.context.assembly`). Skills are never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skill0.context.atlas import CELLS, cell_size
from skill0.context.page import Page
from skill0.context.roles import Segment
from skill0.context.style import PageStyle
from skill0.errors import ConfigError

if TYPE_CHECKING:
    from skill0.context.renderer import ContextRenderer

SMALLEST = "5x9"
"""The smallest cell with a character error rate of about 1 %; docs/context.md has the table."""


@dataclass(frozen=True)
class Fitted:
    """A page within a budget, and how it came to its cell.

    `needed` holds, by cell from the largest to the one chosen, the visual tokens of everything in it. What
    was dropped stands in `page.report`.
    """

    page: Page
    needed: dict[str, int]


def fit(
    renderer: ContextRenderer,
    segments: Sequence[Segment],
    style: PageStyle,
    max_visual_tokens: int,
    smallest: str = SMALLEST,
) -> Fitted:
    """The page of these segments with at most so many visual tokens.

    Raises:
        ConfigError: the smallest cell is unknown, or larger than the style's.
        RenderError: skills and notes alone do not fit in the smallest cell.
    """
    cell_size(smallest)
    rungs = CELLS[CELLS.index(style.cell) : CELLS.index(smallest) + 1]
    if not rungs:
        raise ConfigError(f"the smallest cell, {smallest}, is larger than the style's, {style.cell}")
    needed: dict[str, int] = {}
    for cell in rungs:
        page = renderer.page(segments, replace(style, cell=cell, max_visual_tokens=None))
        needed[cell] = page.visual_tokens
        if page.visual_tokens <= max_visual_tokens and not page.report.rows_dropped:
            return Fitted(page, needed)
    bounded = replace(style, cell=smallest, max_visual_tokens=max_visual_tokens)
    return Fitted(renderer.page(segments, bounded), needed)
