"""Training runs of tests/training/colours.py and colours_processes.py in processes of their own."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "training" / "colours.py"
LIMIT_S = 800


def run(*arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), str(PROGRAM), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@cache
def policy() -> Path:
    """The tiny policy, made once for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="colours"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = run("policy", str(folder / "policy"))
    assert made.returncode == 0, made.stderr[-4000:]
    return folder / "policy"


def train(folder: Path, *, processes: int = 1, dies: bool = False, **settings: Any) -> dict[str, Any]:
    """Trains with these settings; returns what the run left behind, or its exit code if it is to die."""
    folder.mkdir(parents=True, exist_ok=True)
    where = {"policy": str(policy()), "output_dir": str(folder / "run"), "results": str(folder / "results")}
    (folder / "settings.json").write_text(json.dumps({**settings, **where}))
    found = run("train", str(folder / "settings.json"), processes=processes)
    if dies:
        return {"returncode": found.returncode}
    assert found.returncode == 0, found.stderr[-4000:]
    results = json.loads((folder / "results.json").read_text())
    assert results["processes"] == processes
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return {**results, "parameters": torch.load(folder / "results.pt"), "rows": rows}


def plan_of(folder: Path, runs: dict[str, Any]) -> list[str]:
    """The program that plays these runs, each in a folder of its own."""
    file = folder / "plan.json"
    file.write_text(json.dumps({"policy": str(policy()), "folder": str(folder), "runs": runs}))
    return [str(PROGRAM.with_name("colours_processes.py")), str(file)]


def launch(way: str, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` as the docs tell it, with a limit in time."""
    return subprocess.run(
        **launching(way, *command, **variables), capture_output=True, text=True, timeout=LIMIT_S
    )


def launching(way: str, *command: str, **variables: str) -> dict[str, Any]:
    """Command line and environment of `accelerate launch`."""
    file = str(ROOT / f"examples/accelerate/{way}.yaml")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore",
        "DS_ACCELERATOR": "cpu", **variables,
    }  # fmt: skip
    return {"args": [*launcher, "--config_file", file, *command], "env": environment}


def nobody_is_left(group: int) -> bool:
    """Whether a process group ends within seconds: Python's helpers see that their parent is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
