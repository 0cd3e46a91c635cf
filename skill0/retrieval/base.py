"""What a retriever is, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from skill0.errors import RetrievalError


@dataclass(frozen=True)
class Passage:
    """One document. `contents` is its whole text as it is indexed and shown; by the convention of wiki-18 and
    Search-R1 its first line is the title, in double quotes."""

    id: str
    contents: str

    @property
    def title(self) -> str:
        """The first line without its quotes; empty where there is only one line."""
        first, line_break, _ = self.contents.partition("\n")
        return first.strip().strip('"') if line_break else ""

    @property
    def text(self) -> str:
        """What follows the title."""
        first, line_break, rest = self.contents.partition("\n")
        return rest if line_break else first


@dataclass(frozen=True)
class Hit:
    """A passage that was found, and its score: larger is better, comparable within one query only."""

    passage: Passage
    score: float


class Retriever(Protocol):
    """Finds passages, for many queries at once."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best `k` passages of each query, best first; fewer where fewer match.

        Raises:
            RetrievalError: the answer could not be had. A query that nothing matches has no hits instead.
        """
        ...


@runtime_checkable
class EachRetriever(Retriever, Protocol):
    """A retriever that keeps apart by itself what can be answered and what cannot, such as one whose server
    is asked again and again: its patience then covers both."""

    def search_each(self, queries: Sequence[str], k: int) -> list[list[Hit] | RetrievalError]:
        """For each query its best `k` passages, or why they could not be had."""
        ...


def search_each(retriever: Retriever, queries: Sequence[str], k: int) -> list[list[Hit] | RetrievalError]:
    """The same of any retriever: where all queries together fail, each is searched for alone."""
    if isinstance(retriever, EachRetriever):
        return retriever.search_each(queries, k)
    try:
        return list(retriever.search(queries, k))
    except RetrievalError as error:
        if len(queries) == 1:
            return [error]
    return [answer for query in queries for answer in search_each(retriever, [query], k)]
