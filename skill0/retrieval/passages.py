"""Passages on disk, in the order they came: one file of text, read where it is asked for.

Every index keeps its passages in this form beside it, so that a million of them are there at once and many
processes share one copy. Ties between equal scores are broken by the order of the ids, which is kept here
too.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np

from skill0.errors import RetrievalError
from skill0.retrieval.base import Hit, Passage
from skill0.retrieval.storage import load_array, map_bytes


class PassageWriter:
    """Appends passages to the files of a folder; to be used in a `with` block, `finish` at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / "passages.bin").open("wb")
        self._starts = array("q", [0])  # of id, contents, id, contents...; the end of the last

    def __enter__(self) -> PassageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts) // 2

    def add(self, passage: Passage) -> None:
        """One more.

        Raises:
            RetrievalError: its text is not valid Unicode.
        """
        try:
            texts = passage.id.encode("utf-8"), passage.contents.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RetrievalError(f"passage {len(self) + 1}, id {passage.id!r}: {error}") from None
        for text in texts:
            self._file.write(text)
            self._starts.append(self._starts[-1] + len(text))

    def finish(self) -> None:
        """Writes what finds them again.

        Raises:
            RetrievalError: there is no passage, or two have the same id.
        """
        if not len(self):
            raise RetrievalError("the corpus has no passage: there is nothing to search in")
        self._file.flush()
        np.save(self._folder / "passage_starts.npy", np.array(self._starts, dtype=np.int64))
        np.save(self._folder / "passage_ranks.npy", self._ranks())

    def _ranks(self) -> np.ndarray:
        """The place of each passage's id among all, in the order of their UTF-8 bytes.  # (passages,)"""
        text = map_bytes(self._folder / "passages.bin")
        starts = self._starts
        ids = [text[starts[index] : starts[index + 1]] for index in range(0, len(starts) - 1, 2)]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        for before, after in pairwise(order):
            if ids[before] == ids[after]:
                first, second = sorted((before, after))
                name = ids[before].decode("utf-8")
                raise RetrievalError(f"passages {first + 1} and {second + 1} have the same id {name!r}")
        ranks = np.empty(len(ids), dtype=np.int32)
        ranks[order] = np.arange(len(ids), dtype=np.int32)
        return ranks


class PassageStore:
    """The passages of a folder. `ranks` orders them by id.  # (passages,)"""

    def __init__(self, folder: Path) -> None:
        self._text = map_bytes(folder / "passages.bin")
        self._starts = load_array(folder, "passage_starts")
        self.ranks = load_array(folder, "passage_ranks")

    def __len__(self) -> int:
        return len(self.ranks)

    def __getitem__(self, number: int) -> Passage:
        if not 0 <= number < len(self):
            raise IndexError(number)
        first, middle, last = self._starts[2 * number : 2 * number + 3].tolist()
        return Passage(str(self._text[first:middle], "utf-8"), str(self._text[middle:last], "utf-8"))

    def hits(self, numbers: np.ndarray, scores: np.ndarray) -> list[Hit]:
        """Passages with their scores, in the order given."""
        pairs = zip(numbers.tolist(), scores.tolist(), strict=True)
        return [Hit(self[number], score) for number, score in pairs]

    def best(self, numbers: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` largest scores, largest first; equal ones in the order of the ids."""
        if len(scores) > k:
            least = np.partition(scores, len(scores) - k)[len(scores) - k]
            kept = np.flatnonzero(scores >= least)  # with all that tie for the last place
            numbers, scores = numbers[kept], scores[kept]
        order = np.lexsort((self.ranks[numbers], -scores))[:k]
        return numbers[order], scores[order]
