"""Questions of the seven benchmarks and their training sets, in the forms in which people have them.

Files and folders of rows (`question_files.py`), rows in memory such as a data set of Hugging Face `datasets`,
or the Hub. What a row says is read in `published_rows.py`, which set it is of in `set_names.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from skill0.envs.search.published_rows import read_row
from skill0.envs.search.question_files import rows_of
from skill0.envs.search.questions import Question
from skill0.envs.search.set_names import Naming, guessed_name, known_set, split_name, stem_of
from skill0.envs.search.task_types import published_task_type, task_type
from skill0.errors import EnvError

FLASHRAG = "RUC-NLPIR/FlashRAG_datasets"
"""The Hub repository with all seven sets, one configuration each."""


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and how many the published rule of task types dropped."""

    questions: tuple[Question, ...]
    dropped: int = 0


def load_files(files: Sequence[str | Path], *, published_types: bool = False) -> QuestionSet:
    """Questions of several files, in their order. Each is a path as for `load_questions`, or `NAME=PATH`.

    Raises:
        EnvError: as `load_questions`; or a question of one set and id is there twice.
    """
    questions: list[Question] = []
    places: dict[tuple[str, str], str] = {}
    dropped = 0
    for text in files:
        name, path = split_name(str(text))
        found = load_questions(path, source=name, published_types=published_types)
        for question in found.questions:
            key = (question.source, question.id)
            if key in places:
                raise EnvError(
                    f"{path}: question {question.id!r} of {question.source!r} is in {places[key]} too: leave "
                    "one of the files out, or give the rows ids of their own"
                )
            places[key] = path
        questions += found.questions
        dropped += found.dropped
    return QuestionSet(tuple(questions), dropped)


def load_questions(
    path: str | Path, *, source: str | None = None, published_types: bool = False, limit: int | None = None
) -> QuestionSet:
    """Questions of a `.jsonl`, `.json`, `.jsonl.gz`, `.json.gz` or `.parquet` file, or of a folder written by
    `save_to_disk`. A row without an id is called after the file and its number.

    Args:
        path: The file or folder.
        source: The set of the rows that do not say it. When not given, what the file's name begins with, or
            its folder's name, if that is one of the benchmarks.
        published_types: Take the published rule of task types, which drops some questions.
        limit: Only the first so many rows.

    Raises:
        EnvError: there is no such file, it is of another form, or a row is bad; names file and row. A row is
            bad, too, when its task type cannot be told: its set is not known, and it has no `task_type`.
    """
    path = Path(path)
    naming = Naming(source, guessed_name(path))
    return _questions(rows_of(path), naming, str(path), published_types, limit, unnamed=f"{stem_of(path)}_")


def hub_questions(
    name: str,
    split: str,
    *,
    repository: str = FLASHRAG,
    source: str | None = None,
    published_types: bool = False,
    limit: int | None = None,
) -> QuestionSet:
    """Questions of one set from the Hugging Face Hub, or from a folder of the same layout. Without `source`
    the set is the one that the configuration `name`, else the repository, is called after.

    Raises:
        EnvError: the data cannot be had, or a row is bad.
    """
    from datasets import load_dataset

    place = f"{repository}, {name}, {split}"
    try:
        rows: Any = load_dataset(repository, name, split=split)
    except Exception as error:  # the Hub, the cache, the builder: each raises its own
        raise EnvError(f"{place}: cannot be loaded ({type(error).__name__}: {error})") from error
    guessed = known_set(name) or known_set(Path(repository).name) or name
    return _questions(rows, Naming(source, guessed), place, published_types, limit)


def questions_of(
    rows: Iterable[Mapping[str, Any]],
    source: str,
    *,
    place: str = "rows",
    published_types: bool = False,
    limit: int | None = None,
) -> QuestionSet:
    """Questions of rows, such as those of a Hugging Face data set. `source` is the set of rows that do not
    say it; `place` names the rows in errors.

    Raises:
        EnvError: a row is bad, or two have one id; says which row, counted from 1.
    """
    return _questions(rows, Naming(source, source), place, published_types, limit)


def _questions(
    rows: Iterable[Mapping[str, Any]],
    naming: Naming,
    place: str,
    published_types: bool,
    limit: int | None,
    unnamed: str = "",
) -> QuestionSet:
    """The questions; one without an id is called `unnamed` and its number."""
    questions: list[Question] = []
    seen: dict[tuple[str, str], int] = {}
    dropped = 0
    for number, row in enumerate(islice(rows, limit), 1):
        try:
            question = _question(row, naming, f"{unnamed}{number}", published_types)
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


def _question(row: Mapping[str, Any], naming: Naming, unnamed: str, published: bool) -> Question | None:
    """The question of a row; None where the published rule drops it."""
    read = read_row(row)
    name = naming.of(read.source)
    kind = read.task_type or (
        published_task_type(name, read.question)
        if published
        else task_type(name, read.question, read.metadata)
    )
    if kind is None:
        return None
    return Question(
        id=read.id if read.id is not None else unnamed,
        question=read.question,
        answers=read.answers,
        source=name,
        task_type=kind,
        supporting=read.supporting,
        evidence=read.evidence,
        queries=tuple(read.metadata.get("queries") or ()),
    )
