"""Translation of a PDDL problem to the SAS task that the engine runs, kept in memory and on disk.

Translating takes 60-99 % of the time to load a game (0.1-1.5 s of pure Python). The stock engine does it four
times for each load and reset; here it is done once, and a `TranslationCache` keeps the result for the next
process. Left out: the second, planner-only translation.

A cache entry is one file: a line with the SHA-256 of what follows, then zlib-compressed JSON. Its name is the
SHA-256 of format, translator version, domain and problem, so entries of other versions are never read.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from skill0.envs.alfworld.upstream import ENGINE_LOCK, process_state_kept
from skill0.errors import GameError

CACHE_FORMAT = 1


@dataclass(frozen=True)
class Translation:
    """A translated problem and what its state needs to know of it. All names are lower case."""

    sas: bytes
    # action -> ((parameter, type), ...)
    parameters: Mapping[str, tuple[tuple[str, str], ...]]
    # ((type, its supertypes), ...)
    types: tuple[tuple[str, tuple[str, ...]], ...]
    object_types: Mapping[str, str]
    # ((predicate, arguments), ...)
    initial_facts: tuple[tuple[str, tuple[str, ...]], ...]
    # predicates that some action changes, directly or through a derived predicate
    changing: frozenset[str]


def translate(domain: str, problem: str) -> Translation:
    """Run the translator. `sys.argv` and the standard streams are as before afterwards.

    Raises:
        GameError: the problem does not parse, contradicts the domain, or its goal cannot be reached.
    """
    import fast_downward

    task: Any
    with ENGINE_LOCK, process_state_kept(), _collector_paused():
        try:
            task, sas = fast_downward.pddl2sas(domain, problem)
        except (Exception, SystemExit) as error:  # the translator raises whatever its parser stumbles on
            raise GameError(
                f"the PDDL problem is corrupt: {type(error).__name__}: {error}. Fetch or generate it again."
            ) from error
    if "Atom dummy(val1)" in sas:  # what the translator makes of a goal that cannot fail or cannot hold
        raise GameError(
            "it is unsolvable, or won before anything is done. Check that the object asked for exists and "
            "that some receptacle may contain it (canContain)."
        )
    return Translation(
        sas=sas.encode("utf-8"),
        parameters={
            a.name: tuple((p.name.strip("?"), p.type_name) for p in a.parameters) for a in task.actions
        },
        types=tuple((t.name, tuple(t.supertype_names)) for t in task.types),
        object_types={o.name: o.type_name for o in task.objects},
        initial_facts=tuple(fact for atom in task.init if (fact := _initial_fact(atom)) is not None),
        changing=frozenset(
            [effect.literal.predicate for a in task.actions for effect in a.effects]
            + [axiom.name for axiom in task.axioms]
        ),
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No cyclic garbage collection: the translator makes millions of small objects and hardly any cycles,
    and looking for them takes a fifth of its time (more beside a loaded model)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _initial_fact(atom: Any) -> tuple[str, tuple[str, ...]] | None:
    """An atom of the problem's `:init` as a fact; `None` for equalities, costs and distances."""
    if type(atom).__name__ == "Atom":
        return None if atom.predicate == "=" else (atom.predicate, tuple(atom.args))
    if type(atom).__name__ == "Assign" and atom.fluent.symbol != "total-cost":
        value = str(atom.expression.value)
        return None if value.isdigit() else (value, tuple(atom.fluent.args))
    return None


class TranslationCache:
    """Translations in a folder that any number of processes may share.

    `counts` tells hits, misses, corrupt entries (ignored and written anew) and writes that failed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.counts: Counter[str] = Counter()

    def get(self, domain: str, problem: str) -> Translation:
        """The translation, from disk when it is there.

        Raises:
            GameError: as `translate`.
        """
        path = self.path_of(domain, problem)
        found = self._read(path)
        if found is None:
            found = translate(domain, problem)
            self._write(path, found)
        return found

    def path_of(self, domain: str, problem: str) -> Path:
        """Where the entry of that problem is, or would be."""
        version = f"{CACHE_FORMAT} {metadata.version('fast-downward-textworld')}"
        digest = hashlib.sha256("\0".join((version, domain, problem)).encode("utf-8")).hexdigest()
        return self.folder / digest[:2] / f"{digest}.sas"

    def _read(self, path: Path) -> Translation | None:
        try:
            content = path.read_bytes()
        except OSError:
            self.counts["misses"] += 1
            return None
        head, _, body = content.partition(b"\n")
        try:
            if head.decode("ascii") != hashlib.sha256(body).hexdigest():
                raise ValueError("checksum")
            translation = _decode(body)
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            self.counts["corrupt"] += 1
            return None
        self.counts["hits"] += 1
        return translation

    def _write(self, path: Path, translation: Translation) -> None:
        """A reader sees the whole entry or none: the file is written under another name first."""
        body = _encode(translation)
        content = hashlib.sha256(body).hexdigest().encode("ascii") + b"\n" + body
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            self.counts["unwritable"] += 1
            if self.counts["unwritable"] == 1:
                warnings.warn(
                    f"cannot write the translation cache in {self.folder} ({error}); "
                    "games load as slowly as without it",
                    RuntimeWarning,
                    stacklevel=2,
                )


@lru_cache(maxsize=8)
def cache_in(folder: str) -> TranslationCache:
    """The process's one cache object for a folder, so that its counts are complete."""
    return TranslationCache(Path(folder))


def default_cache_dir() -> str:
    """`$SKILL0_CACHE`, else `$XDG_CACHE_HOME/skill0`, else ~/.cache/skill0; in it, `alfworld`."""
    base = os.environ.get("SKILL0_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "skill0")
    return os.path.join(base, "alfworld")


def _encode(translation: Translation) -> bytes:
    fields = {
        "sas": translation.sas.decode("utf-8"),
        "parameters": translation.parameters,
        "types": translation.types,
        "object_types": translation.object_types,
        "initial_facts": translation.initial_facts,
        "changing": sorted(translation.changing),
    }
    return zlib.compress(json.dumps(fields, separators=(",", ":")).encode("utf-8"), 6)


def _decode(body: bytes) -> Translation:
    fields = json.loads(zlib.decompress(body))
    return Translation(
        sas=fields["sas"].encode("utf-8"),
        parameters={k: tuple((name, kind) for name, kind in v) for k, v in fields["parameters"].items()},
        types=tuple((name, tuple(above)) for name, above in fields["types"]),
        object_types=fields["object_types"],
        initial_facts=tuple((name, tuple(arguments)) for name, arguments in fields["initial_facts"]),
        changing=frozenset(fields["changing"]),
    )
