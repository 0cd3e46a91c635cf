"""What a row of a benchmark says, in each form in which the sets are published.

- FlashRAG: `golden_answers`, `metadata`; 2WikiMultihopQA's sentences as `context.content`;
- Search-R1 and SKILL0: `golden_answers`, `reward_model.ground_truth.target` or `env_kwargs`, `data_source`;
- HotpotQA and 2WikiMultihopQA themselves: `_id`, `supporting_facts` and `context` as lists of pairs; on the
  Hub as lists side by side, or as JSON in a text;
- TriviaQA: an `answer` of `value` and `aliases`;
- MuSiQue: `answer_aliases`, and `paragraphs` of which some are supporting;
- PopQA: `possible_answers`, a list as JSON in a text;
- Bamboogle: `Question` and `Answer`.

What a row does not say is not guessed: without `supporting_facts` a question has no supporting passages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skill0.errors import EnvError

_WITHHELD = "<unk>"
"""What TriviaQA's test split has for an answer."""


@dataclass(frozen=True)
class PublishedRow:
    """A row in one form. `id`, `source` (the set's name) and `task_type` are None where it has none;
    `metadata` are its own fields and those of its `metadata`."""

    id: str | None
    question: str
    answers: tuple[str, ...]
    source: str | None
    task_type: str | None
    metadata: Mapping[str, Any]
    supporting: tuple[str, ...]
    evidence: tuple[str, ...]


def read_row(row: Mapping[str, Any]) -> PublishedRow:
    """Whatever the form.

    Raises:
        EnvError: there is no question, an answer that is no text or was withheld, or supporting facts that do
            not fit together.
        KeyError, TypeError, ValueError, AttributeError: a field is of another kind than in any form.
    """
    inner = row.get("env_kwargs") or row.get("extra_info") or {}
    asked = row.get("question") or inner.get("question") or row.get("Question")
    if not isinstance(asked, str):
        raise EnvError(f"question must be a text, not {asked!r}")
    metadata = {
        **row,
        **{key: value for key, value in (row.get("metadata") or {}).items() if value is not None},
    }
    if metadata.get("answerable") is False:
        raise EnvError("the question is marked as one that cannot be answered: leave it out")
    titles, evidence = _supporting(metadata)
    names = (row.get(name) for name in ("id", "_id", "question_id"))
    return PublishedRow(
        id=next((str(name) for name in names if name is not None), None),
        question=asked,
        answers=_answers(row, inner),
        source=row.get("data_source") or inner.get("data_source"),
        task_type=row.get("task_type"),
        metadata=metadata,
        supporting=titles,
        evidence=evidence,
    )


def _answers(row: Mapping[str, Any], inner: Mapping[str, Any]) -> tuple[str, ...]:
    """The gold answers, wherever the row has them, each once."""
    truth = (row.get("reward_model") or inner).get("ground_truth") or {}
    found = row.get("golden_answers")
    if found is None:
        found = truth.get("target") if isinstance(truth, Mapping) else truth
    if found is None:
        found = _parsed(row.get("possible_answers"), "possible_answers")
    if found is None:
        answer = row.get("answer") if row.get("answer") is not None else row.get("Answer")
        found = [*_texts(answer), *(row.get("answer_aliases") or ())]
    answers = _texts(found)
    if not all(isinstance(answer, str) for answer in answers):
        raise EnvError(f"answers must be texts, not {answers!r}")
    return tuple(dict.fromkeys(answer for answer in answers if answer.strip()))


def _texts(found: Any) -> list[Any]:
    """One answer, several, or TriviaQA's: the answer as it was given, then its other names."""
    if isinstance(found, Mapping):
        if "value" not in found:
            raise EnvError(
                f"the answer has the fields {sorted(found)}: of such answers TriviaQA's are read, with value"
            )
        if found["value"] == _WITHHELD:
            raise EnvError("the answer is withheld, as in TriviaQA's test split: take another split")
        return [found["value"], *(found.get("aliases") or ())]
    return [found] if isinstance(found, str) else list(found if found is not None else ())


def _supporting(metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Titles of the supporting passages, each once in their order, and what each proves it with, where it is
    told."""
    paragraphs = metadata.get("paragraphs")
    if not metadata.get("supporting_facts") and paragraphs and isinstance(paragraphs[0], Mapping):
        return _marked(paragraphs, metadata.get("question_decomposition") or ()), ()
    pairs = _facts(_parsed(metadata.get("supporting_facts"), "supporting_facts"))
    titles = tuple(dict.fromkeys(title for title, _ in pairs))
    if metadata.get("evidence"):
        return titles, tuple(metadata["evidence"])
    sentences = _sentences(metadata.get("context"))
    told = {
        title: "".join(
            sentences[title][number]
            for name, number in pairs
            if name == title and number is not None and number < len(sentences.get(title, ()))
        )
        for title in titles
        if title in sentences
    }
    return titles, tuple(told.get(title, "") for title in titles) if told else ()


def _facts(facts: Any) -> list[tuple[str, int | None]]:
    """Titles and sentence numbers: two lists, or pairs."""
    if not isinstance(facts, Mapping):
        return [(pair[0], pair[1]) for pair in facts or ()]
    titles = facts.get("title") or ()
    numbers = facts.get("sent_id") or [None] * len(titles)
    if len(titles) != len(numbers):
        raise EnvError(f"supporting_facts has {len(titles)} titles, but {len(numbers)} sentence numbers")
    return list(zip(titles, numbers, strict=True))


def _sentences(context: Any) -> dict[str, Sequence[str]]:
    """The sentences of each passage by its title. A passage that is one text tells none."""
    if isinstance(context, str):
        context = _parsed(context, "context") if context.lstrip()[:1] in ("[", "{") else None
    if isinstance(context, Mapping):
        titles = context.get("title") or ()
        texts = context.get("sentences") or context.get("content") or ()
        if len(titles) != len(texts):
            raise EnvError(f"context has {len(titles)} titles, but {len(texts)} passages")
        context = list(zip(titles, texts, strict=True))
    return {pair[0]: pair[1] for pair in context or () if not isinstance(pair[1], str)}


def _marked(paragraphs: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Titles of MuSiQue's supporting paragraphs: in the order of the steps that need them, then others."""
    by_number = {paragraph.get("idx", number): paragraph for number, paragraph in enumerate(paragraphs)}
    needed = [by_number.get(step.get("paragraph_support_idx"), {}) for step in steps]
    return tuple(
        dict.fromkeys(
            paragraph["title"] for paragraph in (*needed, *paragraphs) if paragraph.get("is_supporting")
        )
    )


def _parsed(value: Any, field: str) -> Any:
    """A field that some hold as JSON in a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise EnvError(f"{field} is a text that is not JSON ({error}): {value[:60]!r}") from error
