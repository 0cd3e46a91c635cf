"""Fixtures for all tests: the shared data when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and slow at times: an example that takes long is no failure. Every run draws the same
# examples; `pytest -m hypothesis --hypothesis-profile=explore` draws others each time, and more.
settings.register_profile("skill0", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("skill0")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with official games and other real data; tests that need it are skipped without."""
    place = Path(os.environ.get("SKILL0_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"no shared data at {place} (set SKILL0_SHARED)")
    return place / "data"
