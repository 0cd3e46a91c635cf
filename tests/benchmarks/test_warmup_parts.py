"""The forms of the warm-up: equally long, differing in one thing; and one in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from warmup_parts import FORMS, chosen, learning, names_in_parts, without_status  # noqa: E402

from skill0.agent import AgentSettings  # noqa: E402
from skill0.errors import ConfigError  # noqa: E402
from skill0.training.warmup import WarmupSettings  # noqa: E402


def test_all_forms_learn_equally_long() -> None:
    settings = WarmupSettings(reading_steps=250, acting_steps=750)
    assert {learning(settings, form, 0.5).steps for form in FORMS.values()} == {500}
    assert learning(settings, FORMS["no_reading_stage"], 0.5).acting_steps == 500
    assert learning(settings, FORMS["no_naming"], 0.5).naming_weight == 0


def test_names_in_parts_keep_their_kind() -> None:
    assert names_in_parts(("cabinet", "cabinet 1", "cabinet 12", "go to ")) == ("cabinet", "go to ")


def test_without_the_status_line_the_observation_is_left() -> None:
    told = without_status(AgentSettings(template="household")).prompt_template.user
    assert "{status}" not in told
    assert "see: {observation}" in told


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ConfigError, match="no such form: no_vowels"):
        chosen(["whole", "no_vowels"])


def test_a_form_in_small_is_told_and_not_learnt_again(tmp_path: Path) -> None:
    small = ["--share", "0.004", "--games", "3", "--tasks", "2", "--output", str(tmp_path)]
    command = [sys.executable, str(ROOT / "benchmarks" / "warmup_parts.py"), "sentences", *small]
    first = subprocess.run(
        [*command, "--json", str(tmp_path / "found.json")], capture_output=True, text=True, timeout=600
    )
    assert first.returncode == 0, first.stderr[-4000:]
    found = json.loads((tmp_path / "found.json").read_text())["forms"]["sentences"]
    assert found["steps"] == 4
    assert set(found["success"]) == {"right page", "blank page", "wrong page", "random", "blind expert"}
    assert found["tokens_per_turn"][1] > 200  # sentences take several times the room of a table
    other = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, timeout=600)
    assert other.returncode == 2
    assert "choose another --output" in other.stderr
