"""The engines of extras, tantivy and faiss; skipped where they are absent, but for what is said then."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import BM25Index, Passage
from skill0.retrieval.dense import DenseIndex, build_dense
from skill0.retrieval.tantivy_index import TantivyIndex, build_tantivy

SEA = [
    Passage("b", '"Red"\nred fish'),
    Passage("a", '"Fish"\nfish red'),
    Passage("c", '"Blue"\nblue fish fish swims. "quoted": a+b'),
    Passage("d", "narrow\u202fspace"),
    Passage("0", '"Red"\nred fish'),
]


def encode(texts):
    """Each text as the counts of its words, hashed to eight places."""
    vectors = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            vectors[row, zlib.crc32(word.encode()) % 8] += 1
    return vectors


def ids(hits):
    return [hit.passage.id for hit in hits]


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("tantivy", lambda folder: build_tantivy(SEA, folder)),
        ("tantivy", lambda folder: TantivyIndex(folder)),
        ("faiss", lambda folder: build_dense(SEA, folder, encode)),
        ("faiss", lambda folder: DenseIndex(folder, encode)),
        ("skill0.retrieval.bm25_compiled", lambda folder: BM25Index(folder, compiled=True)),
    ],
)
def test_a_missing_extra_is_named(tmp_path, monkeypatch, module, use):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr("skill0.retrieval.bm25_compiled", raising=False)
    with pytest.raises(RetrievalError, match=r"pip install 'skill0\[(tantivy|faiss|numba)\]'"):
        use(tmp_path / "index")


def test_tantivy_finds_by_the_same_words(tmp_path):
    pytest.importorskip("tantivy")
    build_tantivy(iter(SEA), tmp_path / "index")
    index = TantivyIndex(tmp_path / "index")
    queries = ["Swimming BLUES", "reds", 'no "such: (word', "narrow\u202fspace", "the", ""]
    found = index.search(queries, 3)
    exact = BM25Index.of(SEA).search(queries, 3)
    assert [set(ids(hits)) for hits in found] == [set(ids(hits)) for hits in exact]
    assert ids(found[0]) == ["c"]
    assert found[0][0].passage == SEA[2]
    assert ids(index.search(["red"], 2)[0]) == ["0", "b"]  # equal: by id
    once, twice = index.search(["blue", "blue blue"], 1)
    assert twice[0].score == pytest.approx(2 * once[0].score)
    with pytest.raises(ConfigError):
        index.search(["x"], 0)


def test_tantivy_needs_a_word(tmp_path):
    pytest.importorskip("tantivy")
    for passages, message in (([], "no passage"), ([Passage("a", "the and")], "no word but stop words")):
        with pytest.raises(RetrievalError, match=message):
            build_tantivy(passages, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_tantivy_files_are_verified(tmp_path):
    pytest.importorskip("tantivy")
    build_tantivy(SEA, tmp_path / "index")
    path = next((tmp_path / "index").glob("*.idx"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RetrievalError, match=path.name):
        TantivyIndex(tmp_path / "index")


def test_dense_index_compares_every_vector(tmp_path):
    pytest.importorskip("faiss")
    build_dense(iter(SEA), tmp_path / "index", encode, batch=3)
    index = DenseIndex(tmp_path / "index", encode)
    products = encode(["red fish"]) @ encode([passage.contents for passage in SEA]).T
    hits = index.search(["red fish"], 10)[0]
    assert len(hits) == len(index) == 5
    order = sorted(range(5), key=lambda number: (-products[0, number], SEA[number].id))
    assert [(hit.passage, hit.score) for hit in hits] == [(SEA[i], products[0, i]) for i in order]
    assert index.search([], 3) == []


def test_many_vectors_are_kept_in_lists(tmp_path):
    pytest.importorskip("faiss")
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def look_up(texts):
        return vectors[[int(text) for text in texts]]

    passages = [Passage(str(number), str(number)) for number in range(3000)]
    build_dense(passages, tmp_path / "index", look_up, exact_below=1000)
    index = DenseIndex(tmp_path / "index", look_up)
    queries = [str(number) for number in range(100)]
    assert (
        sum(ids(hits) == [query] for query, hits in zip(queries, index.search(queries, 1), strict=True)) >= 98
    )


def test_what_an_encoder_may_not_give(tmp_path):
    pytest.importorskip("faiss")
    for encoder, message in (
        (lambda texts: np.zeros(8), r"shape \(8,\) for 5 texts"),
        (lambda texts: np.full((len(texts), 8), np.nan), "not finite for"),
    ):
        with pytest.raises(RetrievalError, match=message):
            build_dense(SEA, tmp_path / "index", encoder)
    with pytest.raises(ConfigError, match="batch is 0: encode at least 1"):
        build_dense(SEA, tmp_path / "index", encode, batch=0)
    build_dense(SEA, tmp_path / "index", encode)
    with pytest.raises(RetrievalError, match="4 numbers: the index has 8"):
        DenseIndex(tmp_path / "index", lambda texts: np.zeros((len(texts), 4))).search(["x"], 1)
