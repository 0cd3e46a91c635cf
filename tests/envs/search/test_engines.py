"""Where a retriever comes from: files, folders of either engine, servers, and what is told about each."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest
from search_world import PASSAGES

sys.path.insert(0, str(Path(__file__).parents[2] / "retrieval"))

from servers import OVERLAP, running_server

from skill0.envs import EnvPool
from skill0.envs.search import SearchEnvFactory
from skill0.envs.search.engines import IndexFolder, SearchServers, adjusted, index_corpus, open_corpus
from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import BM25Index, read_corpus
from skill0.retrieval.http_settings import HttpSettings
from skill0.retrieval.opening import build_index


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SKILL0_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(vars(one)) + "\n" for one in PASSAGES), encoding="utf-8")
    return path


def test_a_file_is_indexed_once_and_a_folder_is_opened_as_it_is(corpus):
    source = open_corpus(str(corpus))
    assert isinstance(source, IndexFolder)
    assert source().search(["Santiago"], 1)[0][0].passage == PASSAGES[2]
    header = Path(source.folder, "index.json")
    written = header.stat().st_mtime_ns
    assert open_corpus(str(corpus)) == open_corpus(source.folder) == source
    assert header.stat().st_mtime_ns == written
    header.write_text("{}", encoding="utf-8")
    assert open_corpus(str(corpus))().search(["Santiago"], 1), "what is damaged is built again"


def test_a_folder_of_tantivy_is_opened_by_it(corpus, tmp_path):
    pytest.importorskip("tantivy")
    build_index(read_corpus(corpus), tmp_path / "index", "tantivy")
    assert open_corpus(str(tmp_path / "index"))().search(["Santiago"], 1)[0][0].passage == PASSAGES[2]


def test_where_no_index_can_be_built_it_is_said_why(corpus, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder is wanted", encoding="utf-8")
    with pytest.raises(RetrievalError, match=r"could not be built .*may you write there"):
        index_corpus(corpus)
    with pytest.raises(RetrievalError, match="no such corpus"):
        index_corpus(tmp_path / "nothing.jsonl")


def test_compiled_search_finds_the_same(corpus):
    pytest.importorskip("numba")
    source = adjusted(open_corpus(str(corpus)), HttpSettings(), compiled=True)
    assert source == IndexFolder(open_corpus(str(corpus)).folder, compiled=True)
    queries = ["capital of Peru", "Lima"]
    assert source().search(queries, 3) == BM25Index.of(PASSAGES).search(queries, 3)


def test_a_url_is_asked_over_http():
    with running_server() as url:
        source = adjusted(open_corpus(f"{url}, {url}/retrieve"), HttpSettings(form="skillzero"), False)
        assert source == SearchServers((url, f"{url}/retrieve"), HttpSettings(form="skillzero"))
        with pickle.loads(pickle.dumps(source))() as retriever:
            assert retriever.search(["capital of France"], 2) == OVERLAP.search(["capital of France"], 2)
    with pytest.raises(ConfigError, match="form must be one of"):
        HttpSettings(form="r1")  # type: ignore[arg-type]


def test_a_pool_gives_a_step_the_time_that_its_servers_may_take():
    """By default 120 s of patience, then one last attempt: 5 s to connect, 4 times 30 s to wait and read."""
    patient = SearchEnvFactory(SearchServers(("http://one",)))
    assert patient.longest_call_s == 245.0
    with EnvPool(patient, workers=1) as pool:
        assert pool.timeout_s == 255.0
    with pytest.raises(ConfigError, match="one may take 245 s"):
        EnvPool(patient, workers=1, timeout_s=60)
    quick = adjusted(patient.source, HttpSettings(patience_s=20, read_timeout_s=5), compiled=False)
    with EnvPool(SearchEnvFactory(quick), workers=1, timeout_s=60) as pool:
        assert pool.timeout_s == 60.0
    assert SearchEnvFactory(IndexFolder("index")).longest_call_s == 0.0


def test_settings_of_the_other_kind_of_retriever_are_refused():
    with pytest.raises(ConfigError, match="skill0 serve-retriever --compiled"):
        adjusted(SearchServers(("http://one",)), HttpSettings(), compiled=True)
    with pytest.raises(ConfigError, match="passages are in an index"):
        adjusted(IndexFolder("index"), HttpSettings(attempts=3), compiled=False)
