"""`skill0 serve-retriever` as a process, over an index folder and over a corpus."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from skill0.commands.serve_retriever import open_source, serve_source
from skill0.errors import Skill0Error
from skill0.retrieval import Passage
from skill0.retrieval.bm25 import BM25Index
from skill0.retrieval.bm25_build import build_bm25
from skill0.retrieval.http_client import HttpRetriever, HttpSettings
from skill0.retrieval.tantivy_index import build_tantivy

pytestmark = pytest.mark.integration

PASSAGES = [
    Passage("paris", '"Paris"\nParis is the capital of France.'),
    Passage("lyon", '"Lyon"\nLyon is a city in France.'),
    Passage("bern", '"Bern"\nBern is the capital of Switzerland.'),
]
QUERIES = ["capital of France", "Which cities are in Switzerland?", "nothing of that kind", "lyon"]


@pytest.fixture(scope="module")
def index_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "index"
    build_bm25(PASSAGES, folder)
    return folder


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL that the command tells, and its process."""
    command = [sys.executable, "-m", "skill0", "serve-retriever", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            told = re.search(r" at (\S+)/retrieve", process.stderr.readline())
            assert told
            yield told[1], process
        finally:
            process.kill()


@pytest.mark.parametrize("form", ["search_r1", "skillzero"])
def test_an_index_answers_over_http_as_it_does_in_process(index_folder, tmp_path, form):
    log = tmp_path / "access.jsonl"
    with serving(index_folder, "--port", 0, "--access-log", log) as (url, process):
        with HttpRetriever(url, HttpSettings(form=form)) as retriever:
            assert retriever.search(QUERIES, 2) == BM25Index(index_folder).search(QUERIES, 2)
        with urllib3.PoolManager() as pool:
            health = pool.request("GET", f"{url}/health").json()
        assert (health["engine"], health["passages"]) == ("bm25", 3)
        process.terminate()
        assert process.wait(30) == 0
    assert sum(json.loads(line)["queries"] for line in log.read_text().splitlines()) == len(QUERIES)


def test_a_corpus_is_indexed_in_memory(index_folder, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"id": one.id, "contents": one.contents}) + "\n" for one in PASSAGES)
    )
    with serving(corpus, "--port", 0) as (url, _), HttpRetriever(url) as retriever:
        assert retriever.search(QUERIES, 2) == BM25Index(index_folder).search(QUERIES, 2)


def test_a_tantivy_index_is_known_by_its_header(tmp_path):
    pytest.importorskip("tantivy")
    build_tantivy(PASSAGES, tmp_path / "index")
    served = open_source(tmp_path / "index")
    assert (served.engine, served.passages) == ("tantivy", 3)
    assert served.retriever.search(["Lyon"], 1)[0][0].passage == PASSAGES[1]


def refused(source: Path, port: int = 0, workers: int = 1, topk: int = 3) -> str:
    with pytest.raises(Skill0Error) as caught:
        serve_source(source, "127.0.0.1", port, workers, topk=topk)
    return str(caught.value)


def test_what_cannot_be_served_is_said(index_folder, tmp_path):
    assert "no index at" in refused(tmp_path / "nowhere")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "1", "contents": "a"}\n{"id": "2"}\n')
    assert "row 2" in refused(bad)
    assert "make an index first" in refused(bad, workers=2)
    assert "topk must be at least 1" in refused(index_folder, topk=0)
    assert "workers must be at least 1" in refused(index_folder, workers=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in refused(index_folder, port=taken.getsockname()[1])


def test_the_command_ends_with_a_message_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "skill0", "serve-retriever", str(tmp_path / "nowhere"), "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("skill0: RetrievalError: no index at ")
