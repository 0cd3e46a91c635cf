"""What goes over the wire between a retriever's client and its server: two published forms of `POST
/retrieve`.

| | Search-R1 (`"search_r1"`) | SkillZero (`"skillzero"`) |
|---|---|---|
| request | `{"queries": [...], "topk": k, "return_scores": true}` | `{"query": "...", ...}`, one at a time |
| answer | `{"result": [hits of each query]}` | `{"result": [hits]}`, always one list |

A hit is `{"document": DOC, "score": s}` where scores are returned, else DOC alone. DOC is a row of the
corpus: `{"id", "contents"}` (wiki-18) or `{"title", "text", "contents"}` (the BM25 path of SkillZero's
server).

Every answer is read as if it came from a stranger: what is not as above is a RetrievalError that shows the
row. JSON is read and written by pydantic-core, which is there anyway and three to five times as fast as
`json`. Left out: fields of documents other than these, which no published client reads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic_core import from_json, to_json

from skill0.errors import RetrievalError
from skill0.retrieval.base import Hit, Passage

WireForm = Literal["search_r1", "skillzero"]
WIRE_FORMS: tuple[str, ...] = get_args(WireForm)

_EXCERPT = 200
"""Characters of a faulty row that an error shows."""


def request_body(queries: Sequence[str], k: int, form: WireForm) -> bytes:
    """The JSON that asks for the best `k` passages of `queries`; of exactly one in the form `skillzero`."""
    # A model may write half of a surrogate pair, which no JSON can carry.
    texts = [query.encode("utf-8", "replace").decode() for query in queries]
    asked = {"queries": texts} if form == "search_r1" else {"query": texts[0]}
    return to_json({**asked, "topk": k, "return_scores": True})


def answer_body(answers: Sequence[Sequence[Hit]], return_scores: bool) -> bytes:
    """The JSON that answers: one list of hits for each query, best first."""
    rows = [[_row(hit, return_scores) for hit in hits] for hits in answers]
    return to_json({"result": rows})


def read_answer(body: bytes, queries: Sequence[str], k: int) -> list[list[Hit]]:
    """The hits in an answer to `queries`, at most `k` each.

    Where the server gives no scores, the hit of rank r (from 1) has the score 1/r: the order is all that is
    known. A document without an id gets a digest of its contents, so that equal passages are equal
    everywhere.

    Raises:
        RetrievalError: the answer is no JSON, or not of the form above; names query and hit and shows the
        row.
    """
    result = _result(body)
    if len(result) != len(queries):
        raise RetrievalError(
            f"{len(queries)} queries were sent and {len(result)} lists of hits came back: {excerpt(result)}. "
            "A server that takes one `query` at a time is asked with form='skillzero'"
        )
    return [
        _read_hits(rows, number, query, k)
        for number, (rows, query) in enumerate(zip(result, queries, strict=True), 1)
    ]


def excerpt(value: Any) -> str:
    """The beginning of something that came from a server, on one line."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    line = " ".join(text.split()) if isinstance(text, str) else repr(text)
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + " ..."


def _row(hit: Hit, return_scores: bool) -> dict[str, Any]:
    document = {"id": hit.passage.id, "contents": hit.passage.contents}
    return {"document": document, "score": float(hit.score)} if return_scores else document


def _result(body: bytes) -> list[Any]:
    try:
        answer = from_json(body)
    except ValueError as error:
        start = body[:_EXCERPT].lstrip().lower()
        page = start.startswith((b"<!doctype", b"<html"))
        what = "an HTML page: a proxy or another web server answers there" if page else f"no JSON ({error})"
        raise RetrievalError(f"the answer is {what}: {excerpt(body) or '(empty)'}") from None
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, list):
        raise RetrievalError(f"the answer has no list `result`: {excerpt(answer)}")
    return result


def _read_hits(rows: Any, number: int, query: str, k: int) -> list[Hit]:
    """One list of hits. What is said of a fault is put together only when there is one: this is most of the
    time that a client spends."""
    if type(rows) is not list:
        raise RetrievalError(f"{_place(number, query)} is no list of hits: {excerpt(rows)}")
    hits: list[Hit] = []
    scored = 0
    last = math.inf
    for rank, row in enumerate(rows[:k], 1):
        try:
            if type(row) is not dict:
                raise _FaultyHit("is no object")
            if "document" in row:
                score = _score(row.get("score"))
                passage = _passage(row["document"])
                scored += 1
            else:
                score = 1 / rank
                passage = _passage(row)
        except _FaultyHit as fault:
            raise RetrievalError(f"{_place(number, query)}, hit {rank} {fault}: {excerpt(row)}") from None
        if score > last:
            raise RetrievalError(
                f"{_place(number, query)}: hit {rank} scores {score} after {last}, but larger is better and "
                "the best comes first. Does the server return distances?"
            )
        last = score
        hits.append(Hit(passage, score))
    if scored and scored != len(hits):
        raise RetrievalError(
            f"{_place(number, query)}: some hits have scores and some have none: {excerpt(rows)}"
        )
    return hits


def _place(number: int, query: str) -> str:
    return f"the answer to query {number} ({excerpt(query)!r})"


class _FaultyHit(Exception):
    """Says what is wrong; where it is, the caller knows."""


def _score(score: Any) -> float:
    if type(score) is not float and type(score) is not int:
        raise _FaultyHit("has no number for a `score`")
    try:
        number = float(score)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise _FaultyHit("has a `score` that is not finite")
    return number


def _passage(document: Any) -> Passage:
    if type(document) is not dict:
        raise _FaultyHit("has a document that is no object")
    contents = document.get("contents")
    if contents is None and isinstance(document.get("title"), str) and isinstance(document.get("text"), str):
        contents = f'"{document["title"]}"\n{document["text"]}'
    if type(contents) is not str or not contents or contents.isspace():
        raise _FaultyHit("has no text in `contents` (nor `title` and `text`)")
    name = document.get("id")
    if type(name) is str:
        return Passage(name, contents)
    if name is None:
        return Passage(hashlib.blake2b(contents.encode(), digest_size=8).hexdigest(), contents)
    if type(name) is not int:
        raise _FaultyHit("has an `id` that is neither text nor a whole number")
    return Passage(str(name), contents)
