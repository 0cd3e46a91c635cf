"""`skill0 data index` and `skill0 data search`, as they are typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from skill0.cli import main
from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import read_corpus
from skill0.retrieval.dense import build_dense
from skill0.retrieval.opening import build_index, open_index


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["skill0", "data", *map(str, arguments)])
    try:
        return main()
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def corpus(tmp_path):
    rows = [{"id": "1", "contents": '"Oslo"\nThe capital of [Norway].'}, {"id": "2", "contents": "Bergen"}]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_index_and_search(corpus, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "index", corpus, "--output", tmp_path / "index") in (0, None)
    assert "indexed 2 passages" in capsys.readouterr().out
    assert run(monkeypatch, "search", tmp_path / "index", "capitals") in (0, None)
    shown = capsys.readouterr().out
    assert "Oslo" in shown
    assert "[Norway]" in shown
    assert "Bergen" not in shown
    run(monkeypatch, "search", tmp_path / "index", "whale")
    assert "no passage has a word of the query" in capsys.readouterr().out


def test_an_index_of_tantivy_is_known_again(corpus, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tantivy")
    made = run(monkeypatch, "index", corpus, "--output", tmp_path / "index", "--engine", "tantivy")
    assert made in (0, None)
    assert "indexed 2 passages" in capsys.readouterr().out
    assert run(monkeypatch, "search", tmp_path / "index", "capitals") in (0, None)
    assert "Oslo" in capsys.readouterr().out


def test_an_engine_that_is_not_there_and_settings_that_are_not_its_own(corpus, tmp_path, monkeypatch, capsys):
    def refused(*options):
        assert run(monkeypatch, "index", corpus, "--output", tmp_path / "index", *options) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "there is no engine 'lucene'; choose one of bm25, tantivy" in refused("--engine", "lucene")
    assert "k1: tantivy has values of its own" in refused("--engine", "tantivy", "--k1", 1.2)
    assert "b is 2" in refused("--b", 2)


def test_an_index_that_wants_an_encoder_says_how_it_is_opened(corpus, tmp_path):
    pytest.importorskip("faiss")
    build_dense(read_corpus(corpus), tmp_path / "index", lambda texts: np.ones((len(texts), 2), np.float32))
    with pytest.raises(RetrievalError, match=r"wants the encoder.*DenseIndex"):
        open_index(tmp_path / "index")


def test_what_there_is_to_compile(corpus, tmp_path):
    pytest.importorskip("numba")
    build_index(read_corpus(corpus), tmp_path / "bm25")
    plain, compiled = (open_index(tmp_path / "bm25", compiled) for compiled in (False, True))
    assert compiled.search(["capital"], 2) == plain.search(["capital"], 2) != [[]]
    pytest.importorskip("tantivy")
    build_index(read_corpus(corpus), tmp_path / "tantivy", "tantivy")
    with pytest.raises(ConfigError, match="nothing to compile"):
        open_index(tmp_path / "tantivy", compiled=True)


def test_a_bad_corpus_is_an_error_with_its_row(corpus, tmp_path, monkeypatch, capsys):
    corpus.write_text(corpus.read_text() + '{"id": "1", "contents": "again"}\n')
    assert run(monkeypatch, "index", corpus, "--output", tmp_path / "index") not in (0, None)
    assert "row 3" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "index").exists()
