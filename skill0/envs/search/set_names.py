"""Which of the benchmarks rows belong to: the names that people give the seven sets.

A set decides the task type of its questions, so its name is read with care. In the order in which they count:

1. what a row says itself (`data_source`), when that is a name of a set;
2. the name that a file is given with, `nq=path/to/test.jsonl`;
3. for rows that say nothing, the file's name when it begins with a name of one set alone (`nq_test.jsonl`),
   else its folder's name (`nq/test.jsonl`).

Letter case, `searchR1_` and what separates words count for nothing: "NQ-open", "hotpot_qa" and
"searchR1_popqa" are names of sets.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from skill0.errors import EnvError

_NAMES = {
    "nq": ("nq", "nqopen", "naturalquestions"),
    "triviaqa": ("triviaqa", "tqa"),
    "popqa": ("popqa",),
    "hotpotqa": ("hotpotqa", "hotpot"),
    "2wikimultihopqa": ("2wikimultihopqa", "2wikimultihop", "2wikimqa", "2wiki"),
    "musique": ("musique",),
    "bamboogle": ("bamboogle",),
}
SETS = tuple(_NAMES)
"""The benchmarks of SKILL0, by their names in Search-R1 and FlashRAG."""

_SET_OF = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
_SPLITS = ("train", "training", "dev", "val", "valid", "validation", "test", "heldout")
_PREFIX = re.compile(r"searchr1[_-]", re.IGNORECASE)
_SUFFIXES = re.compile(r"(\.jsonl?|\.parquet)?(\.gz)?$")
_NAMED = re.compile(r"([A-Za-z0-9_-]+)=(.+)", re.DOTALL)


def known_set(name: str) -> str | None:
    """The set that a whole name stands for; None for any other name."""
    return _SET_OF.get("".join(_words(_PREFIX.sub("", name, count=1))))


def split_name(text: str) -> tuple[str | None, str]:
    """Name and path of `NAME=PATH`; no name where there is none. A path that begins so is written `./a=b`."""
    found = _NAMED.fullmatch(text)
    return (found[1], found[2]) if found else (None, text)


def stem_of(path: Path) -> str:
    """A file's or folder's name without what says its form: "dev" of `dev.jsonl.gz`."""
    return _SUFFIXES.sub("", _absolute(path).name)


def guessed_name(path: Path) -> str:
    """What rows of this file or folder are called that say nothing themselves: a set, or else the file's own
    name, or its folder's where the file is only called after a split."""
    stem, folder = stem_of(path), _absolute(path).parent.name
    words = _words(stem)
    named = {words[first:past] for first in range(len(words)) for past in range(first + 1, len(words) + 1)}
    sets = {_SET_OF[name] for name in map("".join, named) if name in _SET_OF}
    if len(sets) > 1:
        return stem  # "nq_hotpotqa_train": its rows must say
    [first] = sets or [None]
    begins = any(_SET_OF.get("".join(words[:past])) for past in range(1, len(words) + 1))
    own = folder if stem.lower() in _SPLITS and folder else stem
    return (first if begins else None) or known_set(folder) or own


@dataclass(frozen=True)
class Naming:
    """What is known about rows from outside: the name that they were `given` with, if any, and the one that
    is `guessed` where neither that nor a row says anything."""

    given: str | None
    guessed: str

    def of(self, row: str | None) -> str:
        """The name for a row that calls its set `row`: one of `SETS`, or a name of its own.

        Raises:
            EnvError: the row is of another set than the one that was given.
        """
        told = known_set(row) if row else None
        given = known_set(self.given) if self.given else None
        if told and given and told != given:
            raise EnvError(f"the row is of {told!r}, but was given as {self.given!r}: leave out that name")
        guessed = None if row else known_set(self.guessed)
        own = _PREFIX.sub("", row, count=1) if row else self.given or self.guessed
        return told or given or guessed or own


def _absolute(path: Path) -> Path:
    """Without following links: those of the Hub's cache lead to files named by a checksum."""
    return Path(os.path.abspath(path))


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9]+", name.lower()))
