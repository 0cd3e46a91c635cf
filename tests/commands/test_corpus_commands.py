"""`skill0 data index` and `skill0 data search`, as they are typed."""

from __future__ import annotations

import json

import pytest

from skill0.cli import main


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


def test_a_bad_corpus_is_an_error_with_its_row(corpus, tmp_path, monkeypatch, capsys):
    corpus.write_text(corpus.read_text() + '{"id": "1", "contents": "again"}\n')
    assert run(monkeypatch, "index", corpus, "--output", tmp_path / "index") not in (0, None)
    assert "row 3" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "index").exists()
