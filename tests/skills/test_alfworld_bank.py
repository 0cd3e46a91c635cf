"""The bank for the official games: complete, in canonical form, and in the engine's own command language."""

from __future__ import annotations

from pathlib import Path

import pytest

from skill0.skills import SkillBank, lint, write_markdown

ALFWORLD = Path(__file__).parents[2] / "skills" / "alfworld"
TASK_TYPES = {
    "pick_and_place_simple": "pick_and_place",
    "pick_two_obj_and_place": "pick_and_place",
    "look_at_obj_in_light": "look_at_obj_in_light",
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
}


def test_six_files_serve_the_six_task_types():
    bank = SkillBank.load(ALFWORLD, task_types=TASK_TYPES)
    assert bank.names == ("general", *dict.fromkeys(TASK_TYPES.values()))
    for task_type, name in TASK_TYPES.items():
        assert [file.name for file in bank if task_type in file.task_types] == [name]


def test_files_are_as_the_writer_would_write_them(tmp_path: Path):
    for path in write_markdown(SkillBank.load(ALFWORLD), tmp_path):
        assert path.read_text() == (ALFWORLD / path.name).read_text()


def test_nothing_to_find_before_any_command_is_known():
    assert lint(SkillBank.load(ALFWORLD), []) == []


@pytest.mark.integration
def test_every_command_named_is_one_that_the_live_engine_offers():
    pytest.importorskip("alfworld")
    from skill0.commands.skills import live_commands
    from skill0.envs.alfworld import HouseholdSettings, generate_games

    games = [
        *generate_games(6, seed=0),
        *generate_games(6, seed=0, settings=HouseholdSettings(size="medium")),
    ]
    commands = live_commands(games)
    assert "take" in {command.split()[0] for command in commands}
    for name in ("alfworld", "household"):
        assert lint(SkillBank.load(ALFWORLD.parent / name), commands) == []
