"""A retriever that remembers: equal queries of one batch are sent once, recent ones not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import Hit, Retriever
from skill0.retrieval.base import search_each

_Ask = Callable[[list[str], int], Sequence[list[Hit] | RetrievalError]]


class CachedRetriever:
    """Wraps any retriever; the episodes of a process share one.

    Args:
        retriever: What is asked. It must answer a query the same whenever it is asked.
        capacity: How many answers are kept; the one not asked for longest goes first. 0 keeps none.

    Attributes:
        hits, misses, failed: Queries answered from memory (or by an equal query of the same batch), answered
            by the retriever, and not answered by it in `search_each`.

    Raises:
        ConfigError: a negative capacity.
    """

    def __init__(self, retriever: Retriever, capacity: int = 10_000) -> None:
        if capacity < 0:
            raise ConfigError(f"capacity must be 0 or more answers; got {capacity}")
        self.retriever = retriever
        self.capacity = capacity
        self.hits = self.misses = self.failed = 0
        self._kept: OrderedDict[tuple[str, int], tuple[Hit, ...]] = OrderedDict()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As `Retriever.search`. A batch that fails changes nothing that is kept.

        Raises:
            RetrievalError: the retriever raised it, or gave another number of answers than it was asked for.
        """
        answers: list[list[Hit]] = []
        for answer in self._search(queries, k, self.retriever.search):
            assert not isinstance(answer, RetrievalError)  # what fails is raised
            answers.append(answer)
        return answers

    def search_each(self, queries: Sequence[str], k: int) -> list[list[Hit] | RetrievalError]:
        """The same for each query, or why it could not be answered, which is not kept.

        Raises:
            RetrievalError: the retriever gave another number of answers than it was asked for.
        """
        return self._search(queries, k, lambda missing, k: search_each(self.retriever, missing, k))

    def _search(self, queries: Sequence[str], k: int, ask: _Ask) -> list[list[Hit] | RetrievalError]:
        """The answers, of which `ask` gives those that are not kept."""
        missing = list(dict.fromkeys(query for query in queries if (query, k) not in self._kept))
        given = ask(missing, k) if missing else []
        if len(given) != len(missing):
            raise RetrievalError(
                f"{type(self.retriever).__name__}.search gave {len(given)} answers for {len(missing)} queries"
            )
        found = dict(zip(missing, given, strict=True))
        failed = sum(isinstance(answer, RetrievalError) for answer in found.values())
        self.failed += failed
        self.misses += len(missing) - failed
        self.hits += len(queries) - len(missing)
        answers: list[list[Hit] | RetrievalError] = []
        for query in queries:
            answer = found[query] if query in found else self._kept[query, k]
            if not isinstance(answer, RetrievalError):
                self._kept[query, k] = tuple(answer)
                self._kept.move_to_end((query, k))
                answer = list(answer)
            answers.append(answer)
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return answers
