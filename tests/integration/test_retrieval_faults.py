"""Searches while answers fail and the server is killed: each is answered rightly or reported, none lost."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from retrieval_faults import run_scenario

from skill0.retrieval.http_client import HttpSettings

pytestmark = pytest.mark.integration


def test_all_queries_are_answered_while_a_third_fails_and_the_server_restarts():
    """Of the ten attempts of a call one may meet the kill, none the restart; the others fail together once
    in fifty thousand calls."""
    settings = HttpSettings(read_timeout_s=1.0, backoff_s=0.1, backoff_most_s=4.0)
    outcome = run_scenario(queries=160, passages=200, share=0.3, restarts=1, settings=settings)
    assert (outcome.right, outcome.wrong, outcome.reported, outcome.lost) == (160, 0, 0, 0)
    assert outcome.counts["retries"] > 5, "nothing failed"
    assert not _faulty_servers()


def test_what_cannot_be_answered_is_reported():
    """One attempt each: calls that meet a fault are reported, and none of the others is wrong."""
    settings = HttpSettings(attempts=1, read_timeout_s=1.0)
    outcome = run_scenario(queries=80, passages=200, share=0.5, restarts=0, settings=settings, per_call=1)
    assert outcome.reported > 10
    assert outcome.right > 10
    assert (outcome.wrong, outcome.lost) == (0, 0)
    assert not _faulty_servers()


def _faulty_servers() -> list[psutil.Process]:
    """Children of this process that serve, which the scenario should have ended. Those of other tests in it
    (a pool's workers, a tracker of multiprocessing's) are none of ours."""
    return [child for child in psutil.Process().children(recursive=True) if _serves(child)]


def _serves(child: psutil.Process) -> bool:
    try:
        return any("retrieval_faults.py" in part for part in child.cmdline())
    except psutil.NoSuchProcess:  # ended, waited for or not
        return False
