"""Passages found for queries: one protocol, several engines."""

from skill0.retrieval.base import Hit, Passage, Retriever
from skill0.retrieval.bm25 import BM25Index
from skill0.retrieval.bm25_build import build_bm25
from skill0.retrieval.corpus import read_corpus
from skill0.retrieval.fusion import FusedRetriever

__all__ = [
    "BM25Index",
    "FusedRetriever",
    "Hit",
    "Passage",
    "Retriever",
    "build_bm25",
    "read_corpus",
]
