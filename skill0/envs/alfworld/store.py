"""Sets of games, wherever they are kept: the packed form or alfworld's own tree of files.

A set that is not whole is an error, never a smaller set: results on 139 of 140 games are not comparable.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from skill0.envs.alfworld.games import Game
from skill0.envs.alfworld.official import OFFICIAL_COUNTS, OFFICIAL_DIGESTS, GameTree, digest_of
from skill0.envs.alfworld.packed import DOMAIN_FILE, LINES_SUFFIX, PackedStore, write_games
from skill0.errors import GameStoreError

__all__ = ["OFFICIAL_COUNTS", "find_splits", "load_games", "open_store", "verify_checksums", "write_games"]


def load_games(
    path: Path | str, split: str, limit: int | None = None, *, checksums: bool = False
) -> list[Game]:
    """The games of one split in stored order.

    Args:
        path: A folder in the packed form (the official games or what `skill0 data generate` wrote), or
            $ALFWORLD_DATA.
        split: For instance "train", "valid_seen", "valid_unseen".
        limit: Take only the first games. Their count is then not checked.
        checksums: Compare every game with its SHA-256 (about 4 s for the official train split).

    Raises:
        GameStoreError: no such folder or split, a wrong number of games, an id twice, a corrupt line or
            file, or a checksum that differs.
    """
    if limit is not None and limit < 1:
        raise GameStoreError(f"limit must be at least 1, not {limit}; leave it out for all games")
    if limit is not None and checksums:
        raise GameStoreError("checksums are compared for whole splits: leave out either limit or checksums")
    store = open_store(path)
    if split not in store.splits:
        raise GameStoreError(f"{path}: no split {split!r}; there is {', '.join(store.splits)}")
    games = list(islice(store.games(split), limit))
    _check_ids(games, path, split)
    expected = _expected_count(store, split)
    if limit is None and expected is not None and len(games) != expected:
        raise GameStoreError(
            f"{path}: split {split!r} has {len(games)} games, but {expected} belong to it. Fetch or generate "
            "it again; to use a part on purpose, give a limit."
        )
    if not games:
        raise GameStoreError(f"{path}: split {split!r} has no games")
    if checksums and not verify_checksums(path, split, games):
        raise GameStoreError(f"{path}: there are no checksums for split {split!r} to compare with")
    return games


def find_splits(path: Path | str) -> tuple[str, ...]:
    """The names of the splits in a folder, sorted.

    Raises:
        GameStoreError: the folder is missing or holds no games.
    """
    return open_store(path).splits


def open_store(path: Path | str) -> PackedStore | GameTree:
    """The reader for the form in which a folder keeps its games.

    Raises:
        GameStoreError: the folder is missing or holds no games.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise GameStoreError(f"{path}: no such folder. Give a folder of games, or $ALFWORLD_DATA.")
    packed = PackedStore(folder)
    if packed.splits or (folder / DOMAIN_FILE).exists():
        if not packed.splits:
            raise GameStoreError(
                f"{path}: has the shared files of a set of games but no <split>{LINES_SUFFIX}"
            )
        return packed
    tree = GameTree(folder)
    if tree.splits:
        return tree
    raise GameStoreError(
        f"{path}: holds no games. Expected <split>{LINES_SUFFIX} files, or alfworld's own "
        "json_2.1.1/<split>/<task>/<trial>/game.tw-pddl (alfworld-download makes it); "
        "`skill0 data generate` makes games without a download."
    )


def verify_checksums(path: Path | str, split: str, games: list[Game]) -> str:
    """Compare all games of a split with what was published or written.

    Returns a word on what was compared, or "" when there is nothing to compare with.

    Raises:
        GameStoreError: games differ, are missing or are too many; the first is named.
    """
    store = open_store(path)
    known = store.checksums(split)
    if known is not None:
        found = {game.id: game.sha256 for game in games}
        wrong = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
        if wrong:
            raise GameStoreError(
                f"{path}: {len(wrong)} of {len(known)} games of split {split!r} differ from their checksum, "
                f"first {wrong[0]!r}. Fetch or generate the set again."
            )
        if isinstance(store, PackedStore) and not store.file_is_as_written(split):
            raise GameStoreError(
                f"{path}: the file of split {split!r} is not the one that was written (its games are, their "
                "conventions may not be). Generate or import the set again."
            )
        return f"{len(known)} checksums agree"
    if split in OFFICIAL_DIGESTS and not getattr(store, "manifest", None):
        if digest_of(games) != OFFICIAL_DIGESTS[split]:
            raise GameStoreError(
                f"{path}: split {split!r} is not byte for byte that of alfworld's release 0.4.0 (its games "
                "may have been generated again, or be older). Fetch it with alfworld-download -f."
            )
        return "byte for byte alfworld's release 0.4.0"
    return ""


def _expected_count(store: PackedStore | GameTree, split: str) -> int | None:
    if isinstance(store, PackedStore) and store.manifest is None:
        return OFFICIAL_COUNTS.get(split)
    return store.expected_count(split)


def _check_ids(games: list[Game], path: Path | str, split: str) -> None:
    twice = [name for name, count in Counter(game.id for game in games).items() if count > 1]
    if twice:
        raise GameStoreError(f"{path}: split {split!r} has {twice[0]!r} more than once")
