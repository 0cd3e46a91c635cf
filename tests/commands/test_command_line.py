"""The `skill0` command: evaluation by the random policy, and errors as messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skill0 import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_the_random_policy_plays_every_household_once_in_both_arms(tmp_path: Path):
    pytest.importorskip("alfworld")
    report = tmp_path / "report.json"
    options = [
        "--tasks",
        "6",
        "--workers",
        "0",
        "--skills",
        str(ROOT / "skills/household"),
        "--json",
        str(report),
    ]
    result = CliRunner().invoke(cli.app, ["evaluate", "random", *options])
    assert result.exit_code == 0, result.output
    arms = json.loads(report.read_text(encoding="utf-8"))["arms"]
    assert set(arms) == {"without skills", "with skills"}
    assert len({item["task_id"] for item in arms["with skills"]["outcomes"]}) == 6
    # A policy that does not look at its context does the same in both arms.
    outcomes = [[item["outcome"] for item in arm["outcomes"]] for arm in arms.values()]
    assert outcomes[0] == outcomes[1]


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["facts", "procedure"])
def test_the_reading_check_gives_every_household_a_convention_of_its_own(tmp_path: Path, kind: str):
    pytest.importorskip("alfworld")
    arms = {}
    for seed in ("7", "8"):
        report = tmp_path / f"{seed}.json"
        options = ["--arms", "right,wrong,blank", "--tasks", "6", "--kind", kind, "--workers", "0"]
        options += ["--seed", seed, "--json", str(report)]
        result = CliRunner().invoke(cli.app, ["evaluate", "random", *options])
        assert result.exit_code == 0, result.output
        arms[seed] = json.loads(report.read_text(encoding="utf-8"))["arms"]
    names = ["right page", "wrong page", "blank page", "random", "blind expert"]
    assert list(arms["7"]) == list(arms["8"]) == names
    rate = arms["7"]["right page"]["summary"]["success"]
    assert (rate["tasks"], rate["low"]) == (6, 0.0)
    # Fresh households with every seed.
    played = [{o["task_id"] for o in arms[seed]["right page"]["outcomes"]} for seed in arms]
    assert not played[0] & played[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.yaml"], "ConfigError: nowhere.yaml: no such recipe"),
        (["evaluate", "no-such-model", "--tasks", "6"], "neither a model folder, a Hub name, nor 'random'"),
        (["evaluate", "random", "--games", "nowhere"], "GameStoreError"),
        (["evaluate", "random", "--arms", "right,left", "--tasks", "1"], "'left' is no arm of the reading"),
        (["evaluate", "random", "--arms", "right", "--skills", "skills/household"], "leave out --games and"),
        (["evaluate", "random", "--kind", "palace"], "kind must be one of facts, procedure"),
        (["evaluate", "random", "--server-form", "json"], "--server-form means nothing with --env alfworld"),
        (["evaluate", "scripted", "--env", "search", "--games", "x"], "--games means nothing with --env sea"),
        (["evaluate", "random", "--env", "webshop"], "must be one of alfworld, search, almanac"),
        (["evaluate", "shipped/castle"], "'shipped/castle' does not come with skill0"),
        (["warmup", "nowhere.yaml", "--output", "x"], "ConfigError: nowhere.yaml: no such recipe"),
        (
            ["evaluate", "random", "--env", "almanac"],
            "ConfigError: 'random' picks one of the possible commands",
        ),
        (["warmup", "curricula/alfworld_3b.yaml", "--output", "x"], "only a tiny policy is warmed up"),
        (["data", "export-sft", "curricula/alfworld_3b.yaml", "docs"], "docs is there already"),
        (["skills", "show", "nowhere"], "SkillError"),
    ],
)
def test_an_error_is_one_message_and_exit_code_2(arguments: list[str], message: str):
    found = subprocess.run(
        [sys.executable, "-m", "skill0", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
