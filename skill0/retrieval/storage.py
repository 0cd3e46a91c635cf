"""Folders of an index: written whole or not at all, verified when they are opened, arrays memory-mapped.

index.json   format and version, the index's own facts, and size and XXH3 checksum of every other file
*.npy        arrays
*.bin        UTF-8 text, cut by offsets in an array
"""

from __future__ import annotations

import errno
import json
import mmap
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from skill0.errors import RetrievalError

HEADER = "index.json"

_LEFTOVER_S = 24 * 3600


class PlaceTakenError(RetrievalError):
    """An index is there that was not when the build began: another process was faster."""


@contextmanager
def new_folder(folder: Path, kind: str, version: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder to write files into, and the facts for its header; `folder` has them when the block ends.

    A block that fails leaves nothing behind. An older index at `folder` is replaced at the end. What a killed
    build left beside it is removed by a later one, once nothing was written there for a day.

    Raises:
        PlaceTakenError: see there; the other index stays.
        RetrievalError: there is something else than an index at `folder`, or files cannot be written there.
    """
    folder = folder.absolute()
    try:
        replaces = folder.exists()
        if replaces and not (folder / HEADER).is_file() and (folder.is_file() or any(folder.iterdir())):
            raise RetrievalError(
                f"{folder} is there and is no index: give a new folder, or an index to replace"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        begin = f".{folder.name}.unfinished-"
        _remove_leftovers(folder.parent, begin)
        # Not named by the process: in containers their numbers come again.
        with tempfile.TemporaryDirectory(
            prefix=begin, dir=folder.parent, ignore_cleanup_errors=True
        ) as beside:
            made = Path(beside, "made")
            made.mkdir()  # others may read it, which they may not a temporary folder
            facts: dict[str, Any] = {}
            yield made, facts
            _write_header(made, {"format": kind, "version": version, **facts})
            _move(made, folder, Path(beside, "old") if replaces else None)
    except OSError as error:
        raise RetrievalError(
            f"{folder} could not be built ({error}): is there room on the disk, and may you write there?"
        ) from error


def _write_header(folder: Path, facts: dict[str, Any]) -> None:
    sums = {
        path.name: {"bytes": path.stat().st_size, "xxh3": _checksum(path)}
        for path in sorted(folder.iterdir())
    }
    header = json.dumps(seal({**facts, "files": sums}), indent=1)
    (folder / HEADER).write_text(header + "\n", encoding="utf-8")


def _move(made: Path, folder: Path, old: Path | None) -> None:
    """The new index to its place; one that is replaced to `old`."""
    if old is not None:
        with suppress(FileNotFoundError):  # another process is replacing it, too
            folder.rename(old)
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise PlaceTakenError(
                f"{folder} was written by another process while this one was at it; that index stays"
            ) from None
        if old is not None and old.exists():
            old.rename(folder)
        raise


def _remove_leftovers(parent: Path, begin: str) -> None:
    """What builds left that were killed: a living one writes more often than once a day."""
    for path in parent.iterdir():
        if path.name.startswith(begin):
            with suppress(FileNotFoundError):  # it was just finished
                last = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
                if time.time() - last > _LEFTOVER_S:
                    shutil.rmtree(path, ignore_errors=True)


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
