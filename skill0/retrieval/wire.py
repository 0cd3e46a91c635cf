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
    place = f"the answer to query {number} ({excerpt(query)!r})"
    if not isinstance(rows, list):
        raise RetrievalError(f"{place} is no list of hits: {excerpt(rows)}")
    hits: list[Hit] = []
    scored = 0
    for rank, row in enumerate(rows[:k], 1):
        try:
            hit, has_score = _read_hit(row, rank)
        except _FaultyHit as fault:
            raise RetrievalError(f"{place}, hit {rank} {fault}: {excerpt(row)}") from None
        if hits and hit.score > hits[-1].score:
            raise RetrievalError(
                f"{place}: hit {rank} scores {hit.score} after {hits[-1].score}, but larger is better and "
                "the best comes first. Does the server return distances?"
            )
        hits.append(hit)
        scored += has_score
    if scored not in (0, len(hits)):
        raise RetrievalError(f"{place}: some hits have scores and some have none: {excerpt(rows)}")
    return hits


class _FaultyHit(Exception):
    """Says what is wrong; where it is, the caller knows."""


def _read_hit(row: Any, rank: int) -> tuple[Hit, bool]:
    if not isinstance(row, dict):
        raise _FaultyHit("is no object")
    if "document" not in row:
        return Hit(_passage(row), 1 / rank), False
    return Hit(_passage(row["document"]), _score(row.get("score"))), True


def _score(score: Any) -> float:
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise _FaultyHit("has no number for a `score`")
    try:
        number = float(score)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise _FaultyHit("has a `score` that is not finite")
    return number


def _passage(document: Any) -> Passage:
    if not isinstance(document, dict):
        raise _FaultyHit("has a document that is no object")
    contents = document.get("contents")
    if contents is None and isinstance(document.get("title"), str) and isinstance(document.get("text"), str):
        contents = f'"{document["title"]}"\n{document["text"]}'
    if not isinstance(contents, str) or not contents.strip():
        raise _FaultyHit("has no text in `contents` (nor `title` and `text`)")
    name = document.get("id")
    if name is None:
        name = hashlib.blake2b(contents.encode("utf-8", "replace"), digest_size=8).hexdigest()
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise _FaultyHit("has an `id` that is neither text nor a whole number")
    return Passage(str(name), contents)
