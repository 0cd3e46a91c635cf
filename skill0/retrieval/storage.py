"""Folders of an index: written whole or not at all, verified when they are opened, arrays memory-mapped.

index.json   format and version, the index's own facts, and size and XXH3 checksum of every other file
*.npy        arrays
*.bin        UTF-8 text, cut by offsets in an array
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from skill0.errors import RetrievalError

HEADER = "index.json"


@contextmanager
def new_folder(folder: Path, kind: str, version: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder to write files into, and the facts for its header; `folder` has them when the block ends.

    A block that fails leaves nothing behind. An older index at `folder` is replaced at the end.

    Raises:
        RetrievalError: there is something else than an index at `folder`.
    """
    folder = folder.absolute()
    replaces = folder.exists()
    if replaces and not (folder / HEADER).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise RetrievalError(f"{folder} is there and is no index: give a new folder, or an index to replace")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir()
    try:
        facts: dict[str, Any] = {}
        yield unfinished, facts
        sums = {
            path.name: {"bytes": path.stat().st_size, "xxh3": _checksum(path)}
            for path in sorted(unfinished.iterdir())
        }
        header = {"format": kind, "version": version, **facts, "files": sums}
        (unfinished / HEADER).write_text(json.dumps(seal(header), indent=1) + "\n", encoding="utf-8")
        if replaces:
            old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
            folder.rename(old)
            unfinished.rename(folder)
            shutil.rmtree(old)
        else:
            unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def open_folder(folder: Path, kind: str, version: int) -> dict[str, Any]:
    """The header of an index, after a look at every file of it.

    Raises:
        RetrievalError: no index of this kind and version, or a file that is missing or not as it was written.
    """
    place = folder / HEADER
    try:
        header = json.loads(place.read_text(encoding="utf-8"))
        found, found_version = header["format"], header["version"]
        sums = {name: (int(facts["bytes"]), str(facts["xxh3"])) for name, facts in header["files"].items()}
    except FileNotFoundError:
        raise RetrievalError(f"no index at {folder}: it has no {HEADER}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RetrievalError(f"{place} is damaged ({error!r}): build the index again") from None
    if found != kind:
        raise RetrievalError(f"{folder} is an index of kind {found!r}, not {kind!r}")
    if found_version != version:
        raise RetrievalError(
            f"{folder} has format version {found_version}, this is {version}: build it again"
        )
    if header != seal(header):
        raise RetrievalError(f"{place} is damaged: it is not as it was written. Build the index again")
    for name, (size, checksum) in sums.items():
        path = folder / name
        if not path.is_file():
            raise RetrievalError(f"{path} is missing: build the index again")
        if path.stat().st_size != size or _checksum(path) != checksum:
            raise RetrievalError(f"{path} is damaged: it is not as it was written. Build the index again")
    return header


def seal(header: dict[str, Any]) -> dict[str, Any]:
    """A header with the checksum of all else that it says."""
    facts = {name: value for name, value in header.items() if name != "checksum"}
    text = json.dumps(facts, sort_keys=True)
    return {**facts, "checksum": xxhash.xxh3_128_hexdigest(text.encode())}


def fact(header: dict[str, Any], folder: Path, name: str, kind: Callable[[Any], Any]) -> Any:
    """One fact of a header, as a number or a text."""
    try:
        return kind(header[name])
    except (KeyError, TypeError, ValueError) as error:
        raise RetrievalError(f"{folder / HEADER} is damaged: {name} ({error!r})") from None


def load_array(folder: Path, name: str) -> np.ndarray:
    """A memory-mapped array, seen as a plain one: indexing a `numpy.memmap` costs more.

    All its pages are touched, so that none is mapped in the middle of a search, which costs as much as one.
    """
    array = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
    array.view(np.uint8)[:: mmap.PAGESIZE].max(initial=0)
    return array


def new_array(folder: Path, name: str, dtype: Any, length: int) -> np.ndarray:
    """A memory-mapped array to be filled."""
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(length,))


def map_bytes(path: Path) -> mmap.mmap | bytes:
    """A file's bytes without reading them. (An empty file cannot be mapped.)"""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def hold(owner: object) -> None:
    """Copies an object's mapped arrays and bytes into memory: no file of theirs stays open."""
    for name, value in vars(owner).items():
        if isinstance(value, np.ndarray) and not value.flags.owndata:
            setattr(owner, name, value.copy())
        elif isinstance(value, mmap.mmap):
            setattr(owner, name, bytes(value))


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
