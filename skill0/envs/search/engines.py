"""Where a search environment's retriever comes from: values that name one, so that worker processes can
open it.

An index is built once, in the process that asks for it first, and mapped into memory by all others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from skill0.envs.search.facts.world import FactsWorld
from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import BM25Index, Passage, Retriever, build_bm25, read_corpus
from skill0.retrieval.http_settings import HttpSettings
from skill0.retrieval.opening import open_index
from skill0.retrieval.storage import PlaceTakenError


@dataclass(frozen=True)
class IndexFolder:
    """An index in a folder, as `skill0 data index` writes it, of BM25 or tantivy. `compiled` is for BM25
    (extra `numba`): the same passages in less time."""

    folder: str
    compiled: bool = False

    def __call__(self) -> Retriever:
        return open_index(self.folder, self.compiled)


@dataclass(frozen=True)
class SearchServers:
    """Search servers, asked over HTTP. Needs the extra `search`."""

    urls: tuple[str, ...]
    settings: HttpSettings = field(default_factory=HttpSettings)

    def __call__(self) -> Retriever:
        from skill0.retrieval.http_client import HttpRetriever

        return HttpRetriever(self.urls, self.settings)

    @property
    def longest_call_s(self) -> float:
        """Seconds of the longest step: one call of the client, retries included."""
        return self.settings.longest_call_s


Source = IndexFolder | SearchServers


def is_server(corpus: str) -> bool:
    """Whether a corpus is the URL of a search server, or several with commas between them."""
    return corpus.startswith(("http://", "https://"))


def open_corpus(corpus: str) -> Source:
    """Where the passages of a corpus are found: the URL of a search server (or several with commas between
    them), a folder with an index, or a file, which is indexed. `adjusted` says how they are asked.

    Raises:
        RetrievalError: there is no such file, or a row of it is bad.
    """
    if is_server(corpus):
        urls = tuple(url.strip() for url in corpus.split(","))
        return SearchServers(urls)
    path = Path(corpus)
    return IndexFolder(str(path)) if path.is_dir() else index_corpus(path)


def adjusted(source: Source, server: HttpSettings, compiled: bool) -> Source:
    """The same source: servers asked by these settings, an index searched by compiled code or not.

    Raises:
        ConfigError: a setting is for the other kind of source.
    """
    if isinstance(source, SearchServers):
        if compiled:
            raise ConfigError(
                "compiled: passages are asked of a server, which compiles for itself: skill0 "
                "serve-retriever --compiled"
            )
        return replace(source, settings=server)
    if server != HttpSettings():
        raise ConfigError(
            f"settings of search servers are given, but the passages are in an index ({source.folder}): "
            "leave them out, or give the URL of a server as the corpus"
        )
    return replace(source, compiled=compiled)


def default_index_dir() -> Path:
    """`$SKILL0_CACHE/search`, else `skill0/search` in the user's cache."""
    own = os.environ.get("SKILL0_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skill0"
    return base / "search"


def index_facts(world: FactsWorld, folder: Path | None = None) -> IndexFolder:
    """The index of a world's passages; built where `folder` has none yet."""
    return _built(world.passages, world.digest, folder or default_index_dir())


def index_corpus(path: Path, folder: Path | None = None) -> IndexFolder:
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


def _built(passages: Iterable[Passage], digest: str, folder: Path) -> IndexFolder:
    place = folder / digest[:16]
    try:
        BM25Index(place)
    except RetrievalError:  # none yet, of another version, or damaged
        try:
            build_bm25(passages, place)
        except PlaceTakenError:  # another process was faster; what it left must be whole
            BM25Index(place)
    return IndexFolder(str(place))
