"""Requests and answers of both wire forms, written out; and what is said of an answer that is neither."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import hit

from skill0.errors import RetrievalError
from skill0.retrieval import Hit, Passage
from skill0.retrieval.wire import answer_body, read_answer, request_body


def read(result: object, queries: tuple[str, ...] = ("who?",), k: int = 3) -> list[list[Hit]]:
    return read_answer(json.dumps({"result": result}).encode(), queries, k)


def test_the_request_of_each_form():
    many = json.loads(request_body(["who?", "where?"], 3, "search_r1"))
    assert many == {"queries": ["who?", "where?"], "topk": 3, "return_scores": True}
    assert json.loads(request_body(["who?"], 5, "skillzero")) == {
        "query": "who?",
        "topk": 5,
        "return_scores": True,
    }


def test_half_a_surrogate_pair_in_a_query_goes_as_a_question_mark():
    assert json.loads(request_body(["a\ud800b"], 3, "search_r1"))["queries"] == ["a?b"]


def test_the_answer_with_and_without_scores():
    hits = [[Hit(Passage("7", '"Title"\nText'), 2.5)], []]
    assert json.loads(answer_body(hits, True)) == {
        "result": [[{"document": {"id": "7", "contents": '"Title"\nText'}, "score": 2.5}], []]
    }
    assert json.loads(answer_body(hits, False)) == {
        "result": [[{"id": "7", "contents": '"Title"\nText'}], []]
    }


def test_documents_of_either_published_form_are_read():
    rows = [
        hit("7", 3.0, '"A"\nabout A'),
        {"document": {"title": "B", "text": "about B", "contents": "B about B"}, "score": 2.0},
        {"document": {"id": 9, "title": "C", "text": "about C"}, "score": 1},
    ]
    (found,) = read([rows])
    assert [one.passage.contents for one in found] == ['"A"\nabout A', "B about B", '"C"\nabout C']
    assert [one.score for one in found] == [3.0, 2.0, 1.0]
    assert found[0].passage.id == "7"
    assert found[2].passage.id == "9"


def test_a_document_without_id_has_the_same_made_up_one_wherever_it_is_found():
    rows = [{"contents": "about B"}, {"contents": "about A"}, {"contents": "about B"}]
    (found,) = read([rows])
    assert found[0].passage == found[2].passage
    assert found[0].passage.id != found[1].passage.id


def test_without_scores_the_score_is_one_over_the_rank():
    (found,) = read(
        [[{"id": "a", "contents": "A"}, {"id": "b", "contents": "B"}, {"id": "c", "contents": "C"}]]
    )
    assert [one.score for one in found] == [1.0, 1 / 2, 1 / 3]


def test_a_server_that_gives_more_than_was_asked_for_is_cut():
    assert len(read([[hit("a", 3.0), hit("b", 2.0), hit("c", 1.0)]], k=2)[0]) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"Internal error", "no JSON"),
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page: a proxy"),
        (b'{"detail": "sorry"}', "no list `result`: {'detail': 'sorry'}"),
        (b"[1]", "no list `result`"),
        (b'{"result": "No results"}', "no list `result`"),
        (b'{"result": []}', "1 queries were sent and 0 lists of hits came back"),
        (b'{"result": [[], []]}', "1 queries were sent and 2 lists"),
        (b'{"result": ["none"]}', "answer to query 1 ('who?') is no list of hits: none"),
        (b'{"result": [["Paris"]]}', "hit 1 is no object: Paris"),
        (b'{"result": [[{"document": null, "score": 1}]]}', "hit 1 has a document that is no object"),
        (b'{"result": [[{"document": {"id": "7"}, "score": 1}]]}', "hit 1 has no text in `contents`"),
        (b'{"result": [[{"id": "7", "contents": " "}]]}', "hit 1 has no text in `contents`"),
        (b'{"result": [[{"id": [7], "contents": "a"}]]}', "an `id` that is neither text nor a whole number"),
        (b'{"result": [[{"document": {"contents": "a"}}]]}', "hit 1 has no number for a `score`"),
        (b'{"result": [[{"document": {"contents": "a"}, "score": NaN}]]}', "`score` that is not finite"),
        (b'{"result": [[{"document": {"contents": "a"}, "score": 1e999}]]}', "`score` that is not finite"),
        (b'{"result": [[{"document": {"contents": "a"}, "score": 1%s}]]}' % (b"0" * 400), "not finite"),
        (
            b'{"result": [[{"document": {"contents": "a"}, "score": "9"}]]}',
            "hit 1 has no number for a `score`",
        ),
        (
            b'{"result": [[{"document": {"contents": "a"}, "score": true}]]}',
            "hit 1 has no number for a `score`",
        ),
        (
            b'{"result": [[{"document": {"contents": "a"}, "score": 1}, {"contents": "b"}]]}',
            "some hits have scores and some have none",
        ),
        (
            b'{"result": [[{"document": {"contents": "a"}, "score": 1}, '
            b'{"document": {"contents": "b"}, "score": 2}]]}',
            "hit 2 scores 2.0 after 1.0",
        ),
    ],
)
def test_rubbish_is_an_error_that_shows_it(body: bytes, said: str):
    with pytest.raises(RetrievalError) as caught:
        read_answer(body, ["who?"], 3)
    assert said in str(caught.value)


def test_a_long_row_is_shown_in_part():
    with pytest.raises(RetrievalError) as caught:
        read([[{"text": "x" * 10_000}]])
    assert len(str(caught.value)) < 500


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(body: bytes):
    try:
        read_answer(body, ["who?"], 3)
    except RetrievalError:
        return
    assert b"result" in body


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["document", "score", "contents", "id", "title"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(_JSON)
def test_no_json_raises_anything_else(result: object):
    try:
        hits = read([result], k=2)
    except RetrievalError:
        return
    assert len(hits) == 1
    assert len(hits[0]) <= 2


_SCORES = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(
    lambda scores: sorted(scores, reverse=True)
)


@given(st.lists(st.tuples(st.text().filter(str.strip), _SCORES), max_size=4))
def test_what_is_written_is_read_back(rows: list[tuple[str, list[float]]]):
    hits = [
        [Hit(Passage(f"{row}", contents), score) for row, score in enumerate(scores)]
        for contents, scores in rows
    ]
    assert read_answer(answer_body(hits, True), [contents for contents, _ in rows], 4) == hits
