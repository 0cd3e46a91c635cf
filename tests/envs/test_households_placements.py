"""The counts behind the location priors: the counting itself, and that the shipped file is what it gives."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from skill0.envs.alfworld.placements import placements

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SKILL0_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="module")
def counting():
    spec = importlib.util.spec_from_file_location(
        "count_placements", REPOSITORY / "examples" / "count_placements.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROBLEM = """
(define (problem p) (:domain alfred)
(:init
  (receptacleType Cabinet_bar_1 CabinetType) (receptacleType Cabinet_bar_2 CabinetType)
  (receptacleType Desk_bar_1 DeskType) (openable Cabinet_bar_1)
  (objectType Mug_bar_1 MugType) (objectType Mug_bar_2 MugType) (objectType Window_bar_1 WindowType)
  (pickupable Mug_bar_1) (pickupable Mug_bar_2) (heatable Mug_bar_1)
  (inReceptacle Mug_bar_1 Cabinet_bar_2) (inReceptacle Mug_bar_2 Desk_bar_1)
  (sliceable Mug_bar_1_bar_MugSliced_0)
  (canContain CabinetType MugType) (canContain DeskType MugType)
)
(:goal (and )))
"""


def test_counting_by_hand(counting):
    """Two games of one kitchen, one of a bedroom: objects count per game, furniture per scene."""
    ids = ["a-Mug-None-Desk-3/t1", "b-Mug-None-Desk-3/t2", "c-Mug-None-Desk-301/t1"]
    content = counting.count((game_id, PROBLEM) for game_id in ids)
    assert content["games"] == 3
    assert content["scenes"]["kitchen"] == [{"Cabinet": 2, "Desk": 1}]
    assert content["scenes"]["bedroom"] == [{"Cabinet": 2, "Desk": 1}]
    assert content["scenes"]["living"] == []
    assert content["openable"] == {"Cabinet": 0.5}
    assert content["accepts"] == {"Cabinet": ["Mug"], "Desk": ["Mug"]}
    assert content["objects"] == {
        "Mug": {
            "affordances": ["heatable", "pickupable"],
            "rooms": {"kitchen": 4, "bedroom": 2},
            "found": {"Cabinet": 3, "Desk": 3},
        }
    }
    assert '"Cabinet": [ "Mug" ]' in counting.to_json(content)


def test_the_shipped_counts():
    counted = placements()
    assert counted.objects["mug"].affordances == (
        "cleanable", "coolable", "heatable", "isReceptacleObject", "pickupable"
    )  # fmt: skip
    assert counted.objects["mug"].found["countertop"] == 1055
    assert counted.pddl["sinkbasin"] == "SinkBasin"
    assert {room: len(scenes) for room, scenes in counted.scenes.items()} == {
        "kitchen": 27, "living": 27, "bedroom": 27, "bathroom": 27
    }  # fmt: skip
    assert counted.can_hold("desk", "mug")
    assert not counted.can_hold("bed", "mug")
    # A lamp is not picked up, so it stands where lamps were found.
    assert counted.can_hold("desk", "desklamp")
    assert not counted.can_hold("fridge", "desklamp")


@pytest.mark.integration
@pytest.mark.skipif(not (SHARED / "data/alfworld/train.jsonl.xz").exists(), reason="no official games here")
def test_the_shipped_file_is_what_the_train_games_give(counting):
    from skill0.envs.alfworld import load_games

    games = load_games(SHARED / "data/alfworld", "train")
    content = counting.to_json(counting.count((game.id, game.problem) for game in games))
    shipped = REPOSITORY / "skill0/envs/alfworld/placements.json"
    assert content == shipped.read_text(encoding="utf-8")
