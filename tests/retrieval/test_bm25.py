"""Scores by hand, the whole order against plain scoring, and files that are not as they were written."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import BM25Index, Passage, build_bm25, read_corpus
from skill0.retrieval.analysis import analyze
from skill0.retrieval.lucene_lengths import LENGTHS, encode_lengths
from skill0.retrieval.storage import seal

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import webshop_products

SEA = [Passage("b", "red fish"), Passage("a", "fish red"), Passage("c", "blue fish fish swims")]


def ids(hits):
    return [hit.passage.id for hit in hits]


def test_scores_by_hand():
    # N = 3, mean length (2 + 2 + 4) / 3 = 8/3; "fish" is in 3 passages, "blue" in 1, "whale" in none
    index = BM25Index.of(SEA, k1=0.9, b=0.4)
    fish, blue = math.log(1 + 0.5 / 3.5), math.log(1 + 2.5 / 1.5)
    long_norm, short_norm = 0.9 * (0.6 + 0.4 * 4 / (8 / 3)), 0.9 * (0.6 + 0.4 * 2 / (8 / 3))
    found = index.search(["blue whale fish"], 5)[0]
    assert ids(found) == ["c", "a", "b"]  # a and b have equal scores: by id, not in the corpus's order
    assert found[0].score == pytest.approx(fish * 2 / (2 + long_norm) + blue * 1 / (1 + long_norm), rel=1e-6)
    assert found[1].score == found[2].score == pytest.approx(fish / (1 + short_norm), rel=1e-6)
    # a word said three times counts three times; passages come as they were stored
    thrice = index.search(["blue blue Blue"], 1)[0][0]
    assert thrice.score == pytest.approx(3 * blue / (1 + long_norm), rel=1e-6)
    assert thrice.passage == SEA[2]


def test_queries_without_an_answer():
    index = BM25Index.of(SEA)
    assert index.search(["the", "", "whale", "\ud800"], 3) == [[], [], [], []]
    assert index.search([], 3) == []
    with pytest.raises(ConfigError, match="k is 0"):
        index.search(["fish"], 0)


def test_lengths_are_kept_as_lucene_keeps_them():
    # exact up to 40, then in steps of 2, from 56 in steps of 4, from 88 of 8
    assert LENGTHS[encode_lengths(np.array([0, 1, 39, 40, 41, 42, 57, 100]))].tolist() == [
        *(0, 1, 39, 40, 40, 42, 56, 96)
    ]


def plain_order(passages, query, k, k1, b):
    """Every passage scored, one float32 operation after the other, sorted by score and id."""
    f = np.float32
    texts = [Counter(analyze(passage.contents)) for passage in passages]
    sizes = [sum(words.values()) for words in texts]
    kept = LENGTHS[encode_lengths(np.array(sizes))]
    mean = f(sum(sizes) / len(sizes))
    found = []
    for passage, words, length in zip(passages, texts, kept, strict=True):
        total, met = 0.0, False
        for word, mentions in Counter(analyze(query)).items():
            n = sum(word in other for other in texts)
            if word in words:
                met = True
                weight = f(mentions) * f(math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)))
                inverse = f(1) / (f(k1) * ((f(1) - f(b)) + f(b) * f(length) / mean))
                total += float(weight - weight / (f(1) + f(words[word]) * inverse))
        if met:
            found.append((-f(total), passage.id.encode(), passage.id))
    return [(name, -score) for score, _, name in sorted(found)[:k]]


WORDS = st.sampled_from(["red", "red", "red", "blue", "blue", "fish", "swims", "the", "deep", "é", "日"])
TEXTS = st.lists(st.lists(WORDS, min_size=0, max_size=60).map(" ".join), min_size=1, max_size=25)


@settings(max_examples=40)
@given(
    TEXTS,
    st.lists(WORDS, max_size=8).map(" ".join),
    st.integers(1, 8),
    st.sampled_from([(0.9, 0.4), (1.2, 0.75), (0.5, 1.0), (3.0, 0.0)]),
)
def test_the_order_is_that_of_plain_scoring(texts, query, k, parameters):
    passages = [Passage(str(number * 7 % 100), text or "the") for number, text in enumerate(texts)]
    if not any(analyze(text) for text in texts):
        return
    found = BM25Index.of(passages, *parameters).search([query], k)[0]
    assert [(hit.passage.id, hit.score) for hit in found] == plain_order(passages, query, k, *parameters)


def zipf_world():
    draw = np.random.default_rng(0)
    words = [f"w{rank}" for rank in range(3000)]
    weights = 1 / np.arange(1, 3001)
    weights /= weights.sum()
    texts = draw.choice(words, (6000, 40), p=weights)
    passages = [Passage(str(number), " ".join(text)) for number, text in enumerate(texts)]
    queries = [" ".join(draw.choice(words, draw.integers(1, 9), p=weights)) for _ in range(60)]
    return passages, queries + [f"w2000 w{rank} w0 w1 w1 w1 w2" for rank in range(5)]


@pytest.fixture(scope="module")
def world():
    return zipf_world()


def test_leaving_passages_out_changes_nothing(world):
    """With all passages wanted nothing can be left out; the first ten must be the same with ten wanted."""
    passages, queries = world
    index = BM25Index.of(passages)
    whole = index.search_numbers(queries, len(passages))
    for k in (1, 10):
        for (numbers, scores), (all_numbers, all_scores) in zip(
            index.search_numbers(queries, k), whole, strict=True
        ):
            assert numbers.tolist() == all_numbers[:k].tolist()
            assert scores.tolist() == all_scores[:k].tolist()


def test_compiled_code_finds_the_same(world):
    pytest.importorskip("numba")
    passages, queries = world
    many = " ".join(f"w{rank}" for rank in range(300))  # more terms than a byte can tell apart
    queries = [*queries, many, "w7 w7000 is unheard-of w70", "unheard-of", ""]
    plain, compiled = BM25Index.of(passages), BM25Index.of(passages, compiled=True)
    for k in (1, 10, 7000):
        pairs = zip(plain.search_numbers(queries, k), compiled.search_numbers(queries, k), strict=True)
        for (numbers, scores), (same_numbers, same_scores) in pairs:
            assert numbers.tolist() == same_numbers.tolist()
            assert scores.tolist() == same_scores.tolist()


HASHES = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(2**64 - 50, 2**64 - 1))


@given(st.sets(HASHES, min_size=1), st.lists(HASHES))
def test_compiled_search_of_hashes_is_that_of_numpy(known, others):
    compiled = pytest.importorskip("skill0.retrieval.bm25_compiled")
    hashes, wanted = np.array(sorted(known), np.uint64), np.array([*known, *others], np.uint64)
    found = [compiled._search_hash(hashes, one) for one in wanted]
    assert found == np.searchsorted(hashes, wanted).tolist()


def test_an_index_of_several_chunks_is_the_same(world, tmp_path, monkeypatch):
    passages = world[0][:300]
    build_bm25(iter(passages), tmp_path / "whole")
    monkeypatch.setattr("skill0.retrieval.bm25_build._CHUNK_TERMS", 1000)
    build_bm25(iter(passages), tmp_path / "parts")
    assert not list((tmp_path / "parts").glob("chunk*"))
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes(), path.name


def test_every_damaged_file_is_named(tmp_path):
    build_bm25(SEA, tmp_path / "index", k1=1.2, b=0.75)
    index = BM25Index(tmp_path / "index")
    assert (len(index), index.k1, index.b) == (3, 1.2, 0.75)
    for path in sorted((tmp_path / "index").iterdir()):
        whole = path.read_bytes()
        for damaged in (whole[:-2], whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:]):
            path.write_bytes(damaged)
            with pytest.raises(RetrievalError, match=path.name):
                BM25Index(tmp_path / "index")
        path.unlink()
        with pytest.raises(RetrievalError, match=path.name):
            BM25Index(tmp_path / "index")
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "skill0 dense", "of kind 'skill0 dense'"),
        ("version", 99, "format version 99"),
        ("analysis", 99, "version 99 of the analysis"),
        ("mean_length", None, "mean_length"),
    ],
)
def test_a_header_of_something_else(tmp_path, key, value, message):
    build_bm25(SEA, tmp_path / "index")
    place = tmp_path / "index" / "index.json"
    place.write_text(json.dumps(seal(json.loads(place.read_text()) | {key: value})))
    with pytest.raises(RetrievalError, match=message):
        BM25Index(tmp_path / "index")


def test_a_header_changed_by_hand(tmp_path):
    build_bm25(SEA, tmp_path / "index", k1=0.9)
    place = tmp_path / "index" / "index.json"
    place.write_text(place.read_text().replace('"k1": 0.9', '"k1": 0.8'))
    with pytest.raises(RetrievalError, match=r"index\.json is damaged"):
        BM25Index(tmp_path / "index")


def test_a_build_that_fails_leaves_the_old_index(tmp_path):
    build_bm25(SEA, tmp_path / "index")

    def broken():
        yield SEA[0]
        raise RetrievalError("row 2 is bad")

    with pytest.raises(RetrievalError, match="row 2"):
        build_bm25(broken(), tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert len(BM25Index(tmp_path / "index")) == 3
    build_bm25(SEA[:1], tmp_path / "index")  # and one that does not replaces it
    assert len(BM25Index(tmp_path / "index")) == 1


def test_what_cannot_be_indexed(tmp_path):
    for passages, message in (
        ([], "no passage"),
        ([SEA[0], SEA[1], SEA[0]], "passages 1 and 3 have the same id 'b'"),
        ([Passage("x", "\ud800")], "passage 1"),
    ):
        with pytest.raises(RetrievalError, match=message):
            build_bm25(passages, tmp_path / "index")
    with pytest.raises(ConfigError, match="k1"):
        build_bm25(SEA, tmp_path / "index", k1=-1)
    with pytest.raises(ConfigError, match="b is 2"):
        build_bm25(SEA, tmp_path / "index", b=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(RetrievalError, match="is no index"):
        build_bm25(SEA, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_stop_words_alone_cannot_be_indexed():
    with pytest.raises(RetrievalError, match="no word but stop words"):
        BM25Index.of([Passage("a", "the and")])


def test_lucene_recorded_the_same_order(shared_data):
    index = BM25Index.of(webshop_products.documents(shared_data))
    queries, recorded = webshop_products.recorded(shared_data)
    assert len(queries) == 400
    assert [ids(hits) for hits in index.search(queries, 50)] == recorded


def test_real_passages_come_back_as_they_are(shared_data):
    corpus = list(read_corpus(shared_data / "search" / "wiki18_passages_sample.jsonl.gz"))[:500]
    index = BM25Index.of(corpus)
    found = index.search([passage.contents for passage in corpus[:50]], 1)
    assert [hits[0].passage for hits in found] == corpus[:50]
