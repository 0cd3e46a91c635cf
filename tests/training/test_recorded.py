"""Figures of the study, shown beside a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skill0.errors import ConfigError
from skill0.training.recorded import RecordedArm, recorded_arms

MEAN = {"mean": 0.61, "low": 0.402, "high": 0.818, "seeds": 3}
RECORD = {
    "arms": {
        "plain_grpo": {"seeds": [0, 1, 4], "success": {"without skills": {"after": {"over_seeds": MEAN}}}}
    }
}


def test_a_record_is_read_and_told_in_per_cent(tmp_path: Path):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(RECORD))
    (found,) = recorded_arms(path)
    assert found == RecordedArm("plain_grpo", "without skills", "after", 0.61, 0.402, 0.818, (0, 1, 4))
    assert found.mean_text == "61.0 [40.2, 81.8]"
    # One more seed: sqrt(3 + 1) = 2 times as wide as the mean, 61.0 +- 41.6, and no share is above 1.
    assert found.another_text == "[19.4, 100.0]"
    assert found.command == "python benchmarks/internalization.py plain_grpo --seeds 0 1 4"


def test_one_seed_has_no_interval():
    found = RecordedArm("plain_grpo", "without skills", "after", 0.5, None, None, (0,))
    assert (found.mean_text, found.another_text) == ("50.0", "one seed only")


@pytest.mark.parametrize("content", ["{", "[]", '{"arms": []}', '{"arms": {"default": {}}}'])
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "study.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"study\.json is no record"):
        recorded_arms(path)


def test_a_missing_record_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"write it with python benchmarks/internalization\.py --json"):
        recorded_arms(tmp_path / "study.json")
