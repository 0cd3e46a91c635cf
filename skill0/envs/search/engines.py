"""Where a search environment's retriever comes from: values that name one, so that worker processes can
open it.

An index is built once, in the process that asks for it first, and mapped into memory by all others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skill0.envs.search.facts.world import FactsWorld
from skill0.errors import RetrievalError
from skill0.retrieval import BM25Index, Passage, Retriever, build_bm25, read_corpus
from skill0.retrieval.storage import PlaceTakenError


@dataclass(frozen=True)
class BM25Folder:
    """An index in a folder, as `skill0.retrieval.build_bm25` writes it."""

    folder: str

    def __call__(self) -> Retriever:
        return BM25Index(self.folder)


@dataclass(frozen=True)
class SearchServers:
    """Search servers, asked over HTTP in a wire form of `skill0.retrieval.HttpSettings`. Needs the extra
    `search`."""

    urls: tuple[str, ...]
    form: str = "search_r1"

    def __call__(self) -> Retriever:
        from skill0.retrieval.http_client import HttpRetriever, HttpSettings

        return HttpRetriever(self.urls, HttpSettings(form=self.form))  # type: ignore[arg-type]  (it checks)


def is_server(corpus: str) -> bool:
    """Whether a corpus is the URL of a search server, or several with commas between them."""
    return corpus.startswith(("http://", "https://"))


def open_corpus(corpus: str, form: str = "search_r1") -> BM25Folder | SearchServers:
    """Where the passages of a corpus are found: the URL of a search server (or several with commas between
    them), a folder with an index, or a file, which is indexed.

    Raises:
        RetrievalError: there is no such file, or a row of it is bad.
    """
    if is_server(corpus):
        return SearchServers(tuple(url.strip() for url in corpus.split(",")), form)
    path = Path(corpus)
    return BM25Folder(str(path)) if path.is_dir() else index_corpus(path)


def default_index_dir() -> Path:
    """`$SKILL0_CACHE/search`, else `skill0/search` in the user's cache."""
    own = os.environ.get("SKILL0_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skill0"
    return base / "search"


def index_facts(world: FactsWorld, folder: Path | None = None) -> BM25Folder:
    """The index of a world's passages; built where `folder` has none yet."""
    return _built(world.passages, world.digest, folder or default_index_dir())


def index_corpus(path: Path, folder: Path | None = None) -> BM25Folder:
    """The index of a corpus file; built where `folder` has none of a file with this content yet.

    Raises:
        RetrievalError: there is no such file, or a row of it is bad.
    """
    if not path.is_file():
        raise RetrievalError(f"{path}: there is no such corpus")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return _built(read_corpus(path), digest.hexdigest(), folder or default_index_dir())


def _built(passages: Iterable[Passage], digest: str, folder: Path) -> BM25Folder:
    place = folder / digest[:16]
    try:
        BM25Index(place)
    except RetrievalError:  # none yet, of another version, or damaged
        try:
            build_bm25(passages, place)
        except PlaceTakenError:  # another process was faster; what it left must be whole
            BM25Index(place)
    return BM25Folder(str(place))
