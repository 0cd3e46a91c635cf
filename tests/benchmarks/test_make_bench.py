"""`make bench` with stand-ins for the programs: one that misses a figure keeps none of the others away."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")


def make_bench(folder: Path, failing: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What `make bench` ends with, and the commands that ran; those that say `failing` end with code 1."""
    programs, ran = folder / "bin", folder / "ran"
    programs.mkdir()
    for name in ("python", "skill0"):
        script = f'#!/bin/sh\necho "$@" >> {ran}\ncase "$*" in *{failing}*) exit 1;; esac\n'
        (programs / name).write_text(script, encoding="utf-8")
        (programs / name).chmod(0o755)
    (programs / ".skill0-ready").touch()  # newer than what it is made from: nothing is set up
    command = ["make", "-C", str(ROOT), "bench", f"VENV={folder}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done, ran.read_text(encoding="utf-8").splitlines()


def test_all_benchmarks_run_and_those_that_miss_are_named(tmp_path):
    done, ran = make_bench(tmp_path, failing="retrieval.py")
    assert done.returncode != 0
    assert "a figure is not reached: bench-retrieval\n" in done.stdout
    after = ran[ran.index("benchmarks/retrieval.py") + 1 :]
    assert after == ["benchmarks/retrieval_http.py", "evaluate scripted --env search"]


def test_where_all_figures_are_reached_it_ends_well(tmp_path):
    done, ran = make_bench(tmp_path, failing="nothing-of-that-name")
    assert done.returncode == 0, done.stderr
    assert len(ran) == len(set(ran)) == 12
