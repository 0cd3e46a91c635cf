"""The tiny policy, made once for all tests of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def colours_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from colours import make_policy

    folder = tmp_path_factory.mktemp("colours") / "policy"
    make_policy(folder)
    return folder
