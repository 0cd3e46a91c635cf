"""A retriever that remembers: equal queries of one batch are sent once, recent ones not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import Hit, Retriever


class CachedRetriever:
    """Wraps any retriever; the episodes of a process share one.

    Args:
        retriever: What is asked. It must answer a query the same whenever it is asked.
        capacity: How many answers are kept; the one not asked for longest goes first. 0 keeps none.

    Attributes:
        hits, misses: Queries answered from memory (or by an equal query of the same batch), and queries sent.

    Raises:
        ConfigError: a negative capacity.
    """

    def __init__(self, retriever: Retriever, capacity: int = 10_000) -> None:
        if capacity < 0:
            raise ConfigError(f"capacity must be 0 or more answers; got {capacity}")
        self.retriever = retriever
        self.capacity = capacity
        self.hits = self.misses = 0
        self._kept: OrderedDict[tuple[str, int], tuple[Hit, ...]] = OrderedDict()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As `Retriever.search`. A batch that fails changes nothing that is kept.

        Raises:
            RetrievalError: the retriever raised it, or gave another number of answers than it was asked for.
        """
        missing = list(dict.fromkeys(query for query in queries if (query, k) not in self._kept))
        answers = {query: self._kept[query, k] for query in queries if (query, k) in self._kept}
        if missing:
            found = self.retriever.search(missing, k)
            if len(found) != len(missing):
                raise RetrievalError(
                    f"{type(self.retriever).__name__}.search gave {len(found)} answers "
                    f"for {len(missing)} queries"
                )
            answers.update((query, tuple(hits)) for query, hits in zip(missing, found, strict=True))
        self.misses += len(missing)
        self.hits += len(queries) - len(missing)
        for query in queries:
            self._kept[query, k] = answers[query]
            self._kept.move_to_end((query, k))
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return [list(answers[query]) for query in queries]
