"""`skill0 data index` and `skill0 data search`: a corpus made searchable, and looked into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from skill0.retrieval import Passage


def index(
    corpus: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz or .parquet file of passages.")],
    output: Annotated[Path, typer.Option(help="Where to write the index; an index there is replaced.")],
    engine: Annotated[
        str, typer.Option(help="bm25, or tantivy (extra `tantivy`): many passages in little memory.")
    ] = "bm25",
    k1: Annotated[
        float | None, typer.Option(help="Of bm25: how slowly repetition saturates; 0.9 when not given.")
    ] = None,
    b: Annotated[
        float | None, typer.Option(help="Of bm25: how much length counts, 0 to 1; 0.4 when not given.")
    ] = None,
) -> None:
    """Build an index of a corpus: rows of id and contents, or of id, title and text."""
    from rich.console import Console

    from skill0.retrieval import read_corpus
    from skill0.retrieval.opening import build_index, open_index

    build_index(_with_progress(read_corpus(corpus), Console(stderr=True)), output, engine, k1, b)
    print(f"indexed {len(open_index(output))} passages: {output}")


def search(
    folder: Annotated[Path, typer.Argument(help="An index that `skill0 data index` wrote.")],
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many passages.")] = 3,
) -> None:
    """Print the best passages for a query."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from skill0.retrieval.opening import open_index

    hits = open_index(folder).search([query], k)[0]
    if not hits:
        print("no passage has a word of the query")
        return
    table = Table("score", "id", "title", "text", show_lines=True)
    for hit in hits:
        cells = f"{hit.score:.3f}", hit.passage.id, hit.passage.title, hit.passage.text.strip()
        table.add_row(*map(Text, cells))  # as they are: brackets in a passage are no markup
    Console().print(table)


def _with_progress(passages: Iterable[Passage], console: Console) -> Iterator[Passage]:
    """The bar is on standard error, so that standard output can be read by a program."""
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("indexing"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        yield from bar.track(passages, total=None)
