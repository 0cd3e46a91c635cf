"""Questions of the seven benchmarks and their training sets, in the forms in which people have them.

- JSON lines, plain or gzipped, of FlashRAG: `id`, `question`, `golden_answers`, `metadata`;
- the parquet files of Search-R1 and SKILL0: answers in `golden_answers` or
  `reward_model.ground_truth.target`,
  the set in `data_source` ("nq", "searchR1_nq");
- HotpotQA's own rows: `answer`, `type`, `supporting_facts`, `context`;
- any of these as a data set of Hugging Face `datasets`, in memory, saved to disk, or from the Hub.

What a row does not say is not guessed: without `supporting_facts` a question has no supporting passages.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from skill0.envs.search.questions import Question
from skill0.envs.search.task_types import published_task_type, task_type
from skill0.errors import EnvError

FLASHRAG = "RUC-NLPIR/FlashRAG_datasets"
"""The Hub repository with all seven sets, one configuration each."""

_PREFIX = "searchr1_"


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and how many the published rule of task types dropped."""

    questions: tuple[Question, ...]
    dropped: int = 0


def load_questions(
    path: str | Path, *, source: str | None = None, published_types: bool = False, limit: int | None = None
) -> QuestionSet:
    """Questions of a `.jsonl`, `.jsonl.gz` or `.parquet` file, or of a folder written by `save_to_disk`.

    Args:
        path: The file or folder.
        source: The set that rows belong to which do not say so; the file's name when not given.
        published_types: Take the published rule of task types, which drops some questions.
        limit: Only the first so many rows.

    Raises:
        EnvError: there is no such file, it is of another form, or a row is bad; names file and row.
    """
    path = Path(path)
    name = source or path.name.split(".")[0]
    return questions_of(_rows(path), name, place=str(path), published_types=published_types, limit=limit)


def hub_questions(
    name: str,
    split: str,
    *,
    repository: str = FLASHRAG,
    published_types: bool = False,
    limit: int | None = None,
) -> QuestionSet:
    """Questions of one set from the Hugging Face Hub, or from a folder of the same layout.

    Raises:
        EnvError: the data cannot be had, or a row is bad.
    """
    from datasets import load_dataset

    place = f"{repository}, {name}, {split}"
    try:
        rows = load_dataset(repository, name, split=split)
    except Exception as error:  # the Hub, the cache, the builder: each raises its own
        raise EnvError(f"{place}: cannot be loaded ({type(error).__name__}: {error})") from error
    return questions_of(rows, name, place=place, published_types=published_types, limit=limit)  # type: ignore[arg-type]


def questions_of(
    rows: Iterable[Mapping[str, Any]],
    source: str,
    *,
    place: str = "rows",
    published_types: bool = False,
    limit: int | None = None,
) -> QuestionSet:
    """Questions of rows, such as those of a Hugging Face data set. `place` names them in errors.

    Raises:
        EnvError: a row is bad, or two have one id; says which row, counted from 1.
    """
    questions: list[Question] = []
    seen: dict[tuple[str, str], int] = {}
    dropped = 0
    for number, row in enumerate(islice(rows, limit), 1):
        try:
            question = _question(row, source, number, published_types)
        except (EnvError, KeyError, TypeError, ValueError, AttributeError) as error:
            what = error if isinstance(error, EnvError) else f"{type(error).__name__}: {error}"
            raise EnvError(f"{place}, row {number}: not a question with its answers: {what}") from error
        if question is None:
            dropped += 1
            continue
        key = (question.source, question.id)
        if key in seen:
            raise EnvError(f"{place}, row {number}: the id {question.id!r} occurs in row {seen[key]} as well")
        seen[key] = number
        questions.append(question)
    if not questions:
        raise EnvError(f"{place}: there are no questions ({dropped} were dropped)")
    return QuestionSet(tuple(questions), dropped)


def _question(row: Mapping[str, Any], source: str, number: int, published: bool) -> Question | None:
    """The question of a row; None where the published rule drops it."""
    inner = row.get("env_kwargs") or row.get("extra_info") or {}
    asked = row.get("question") or inner.get("question")
    if not isinstance(asked, str):
        raise EnvError(f"question must be a text, not {asked!r}")
    name = _source(row.get("data_source") or inner.get("data_source") or source)
    metadata = {**row, **(row.get("metadata") or {})}
    given = row.get("task_type")
    kind = given or (published_task_type(name, asked) if published else task_type(name, asked, metadata))
    if kind is None:
        return None
    titles, evidence = _supporting(metadata)
    return Question(
        id=str(row["id"]) if row.get("id") is not None else str(number),
        question=asked,
        answers=_answers(row, inner),
        source=name,
        task_type=kind,
        supporting=titles,
        evidence=evidence,
        queries=tuple(metadata.get("queries") or ()),
    )


def _source(name: str) -> str:
    return name[len(_PREFIX) :] if name.lower().startswith(_PREFIX) else name


def _answers(row: Mapping[str, Any], inner: Mapping[str, Any]) -> tuple[str, ...]:
    """The gold answers, wherever the row has them."""
    truth = (row.get("reward_model") or inner).get("ground_truth") or {}
    found = row.get("golden_answers")
    if found is None:
        found = truth.get("target") if isinstance(truth, Mapping) else truth
    if found is None:
        found = row.get("answer")
    answers = [found] if isinstance(found, str) else list(found if found is not None else ())
    if not all(isinstance(answer, str) for answer in answers):
        raise EnvError(f"answers must be texts, not {answers!r}")
    return tuple(dict.fromkeys(answer for answer in answers if answer.strip()))


def _supporting(metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Titles of the supporting passages, each once in their order, and what each proves it with, where it is
    told: HotpotQA gives titles and sentence numbers as two lists or as pairs."""
    facts = metadata.get("supporting_facts") or ()
    if isinstance(facts, Mapping):
        pairs = list(zip(facts["title"], facts.get("sent_id") or [None] * len(facts["title"]), strict=True))
    else:
        pairs = [(pair[0], pair[1]) for pair in facts]
    titles = tuple(dict.fromkeys(title for title, _ in pairs))
    if metadata.get("evidence"):
        return titles, tuple(metadata["evidence"])
    context = metadata.get("context") or {}
    sentences = dict(zip(context["title"], context["sentences"], strict=True)) if context else {}
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


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.is_dir():
        yield from _saved(path)
    elif not path.is_file():
        raise EnvError(f"{path}: there is no such file of questions")
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.name.endswith((".jsonl", ".jsonl.gz", ".json.gz", ".json")):
        yield from _json_lines(path)
    else:
        raise EnvError(
            f"{path}: questions are read from .jsonl, .jsonl.gz and .parquet files, and from folders"
        )


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):  # noqa: B007
                row = json.loads(line) if line.strip() else None
                if not isinstance(row, Mapping):
                    raise ValueError("not a JSON object")
                yield row
    except (OSError, EOFError, ValueError) as error:
        raise EnvError(f"{path}, row {max(1, number)}: cannot be read: {error}") from error


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise EnvError(f"{path}: not a parquet file: {error}") from error


def _saved(path: Path) -> Iterator[Mapping[str, Any]]:
    from datasets import Dataset, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise EnvError(f"{path}: not a data set written by save_to_disk: {error}") from error
    if not isinstance(loaded, Dataset):
        raise EnvError(
            f"{path}: holds several splits ({', '.join(map(str, loaded))}); give the folder of one of them"
        )
    yield from loaded  # type: ignore[misc]
