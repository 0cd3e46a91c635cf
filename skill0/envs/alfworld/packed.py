"""The packed form of a set of games: what every game shares once, the rest as one compressed line each.

    <split>.jsonl.xz        one JSON object a line: id, task_type, task, pddl_problem, solvable, walkthrough
                            and, for generated households, convention
    pddl_domain.pddl        the PDDL domain of all games
    grammar_template.twl2   their grammar; "UNKNOWN GOAL." stands for the task
    sha256.txt.xz           "<sha256>  <split>/<id>/game.tw-pddl" a line, of the game files they stand for
    manifest.json           in folders written here: each split's number of games, file checksum and origin

The official games in this form take 4.5 MB (182 MB unpacked) and have no manifest: their counts are known.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skill0.envs.alfworld.games import PROCEDURE_TASK_TYPES, TASK_TYPES, Game
from skill0.envs.alfworld.upstream import read_text
from skill0.errors import GameStoreError

DOMAIN_FILE = "pddl_domain.pddl"
GRAMMAR_FILE = "grammar_template.twl2"
CHECKSUM_FILE = "sha256.txt.xz"
MANIFEST_FILE = "manifest.json"
LINES_SUFFIX = ".jsonl.xz"
FORMAT = "skill0-alfworld-games/1"


@dataclass(frozen=True)
class PackedStore:
    """Reads a folder in the packed form."""

    folder: Path

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(p.name.removesuffix(LINES_SUFFIX) for p in self.folder.glob(f"*{LINES_SUFFIX}")))

    @cached_property
    def manifest(self) -> Mapping[str, Any] | None:
        """`manifest.json`, or `None` for the official games.

        Raises:
            GameStoreError: it is not a manifest of this format.
        """
        path = self.folder / MANIFEST_FILE
        if not path.exists():
            return None
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT:
                raise GameStoreError(f"{path}: format {manifest['format']!r} is not {FORMAT!r}")
            counts = {name: int(split["games"]) for name, split in manifest["splits"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GameStoreError(
                f"{path}: not a manifest of games ({error!r}); write the games again"
            ) from error
        missing = sorted(set(counts) - set(self.splits))
        if missing:
            raise GameStoreError(
                f"{path}: names split {missing[0]!r}, but {missing[0]}{LINES_SUFFIX} is missing"
            )
        return manifest

    def expected_count(self, split: str) -> int | None:
        """What the manifest says; `None` when there is no manifest.

        Raises:
            GameStoreError: the manifest does not list the split.
        """
        if self.manifest is None:
            return None
        if split not in self.manifest["splits"]:
            raise GameStoreError(
                f"{self.folder / MANIFEST_FILE}: does not list the split {split!r}, so writing it was not "
                f"finished. Delete {split}{LINES_SUFFIX} and write it again."
            )
        return int(self.manifest["splits"][split]["games"])

    def checksums(self, split: str) -> dict[str, str] | None:
        """Game id to SHA-256, or `None` when the folder has none for that split."""
        path = self.folder / CHECKSUM_FILE
        if not path.exists():
            return None
        found = {}
        for number, line in _lines(path):
            digest, _, name = line.strip().partition("  ")
            if len(digest) != 64 or not name:
                raise GameStoreError(f'{path}:{number}: expected "<sha256>  <split>/<id>/game.tw-pddl"')
            of_split, _, rest = name.partition("/")
            if of_split == split:
                found[rest.removesuffix("/game.tw-pddl")] = digest
        return found or None

    def file_is_as_written(self, split: str) -> bool:
        """Whether the split's file has the checksum that the manifest, if there is one, says."""
        if self.manifest is None:
            return True
        content = (self.folder / f"{split}{LINES_SUFFIX}").read_bytes()
        return hashlib.sha256(content).hexdigest() == self.manifest["splits"][split].get("sha256")

    def games(self, split: str) -> Iterator[Game]:
        """The games in stored order.

        Raises:
            GameStoreError: a file is missing or cut off, or a line is corrupt (named with its number).
        """
        domain, grammar = self._shared_text(DOMAIN_FILE), self._shared_text(GRAMMAR_FILE)
        path = self.folder / f"{split}{LINES_SUFFIX}"
        for number, line in _lines(path):
            yield game_from_json(line, f"{path}:{number}", split, domain, grammar)

    def _shared_text(self, name: str) -> str:
        try:
            return read_text(self.folder / name)
        except (OSError, UnicodeDecodeError) as error:
            raise GameStoreError(
                f"{self.folder / name}: cannot be read ({error}); every game needs it"
            ) from error


def game_from_json(line: str, where: str, split: str, domain: str, grammar: str) -> Game:
    """One line of a packed split as a game.

    Raises:
        GameStoreError: the line is corrupt; `where` is named.
    """
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise GameStoreError(
            f"{where}: not a JSON object ({error}); unpack or fetch the file again"
        ) from error
    texts = ("id", "task_type", "task", "pddl_problem")
    plan = fields.get("walkthrough") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in texts):
        raise GameStoreError(f"{where}: a game needs the texts {', '.join(texts)}")
    if not isinstance(plan, list) or not plan or not all(isinstance(command, str) for command in plan):
        raise GameStoreError(f"{where}: a game needs a walkthrough, a list of commands that win it")
    known = (*TASK_TYPES, *PROCEDURE_TASK_TYPES)
    if fields["task_type"] not in known:
        raise GameStoreError(f"{where}: unknown task type {fields['task_type']!r}; known: {', '.join(known)}")
    if fields.get("solvable") is not True:
        raise GameStoreError(f"{where}: the game is not marked as solvable; leave it out")
    return Game(
        fields["id"],
        split,
        fields["task_type"],
        fields["task"],
        fields["pddl_problem"],
        tuple(plan),
        domain,
        grammar,
        fields.get("convention", {}),
    )


def write_games(
    games: Iterable[Game], folder: Path | str, *, made_by: Mapping[str, Any] | None = None
) -> None:
    """Write games in the packed form, each to its split. A folder may be given further splits later.

    Args:
        games: In the order to keep. All must share domain and grammar.
        folder: Made when missing.
        made_by: JSON-able facts about how the games were made, kept in the manifest for these splits.

    Raises:
        GameStoreError: no games, differing domains or grammars, an id twice in one split, a split that the
            folder already has, or a folder that cannot be written.
    """
    folder = Path(folder)
    by_split: dict[str, list[Game]] = {}
    for game in games:
        by_split.setdefault(game.split, []).append(game)
    if not by_split:
        raise GameStoreError(f"{folder}: there are no games to write")
    shared = _check_alike([game for split in by_split.values() for game in split], folder)
    manifest, checksums = _what_is_there(folder, shared, set(by_split))
    packed: dict[str, bytes] = {}
    for split, members in by_split.items():
        lines = "".join(_json_from_game(game) + "\n" for game in members)
        packed[split] = lzma.compress(lines.encode("utf-8"))
        digest = hashlib.sha256(packed[split]).hexdigest()
        facts = {"games": len(members), "sha256": digest, "made_by": dict(made_by or {})}
        manifest["splits"][split] = facts
        checksums += "".join(f"{game.sha256}  {split}/{game.id}/game.tw-pddl\n" for game in members)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in shared.items():
            _write(folder / name, text.encode("utf-8"))
        for split, content in packed.items():
            _write(folder / f"{split}{LINES_SUFFIX}", content)
        _write(folder / CHECKSUM_FILE, lzma.compress(checksums.encode("utf-8")))
        # Last: a folder without a manifest is seen to be unfinished.
        _write(folder / MANIFEST_FILE, json.dumps(manifest, indent=2).encode("utf-8"))
    except OSError as error:
        raise GameStoreError(
            f"{folder}: cannot write the games ({error}); free space or choose another"
        ) from error


def _check_alike(games: list[Game], folder: Path) -> dict[str, str]:
    """The texts that all games share, by file name."""
    domain, grammar = games[0].domain, games[0].grammar
    seen = set()
    for game in games:
        if game.domain != domain or game.grammar != grammar:
            raise GameStoreError(
                f"{folder}: games {games[0].id!r} and {game.id!r} differ in domain or grammar, "
                "which one folder shares: write two folders"
            )
        if (game.split, game.id) in seen:
            raise GameStoreError(f"{folder}: two games of split {game.split!r} have the id {game.id!r}")
        seen.add((game.split, game.id))
    return {DOMAIN_FILE: domain, GRAMMAR_FILE: grammar}


def _what_is_there(folder: Path, shared: Mapping[str, str], splits: set[str]) -> tuple[dict[str, Any], str]:
    """The folder's manifest and checksum lines, to be added to; refuses to overwrite anything."""
    there = PackedStore(folder)
    if not there.splits and there.manifest is None:
        return {"format": FORMAT, "splits": {}}, ""
    taken = splits & set(there.splits)
    if taken:
        raise GameStoreError(
            f"{folder}: already has the split {sorted(taken)[0]!r}; choose another folder or split"
        )
    if there.manifest is None:
        raise GameStoreError(
            f"{folder}: holds the official games, or was not finished; choose another folder"
        )
    for name, text in shared.items():
        if read_text(folder / name) != text:
            raise GameStoreError(
                f"{folder / name}: differs from that of the games to write; choose another folder"
            )
    checksums = "".join(line for _, line in _lines(folder / CHECKSUM_FILE))
    return {**there.manifest, "splits": dict(there.manifest["splits"])}, checksums


def _json_from_game(game: Game) -> str:
    fields: dict[str, Any] = {
        "id": game.id,
        "task_type": game.task_type,
        "task": game.instruction,
        "pddl_problem": game.problem,
        "solvable": True,
        "walkthrough": list(game.walkthrough),
    }
    if game.convention:
        fields["convention"] = dict(game.convention)
    return json.dumps(fields)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of an xz file."""
    number = 0
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                yield number, line
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise GameStoreError(
            f"{path}:{number + 1}: cannot be read on ({type(error).__name__}: {error}); fetch the file again"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".writing-{path.name}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
