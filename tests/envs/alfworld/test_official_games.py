"""The official games, where they are at hand: all there, byte for byte, and won by their plans."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from skill0.envs.alfworld import TASK_TYPES, find_splits, load_games, replay_games, write_games
from skill0.envs.alfworld.official import OFFICIAL_COUNTS, OFFICIAL_DIGESTS, digest_of
from skill0.envs.alfworld.store import verify_checksums
from skill0.errors import GameStoreError

pytestmark = pytest.mark.integration

# Per task type in the order of `TASK_TYPES`, from table 1 of the ALFWorld paper (arXiv 2010.03768).
PAPER_COUNTS = {
    "train": (790, 308, 650, 459, 533, 813),
    "valid_seen": (35, 13, 27, 16, 25, 24),
    "valid_unseen": (24, 18, 31, 23, 21, 17),
}


def test_every_split_is_whole(official_folder: Path) -> None:
    for split in find_splits(official_folder):
        games = load_games(official_folder, split)
        assert len(games) == OFFICIAL_COUNTS[split]
        by_type = Counter(game.task_type for game in games)
        assert tuple(by_type[task_type] for task_type in TASK_TYPES) == PAPER_COUNTS[split]
        assert digest_of(games) == OFFICIAL_DIGESTS[split]
        assert verify_checksums(official_folder, split, games) == f"{len(games)} checksums agree"


def test_one_game_of_each_type_is_won(official_folder: Path) -> None:
    games = load_games(official_folder, "valid_seen")
    smallest = [
        min((game for game in games if game.task_type == task_type), key=lambda game: len(game.problem))
        for task_type in TASK_TYPES
    ]
    assert [result.problem for result in replay_games(smallest)] == [""] * 6


def test_alfworlds_own_tree_holds_the_same_games(official_folder: Path, tmp_path: Path) -> None:
    """A tree is verified without a list of checksums: by the digest of the published split."""
    games = load_games(official_folder, "valid_seen")
    for game in games:
        folder = tmp_path / "json_2.1.1" / "valid_seen" / game.id
        folder.mkdir(parents=True)
        (folder / "game.tw-pddl").write_text(json.dumps(game.engine_data()), newline="")
    found = load_games(tmp_path, "valid_seen", checksums=True)
    assert sorted(found, key=lambda game: game.id) == sorted(games, key=lambda game: game.id)
    write_games(found, tmp_path / "packed")
    assert load_games(tmp_path / "packed", "valid_seen", checksums=True) == found

    changed = next(tmp_path.rglob("game.tw-pddl"))
    changed.write_text(changed.read_text().replace("go to", "run to"))
    with pytest.raises(GameStoreError, match="not byte for byte"):
        load_games(tmp_path, "valid_seen", checksums=True)
    shutil.rmtree(changed.parent)
    with pytest.raises(GameStoreError, match="has 139 games, but 140 belong to it"):
        load_games(tmp_path, "valid_seen")
