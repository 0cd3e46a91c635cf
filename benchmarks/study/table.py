"""A table of text, printed to the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rich.table


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and rows of text. `note` says what the figures are."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def rich(self) -> rich.table.Table:
        table = rich.table.Table(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"**{self.title}.** {self.note}\n\n{body}\n".replace(".** \n", ".**\n")


def span(numbers: Sequence[int]) -> str:
    """The lowest and the highest of some numbers, or the one that all of them are."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
