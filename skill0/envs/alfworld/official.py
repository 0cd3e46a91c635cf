"""The official games as alfworld's own download leaves them: a tree of `game.tw-pddl` files.

    $ALFWORLD_DATA/json_2.1.1/<split>/<task type>-<object>-<receptacle>-.../<trial>/game.tw-pddl

As in alfworld, folders of sliced objects and movable receptacles and games marked unsolvable are not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skill0.envs.alfworld.games import TASK_TYPES, Game, split_grammar
from skill0.envs.alfworld.upstream import read_text
from skill0.errors import GameError, GameStoreError

GAME_FILE = "game.tw-pddl"
_DATA_FOLDER = "json_2.1.1"

# Games of each split as published (release 0.4.0), and the SHA-256 over "<sha256>  <id>\n" of all its files
# in order of id.
OFFICIAL_COUNTS = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
OFFICIAL_DIGESTS = {
    "train": "70bbb2219345b11bd914b22421e752c9121576ec0967b0a8c4c19549dcb546d7",
    "valid_seen": "66cb45c6e5906d6832ee72991eed1f4bf1ecb286ce4813efb0d75c512cb0306a",
    "valid_unseen": "082fffa43ee3b6fb320e9b041b3820e2aabbecef423f0176ddaae7628275672c",
}


@dataclass(frozen=True)
class GameTree:
    """Reads such a tree; `folder` is $ALFWORLD_DATA or the json_2.1.1 folder in it."""

    folder: Path

    @cached_property
    def root(self) -> Path:
        inside = self.folder / _DATA_FOLDER
        return inside if inside.is_dir() else self.folder

    @cached_property
    def splits(self) -> tuple[str, ...]:
        folders = (path for path in self.root.iterdir() if path.is_dir())
        return tuple(sorted(path.name for path in folders if next(path.glob(f"*/*/{GAME_FILE}"), None)))

    def expected_count(self, split: str) -> int | None:
        return OFFICIAL_COUNTS.get(split)

    def checksums(self, split: str) -> dict[str, str] | None:
        return None

    def games(self, split: str) -> Iterator[Game]:
        """The games in order of path.

        Raises:
            GameStoreError: a file is corrupt (named).
        """
        shared: dict[str, str] = {}  # one copy of the domain and of the grammar for all games
        for path in sorted((self.root / split).glob(f"*/*/{GAME_FILE}")):
            name = f"{path.parent.parent.name}/{path.parent.name}"
            if "movable" not in name and "Sliced" not in name:
                game = _read_game(path, name, split, shared)
                if game is not None:
                    yield game


def _read_game(path: Path, name: str, split: str, shared: dict[str, str]) -> Game | None:
    """The game of one file, or `None` when it is marked unsolvable."""
    task_type = name.partition("-")[0]
    if task_type not in TASK_TYPES:
        raise GameStoreError(f"{path}: the folder's name does not start with a task type ({task_type!r})")
    try:
        data = json.loads(read_text(path))
        if not data["solvable"]:
            return None
        template, instruction = split_grammar(data["grammar"])
        domain, problem, plan = data["pddl_domain"], data["pddl_problem"], tuple(data["walkthrough"])
    except (OSError, ValueError, KeyError, TypeError, GameError) as error:
        raise GameStoreError(
            f"{path}: not a game file ({type(error).__name__}: {error}); "
            "fetch it again with alfworld-download -f"
        ) from error
    domain, template = shared.setdefault(domain, domain), shared.setdefault(template, template)
    return Game(name, split, task_type, instruction, problem, plan, domain, template)


def digest_of(games: Iterable[Game]) -> str:
    """The digest that `OFFICIAL_DIGESTS` lists."""
    lines = (f"{game.sha256}  {game.id}\n" for game in sorted(games, key=lambda game: game.id))
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()
