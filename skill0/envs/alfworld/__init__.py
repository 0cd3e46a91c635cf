"""The ALFWorld text engine: games from the official splits or generated households, one interface.

Needs the extra `alfworld`. Names are imported when first used; only playing a game imports the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skill0.envs.alfworld.env import AlfWorldEnv, AlfWorldEnvFactory
    from skill0.envs.alfworld.games import PROCEDURE_TASK_TYPES, TASK_TYPES, Game, sample_games, tasks_from
    from skill0.envs.alfworld.households import (
        Convention,
        HouseholdSettings,
        generate_game,
        generate_games,
        sample_convention,
    )
    from skill0.envs.alfworld.replay import ReplayResult, replay_games
    from skill0.envs.alfworld.store import find_splits, load_games, write_games
    from skill0.envs.alfworld.translation import default_cache_dir

_HOMES = {
    "PROCEDURE_TASK_TYPES": "games",
    "TASK_TYPES": "games",
    "AlfWorldEnv": "env",
    "AlfWorldEnvFactory": "env",
    "Convention": "households",
    "Game": "games",
    "HouseholdSettings": "households",
    "ReplayResult": "replay",
    "default_cache_dir": "translation",
    "find_splits": "store",
    "generate_game": "households",
    "generate_games": "households",
    "load_games": "store",
    "replay_games": "replay",
    "sample_convention": "households",
    "sample_games": "games",
    "tasks_from": "games",
    "write_games": "store",
}

__all__ = [
    "PROCEDURE_TASK_TYPES",
    "TASK_TYPES",
    "AlfWorldEnv",
    "AlfWorldEnvFactory",
    "Convention",
    "Game",
    "HouseholdSettings",
    "ReplayResult",
    "default_cache_dir",
    "find_splits",
    "generate_game",
    "generate_games",
    "load_games",
    "replay_games",
    "sample_convention",
    "sample_games",
    "tasks_from",
    "write_games",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'skill0.envs.alfworld' has no attribute {name!r}")
    return getattr(import_module(f"skill0.envs.alfworld.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
