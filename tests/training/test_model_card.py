"""The model card says what the report says."""

from __future__ import annotations

from typing import Any

from skill0.agent import AgentSettings
from skill0.training.model_card import model_card


def report(**changes: Any) -> dict[str, Any]:
    made = {
        "command": "skill0 warmup curricula/x.yaml --output out --seed 3",
        "warmup_sha256": "f00d",
        "seed": 3,
        "threads": 1,
        "seconds": {"demonstrations": 20.4, "learning": 700.0},
        "parameters": 1_137_000,
        "tokens": 511,
        "demonstrations": {
            "episodes": 5,
            "turns": 40,
            "played": {"all": 3, "none": 3},
            "won": {"all": 3, "none": 2},
        },
        "learning": {"steps": 7, "seconds": 700.0, "curve": []},
        "check": None,
        "versions": {"python": "3.11.7", "torch": "2.13"},
        "settings": {"environment": {"games": None}},
    }
    return {**made, **changes}


def test_it_tells_command_seed_size_time_versions_and_digest():
    card = model_card(report(), AgentSettings())
    for words in (
        "license: apache-2.0", "1.14 M parameters, 511 tokens", "all 3 of 3, none 2 of 3", "7 optimizer",
        "skill0 warmup curricula/x.yaml --output out --seed 3", "Seed 3; threads: 1; demonstrations 20 s",
        "`f00d`", "python 3.11.7, torch 2.13", "Not measured when these weights were made", "cell 6x12",
    ):  # fmt: skip
        assert words in card, words


def test_a_reading_check_becomes_a_table():
    rate = {"successes": 9, "tasks": 10, "rate": 0.9, "low": 0.596, "high": 0.982}
    check = {"games": 10, "seed": 3, "split": "reading", "success": {"right page": rate}}
    card = model_card(report(check=check), AgentSettings())
    assert "10 held-out households (split `reading`, seed 3)" in card
    assert "| right page | 90.0 % | [59.6, 98.2] |" in card


def test_official_games_have_no_pages_to_read():
    card = model_card(report(settings={"environment": {"games": "store"}}), AgentSettings())
    assert "ALFWorld's official games" in card
    assert "pages of facts" not in card
