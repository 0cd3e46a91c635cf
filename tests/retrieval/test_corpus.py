"""Corpora in each form, and rows that are not passages."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from damaged_files import damaged_gzips
from hypothesis import given

from skill0.errors import RetrievalError
from skill0.retrieval import Passage, read_corpus
from skill0.retrieval import corpus as corpus_module

ROWS = [{"id": "1", "contents": '"A"\nof a'}, {"id": 2, "title": "B", "text": "of b", "url": "x"}]
PASSAGES = [Passage("1", '"A"\nof a'), Passage("2", '"B"\nof b')]


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_forms(tmp_path):
    lines = [json.dumps(row) for row in ROWS]
    assert list(read_corpus(write(tmp_path / "c.jsonl", lines))) == PASSAGES
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    assert list(read_corpus(str(tmp_path / "c.jsonl.gz"))) == PASSAGES
    table = pyarrow.table({"id": [1, 2], "title": ["A", "B"], "text": ["of a", "of b"], "other": [0, 0]})
    pyarrow.parquet.write_table(table, tmp_path / "c.parquet", row_group_size=1)
    assert list(read_corpus(tmp_path / "c.parquet")) == PASSAGES
    assert PASSAGES[1].title == "B"
    assert PASSAGES[1].text == "of b"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "row 2: no JSON"),
        ("", "row 2: no JSON"),
        ("[1]", "row 2: list instead of an object"),
        ('{"contents": "x"}', "row 2: no field 'id' among"),
        ('{"id": true, "contents": "x"}', "row 2: 'id' is 'True', a bool"),
        ('{"id": "", "contents": "x"}', "row 2: 'id' is ''"),
        ('{"id": "b", "text": "x"}', r"row 2, id 'b': no field 'title' among \['id', 'text'\]"),
        ('{"id": "b", "contents": null}', "row 2, id 'b': 'contents' is 'None', a NoneType"),
        ('{"id": "b", "contents": " \\n"}', "row 2, id 'b': the contents are empty"),
        ('{"id": "b", "contents": "\\ud800"}', "row 2: no valid Unicode"),
        ('{"id": "1", "contents": "x"}', "row 2: the id '1' is that of row 1 too"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, message):
    path = write(tmp_path / "c.jsonl", [json.dumps(ROWS[0]), line])
    with pytest.raises(RetrievalError, match=f"c.jsonl, {message}"):
        list(read_corpus(path))


def test_ids_of_equal_hash_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "hash", lambda _: 0, raising=False)
    path = write(tmp_path / "c.jsonl", [json.dumps(row) for row in ROWS])
    assert list(read_corpus(path)) == PASSAGES


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RetrievalError, match=r"no corpus at .*none\.jsonl"):
        list(read_corpus(tmp_path / "none.jsonl"))
    with pytest.raises(RetrievalError, match=r"c\.txt: a corpus is"):
        list(read_corpus(write(tmp_path / "c.txt", ["x"])))
    with pytest.raises(RetrievalError, match=r"c\.jsonl\.gz: cannot be read after row 0"):
        list(read_corpus(write(tmp_path / "c.jsonl.gz", ["x"])))
    with pytest.raises(RetrievalError, match=r"c\.parquet: cannot be read"):
        list(read_corpus(write(tmp_path / "c.parquet", ["x"])))
    whole = gzip.compress(json.dumps(ROWS[0]).encode() + b"\n" + json.dumps(ROWS[1]).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-10])
    with pytest.raises(RetrievalError, match=r"cut\.jsonl\.gz: cannot be read after row"):
        list(read_corpus(tmp_path / "cut.jsonl.gz"))
    with pytest.raises(RetrievalError, match=r"empty\.jsonl: the corpus has no passage"):
        list(read_corpus(write(tmp_path / "empty.jsonl", [])))


@given(
    damaged_gzips(
        "".join(json.dumps({"id": number, "contents": f"of {number}"}) + "\n" for number in range(40))
    )
)
def test_a_damaged_gzip_is_an_error_of_its_file(damaged):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.jsonl.gz"
        path.write_bytes(damaged)
        with pytest.raises(RetrievalError, match=r"c\.jsonl\.gz"):
            list(read_corpus(path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("docid", "contents"), r"no field 'id' among \['contents', 'docid'\]"),
        (("id", "title", "body"), r"no field 'text' among \['body', 'id', 'title'\]"),
        (("docid", "body"), r"no field 'id' among \['body', 'docid'\]"),
    ],
)
def test_other_fields_of_a_parquet_file_are_named(tmp_path, fields, message):
    pyarrow.parquet.write_table(pyarrow.table({name: ["x"] for name in fields}), tmp_path / "c.parquet")
    with pytest.raises(RetrievalError, match=f"c.parquet: {message}; a row is"):
        list(read_corpus(tmp_path / "c.parquet"))
