"""Episodes played by worker processes while their search server fails and is killed: all are scored as they
are in process, and none is lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from retrieval_episodes import run_episodes

from skill0.retrieval.http_settings import HttpSettings

pytestmark = pytest.mark.integration


def test_no_episode_is_scored_wrong_and_none_is_lost():
    """With the settings as they come, but for answers of three seconds, which are not waited for."""
    played = run_episodes(48, 200, share=0.3, restarts=2, settings=HttpSettings(read_timeout_s=1.0))
    assert (played.same, played.wrong, played.lost) == (48, 0, {})
    assert played.restarts == 2
    assert 5 < played.won < 43, "rewards of both kinds were compared"


def test_what_is_lost_is_counted_and_not_scored():
    """One attempt and hardly any patience: what fails is an infrastructure outcome, the others are right."""
    impatient = HttpSettings(read_timeout_s=1.0, attempts=1, patience_s=0.2)
    played = run_episodes(32, 200, share=0.7, restarts=0, settings=impatient)
    assert set(played.lost) == {"raised"}, "no worker was killed"
    assert played.wrong == 0
    assert played.same + played.lost.total() == 32
