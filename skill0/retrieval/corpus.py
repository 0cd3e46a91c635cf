"""Reading a corpus: JSONL, JSONL.gz or parquet, rows `{"id", "contents"}` or `{"id", "title", "text"}`.

The first form is that of wiki-18.jsonl (Search-R1), whose contents are the title in double quotes, a line
break and the text; the second is brought into it. Other fields of a row are passed over.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skill0.errors import RetrievalError
from skill0.retrieval.base import Passage

_ADVICE = 'a row is {"id", "contents"} or {"id", "title", "text"}'


def read_corpus(path: Path | str) -> Iterator[Passage]:
    """The passages of a corpus, one at a time.

    Args:
        path (`Path` or `str`): `*.jsonl`, `*.jsonl.gz` or `*.parquet`.

    Raises:
        RetrievalError: the file cannot be read or has no passage, or a row is bad; it names file and row,
            counted from 1.
    """
    path = Path(path)
    first_seen: set[int] = set()  # hashes only: the ids of a large corpus are many
    for row, fields in _rows(path):
        passage = _passage(path, row, fields)
        key = hash(passage.id)
        if key in first_seen:
            _refuse_duplicate(path, row, passage.id)
        first_seen.add(key)
        yield passage
    if not first_seen:
        raise RetrievalError(f"{path}: the corpus has no passage; {_ADVICE}")


def _refuse_duplicate(path: Path, row: int, name: str) -> None:
    """An error if an earlier row has this id, and not only its hash."""
    for earlier, fields in _rows(path):
        if earlier == row:
            return
        if _passage(path, earlier, fields).id == name:
            raise RetrievalError(f"{path}, row {row}: the id {name!r} is that of row {earlier} too")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise RetrievalError(f"no corpus at {path}")
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return _jsonl_rows(path)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise RetrievalError(f"{path}: a corpus is a .jsonl, .jsonl.gz or .parquet file")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for row, line in enumerate(file, start=1):
                try:
                    fields = json.loads(line)
                except ValueError as error:  # of the text or of its encoding
                    raise RetrievalError(f"{path}, row {row}: no JSON ({error})") from None
                if not isinstance(fields, dict):
                    raise RetrievalError(f"{path}, row {row}: {type(fields).__name__} instead of an object")
                yield row, fields
    except (OSError, EOFError, zlib.error) as error:  # gzip: no gzip file, cut short, or a damaged body
        raise RetrievalError(f"{path}: cannot be read after row {row} ({error})") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    row = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in ("id", "contents", "title", "text") if name in names]
            needed = ("id", *(("contents",) if "contents" in names else ("title", "text")))
            for field in needed:  # here, where all names are known: rows have those alone that are wanted
                if field not in names:
                    raise RetrievalError(f"{path}: {_found(field, dict.fromkeys(names))}; {_ADVICE}")
            for batch in file.iter_batches(columns=wanted):
                for fields in batch.to_pylist():
                    row += 1
                    yield row, fields
    except (OSError, pyarrow.ArrowException) as error:
        raise RetrievalError(f"{path}: cannot be read after row {row} ({error})") from None


def _passage(path: Path, row: int, fields: dict[str, Any]) -> Passage:
    """One row as a passage. An id may be a whole number."""
    where = f"{path}, row {row}"
    name = fields.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name:
        raise RetrievalError(f"{where}: {_found('id', fields)}; {_ADVICE}")
    names = ("contents",) if "contents" in fields else ("title", "text")
    for field in names:
        if not isinstance(fields.get(field), str):
            raise RetrievalError(f"{where}, id {name!r}: {_found(field, fields)}; {_ADVICE}")
    if names == ("contents",):
        contents = fields["contents"]
    else:
        contents = f'"{fields["title"]}"\n{fields["text"]}'
    if not contents.strip():
        raise RetrievalError(f"{where}, id {name!r}: the contents are empty")
    try:
        (name + contents).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RetrievalError(f"{where}: no valid Unicode ({error})") from None
    return Passage(name, contents)


def _found(field: str, fields: dict[str, Any]) -> str:
    if field not in fields:
        return f"no field {field!r} among {sorted(fields)}"
    return f"{field!r} is {str(fields[field])[:40]!r}, a {type(fields[field]).__name__}"
