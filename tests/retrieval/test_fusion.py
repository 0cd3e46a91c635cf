"""Reciprocal ranks by hand."""

from __future__ import annotations

import pytest

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import FusedRetriever, Hit, Passage


class Fixed:
    """Finds the same passages for every query, named by one letter each."""

    def __init__(self, found):
        self.hits = [Hit(Passage(name, f"text of {name}"), 9.0 - place) for place, name in enumerate(found)]
        self.asked = []

    def search(self, queries, k):
        self.asked.append((tuple(queries), k))
        return [self.hits[:k] for _ in queries]


def test_ranks_are_fused():
    # constant 1: a 1/2 + 1/4, b 1/3, c 1/4 + 1/2, d 1/3; equal sums by id
    first, second = Fixed("abc"), Fixed("cda")
    found = FusedRetriever([first, second], constant=1).search(["q", "r"], 3)
    for hits in found:
        assert [hit.passage.id for hit in hits] == ["a", "c", "b"]
        assert [hit.score for hit in hits] == pytest.approx([3 / 4, 3 / 4, 1 / 3])
    assert first.asked == [(("q", "r"), 10)]
    assert found[0][0].passage.contents == "text of a"


def test_the_papers_constant_and_depth():
    first = Fixed("ab")
    hits = FusedRetriever([first], depth=1).search(["q"], 5)[0]
    assert [(hit.passage.id, hit.score) for hit in hits] == [("a", 1 / 61)]
    assert FusedRetriever([first, Fixed("")]).search(["q"], 12)[0][1].score == 1 / 62
    assert first.asked[-1] == (("q",), 12)


def test_a_retriever_that_loses_answers_is_named():
    class Forgetful(Fixed):
        def search(self, queries, k):
            return super().search(queries, k)[1:]

    for retrievers in ([Fixed("a"), Forgetful("a")], [Forgetful("a"), Forgetful("b")]):
        with pytest.raises(RetrievalError, match=r"Forgetful\.search gave 1 answers for 2 queries"):
            FusedRetriever(retrievers).search(["q", "r"], 3)


def test_settings_are_checked():
    for arguments in ({"retrievers": []}, {"retrievers": [Fixed("a")], "constant": -1}):
        with pytest.raises(ConfigError):
            FusedRetriever(**arguments)
    with pytest.raises(ConfigError, match="depth"):
        FusedRetriever([Fixed("a")], depth=0)
    with pytest.raises(ConfigError, match="k is 0"):
        FusedRetriever([Fixed("a")]).search(["q"], 0)
