"""Millions of passages in little memory: tantivy's index (extra `tantivy`) over the terms of our analysis.

tantivy scores by BM25 with k1 1.2 and b 0.75, which cannot be set, and keeps lengths in a byte of its own: it
finds nearly what `BM25Index` finds, in the same words, not in the same order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.analysis import ANALYSIS_VERSION, analyze
from skill0.retrieval.base import Hit, Passage
from skill0.retrieval.passages import PassageStore, PassageWriter
from skill0.retrieval.storage import fact, new_folder, open_folder

KIND = "skill0 tantivy"
VERSION = 1
_HEAP_BYTES = 128_000_000
_SPACE = re.compile(r"\s")


def build_tantivy(passages: Iterable[Passage], folder: Path | str) -> None:
    """Write a tantivy index of the passages' contents to a folder.

    Raises:
        RetrievalError: tantivy is not there, there is no passage or no word, two have the same id, or
        `folder` is no index.
    """
    tantivy = _load_tantivy()
    with new_folder(Path(folder), KIND, VERSION) as (place, facts):
        engine = tantivy.Index(_schema(tantivy), path=str(place))
        _register_words(tantivy, engine)
        writer = engine.writer(heap_size=_HEAP_BYTES, num_threads=1)  # one: the same index each time
        try:
            with PassageWriter(place) as store:
                any_word = _write_passages(tantivy, passages, store, writer)
                store.finish()
            if not any_word:
                raise RetrievalError(
                    "the passages have no word but stop words: there is nothing to search for"
                )
        except BaseException:
            writer.rollback()  # else its thread writes on while the folder is removed
            writer.wait_merging_threads()
            raise
        facts |= {"analysis": ANALYSIS_VERSION, "passages": len(store)}
        writer.commit()
        writer.wait_merging_threads()
        for lock in place.glob("*.lock"):
            lock.unlink()


def _write_passages(
    tantivy: ModuleType, passages: Iterable[Passage], store: PassageWriter, writer: Any
) -> bool:
    """Every passage to both; whether any has a word."""
    any_word = False
    for number, passage in enumerate(passages):
        store.add(passage)
        # a joining space (U+202F) may be inside a word, and would part it
        words = " ".join(_SPACE.sub("_", term) for term in analyze(passage.contents))
        any_word = any_word or bool(words)
        writer.add_document(tantivy.Document(number=number, contents=words))
    return any_word


class TantivyIndex:
    """An index opened from the folder that `build_tantivy` wrote. Equal scores within the `k` found go by id.

    Raises:
        RetrievalError: tantivy is not there, no such index, another version, or a damaged file, which is
        named.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        self._tantivy = _load_tantivy()
        header = open_folder(folder, KIND, VERSION)
        if fact(header, folder, "analysis", int) != ANALYSIS_VERSION:
            raise RetrievalError(
                f"{folder} was built with another version of the text analysis: build it again"
            )
        self._passages = PassageStore(folder)
        engine = self._tantivy.Index.open(str(folder))
        _register_words(self._tantivy, engine)
        self._schema, self._searcher = engine.schema, engine.searcher()

    def __len__(self) -> int:
        return len(self._passages)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As `Retriever.search`.

        Raises:
            ConfigError: `k` is less than 1.
        """
        if k < 1:
            raise ConfigError(f"k is {k}: ask for at least 1 passage")
        return [self._search(Counter(analyze(query)), k) for query in queries]

    def _search(self, words: Counter[str], k: int) -> list[Hit]:
        if not words:
            return []
        found = self._searcher.search(self._query(words), k, count=False).hits
        numbers = np.array([self._number(address) for _, address in found], dtype=np.int64)
        scores = np.array([score for score, _ in found], dtype=np.float32)
        return self._passages.hits(*self._passages.best(numbers, scores, k))

    def _query(self, words: Counter[str]) -> Any:
        """Any of the words; a word that is there twice counts twice."""
        query, should = self._tantivy.Query, self._tantivy.Occur.Should
        terms = ((self._term(_SPACE.sub("_", word)), float(count)) for word, count in words.items())
        return query.boolean_query([(should, query.boost_query(term, count)) for term, count in terms])

    def _term(self, word: str) -> Any:
        return self._tantivy.Query.term_query(self._schema, "contents", word, "freq")

    def _number(self, address: Any) -> int:
        return self._searcher.doc(address)["number"][0]


def _schema(tantivy: ModuleType) -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", stored=True)
    builder.add_text_field("contents", tokenizer_name="words", index_option="freq")
    return builder.build()


def _register_words(tantivy: ModuleType, engine: Any) -> None:
    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
    engine.register_tokenizer("words", words)


def _load_tantivy() -> ModuleType:
    try:
        return import_module("tantivy")
    except ImportError as error:
        raise RetrievalError(
            f"a tantivy index needs tantivy ({error}): pip install 'skill0[tantivy]'"
        ) from None
