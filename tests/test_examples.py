"""The examples run as they stand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_an_environment_of_ones_own_is_checked_and_evaluated():
    """The scripted agent opens one lock in three by chance, and all of them with the skill."""
    found = subprocess.run(
        [sys.executable, EXAMPLES / "add_your_env.py"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    row = next(line for line in found.stdout.splitlines() if line.strip(" │┃|").startswith("open_lock"))
    assert "33.3" in row
    assert "100.0" in row


@pytest.mark.parametrize("path", sorted((EXAMPLES / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_the_cells_of_a_notebook_run_in_order(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(path.parent)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["page"].visual_tokens > 0
