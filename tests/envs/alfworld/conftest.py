"""What the tests of this folder play: generated households always, official games where they are at hand."""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

import pytest

from skill0.envs.alfworld import Game, generate_games


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the extra `alfworld` there is neither an engine nor the domain of generated games."""
    if util.find_spec("alfworld") is not None and util.find_spec("textworld") is not None:
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs the extra 'alfworld'"))


@pytest.fixture(scope="session")
def six_games() -> list[Game]:
    """One small household of each task type, in the order of `TASK_TYPES`."""
    return generate_games(6, seed=7, split="tests")


@pytest.fixture(scope="session")
def official_folder() -> Path:
    """The official games in the packed form: `$SKILL0_SHARED/data/alfworld`, or ../shared beside the
    repository."""
    repository = Path(__file__).parents[3]
    shared = Path(os.environ.get("SKILL0_SHARED") or repository.parent / "shared")
    folder = shared / "data" / "alfworld"
    if not folder.is_dir():
        pytest.skip(f"no official games in {folder}; set SKILL0_SHARED")
    return folder
