"""Rows of files of questions: JSON lines and arrays, parquet, and folders of Hugging Face `save_to_disk`."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from skill0.errors import EnvError


def rows_of(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a file or folder, one at a time; those of a JSON array are read at once.

    Raises:
        EnvError: there is no such file, it is of another form, or it is damaged; names the file, and the row
            where there is one.
    """
    if path.is_dir():
        yield from _saved(path)
    elif not path.is_file():
        raise EnvError(f"{path}: there is no such file of questions")
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.name.endswith((".jsonl", ".jsonl.gz", ".json", ".json.gz")):
        yield from _json(path)
    else:
        raise EnvError(
            f"{path}: questions are read from .jsonl, .json (either may be .gz) and .parquet files, and from "
            "folders"
        )


def _json(path: Path) -> Iterator[Mapping[str, Any]]:
    """A row a line or, as HotpotQA and 2WikiMultihopQA are published, one array of rows."""
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            array = ".jsonl" not in path.suffixes and _starts_array(file)
            for number, entry in enumerate(json.load(file) if array else file, 1):  # noqa: B007
                row = entry if array else json.loads(entry) if entry.strip() else None
                if not isinstance(row, Mapping):
                    raise ValueError("not a JSON object")
                yield row
    # gzip raises OSError, EOFError or, for a damaged body, zlib's own error, which is none of these
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise EnvError(f"{path}, row {max(1, number)}: cannot be read: {error}") from error


def _starts_array(file: IO[str]) -> bool:
    while (character := file.read(1)).isspace():
        pass
    file.seek(0)
    return character == "["


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
