"""Passages found for queries: one protocol, several engines."""

from skill0.retrieval.base import Hit, Passage, Retriever

__all__ = ["Hit", "Passage", "Retriever"]
