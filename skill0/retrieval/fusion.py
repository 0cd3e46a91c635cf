"""Several retrievers as one, by the ranks they give.

score(d) = sum over retrievers of 1 / (constant + rank of d), ranks from 1 (Cormack, Clarke and Büttcher,
Reciprocal rank fusion outperforms Condorcet, SIGIR 2009). Scores of different engines are never compared with
each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.base import Hit, Passage, Retriever


class FusedRetriever:
    """Asks every retriever and fuses what they find. Equal scores are ordered by passage id.

    Args:
        retrievers (`Sequence[Retriever]`): over the same passages: a passage is known by its id.
        constant (`float`, *optional*, defaults to `60`): the larger, the less the first places count; the
            paper's.
        depth (`int`, *optional*): how many hits to ask each retriever for; `None`: as many as are wanted, at
            least 10.

    Raises:
        ConfigError: there is no retriever, or `constant` or `depth` is out of range.
    """

    def __init__(
        self, retrievers: Sequence[Retriever], constant: float = 60, depth: int | None = None
    ) -> None:
        if not retrievers:
            raise ConfigError("no retriever to fuse: give at least one")
        if constant < 0:
            raise ConfigError(f"constant is {constant}: it must be at least 0")
        if depth is not None and depth < 1:
            raise ConfigError(f"depth is {depth}: it must be at least 1")
        self._retrievers = tuple(retrievers)
        self._constant, self._depth = constant, depth

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As `Retriever.search`; what a retriever raises is raised.

        Raises:
            ConfigError: `k` is less than 1.
            RetrievalError: a retriever gave another number of answers than it was asked for.
        """
        if k < 1:
            raise ConfigError(f"k is {k}: ask for at least 1 passage")
        depth = max(k, 10) if self._depth is None else self._depth
        answers = [retriever.search(queries, depth) for retriever in self._retrievers]
        for retriever, found in zip(self._retrievers, answers, strict=True):
            if len(found) != len(queries):
                raise RetrievalError(
                    f"{type(retriever).__name__}.search gave {len(found)} answers for {len(queries)} queries"
                )
        return [self._fuse(of_query)[:k] for of_query in zip(*answers, strict=True)]

    def _fuse(self, answers: Sequence[list[Hit]]) -> list[Hit]:
        scores: dict[str, float] = {}
        passages: dict[str, Passage] = {}
        for hits in answers:
            for rank, hit in enumerate(hits, start=1):
                name = hit.passage.id
                scores[name] = scores.get(name, 0.0) + 1 / (self._constant + rank)
                passages.setdefault(name, hit.passage)
        order = sorted(scores, key=lambda name: (-scores[name], name))
        return [Hit(passages[name], scores[name]) for name in order]
