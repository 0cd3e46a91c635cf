"""`skill0 skills show|lint|household|convert`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skill0.commands.skills import app
from skill0.errors import SkillError
from skill0.skills import Skill, SkillBank, SkillFile, write_markdown

SKILLS = Path(__file__).parents[2] / "skills"


def run(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result


def test_show_prints_skills_digest_and_grouping():
    output = run("show", SKILLS / "alfworld").output
    bank = SkillBank.load(SKILLS / "alfworld")
    assert bank.digest in output
    assert "Which skill file serves which task type" in output
    for file in bank:
        assert f"{file.name}: {file.title}" in output
        assert all(skill.title in output for skill in file.skills)


def test_convert_to_agent_skills_and_back(tmp_path: Path):
    bank = SkillBank.load(SKILLS / "household")
    output = run("convert", SKILLS / "household", tmp_path / "agent", "--to", "agent-skills").output
    assert f"6 files written to {tmp_path / 'agent'}, digest {bank.digest}" in output
    assert (tmp_path / "agent/pick-and-place/SKILL.md").is_file()
    run("convert", tmp_path / "agent", tmp_path / "markdown", "--to", "markdown")
    for path in (SKILLS / "household").glob("*.md"):
        assert (tmp_path / "markdown" / path.name).read_bytes() == path.read_bytes()


def test_the_bank_of_a_households_convention_is_written_by_a_command(tmp_path: Path):
    """`skills/household` is the bank of convention 0, and no other convention's."""
    run("household", tmp_path / "zero")
    run("household", tmp_path / "one", "--convention-seed", 1)
    bank = SkillBank.load(SKILLS / "household")
    assert SkillBank.load(tmp_path / "zero").digest == bank.digest
    assert SkillBank.load(tmp_path / "one").digest != bank.digest


def test_what_a_lenient_reader_lets_pass_is_printed(tmp_path: Path):
    path = tmp_path / "tidy/SKILL.md"
    path.parent.mkdir()
    path.write_text("---\nname: Tidy\ndescription: d\n---\nPut it away.\n")
    with pytest.raises(SkillError, match="must be lower case"):
        run("show", tmp_path)
    result = run("show", tmp_path, "--lenient")
    assert "warning: " in result.output
    assert "must be lower case" in result.output


@pytest.mark.integration
def test_lint_plays_games_and_exits_with_1_on_a_finding(tmp_path: Path):
    pytest.importorskip("alfworld")
    assert "0 finding(s)" in run("lint", SKILLS / "alfworld", "--games-per-type", 1).output
    skills = tuple(Skill(f"{number}", "Say `put OBJECT in RECEPTACLE`.", "Always") for number in range(4))
    write_markdown(SkillBank((SkillFile("old", "Old", skills, ("*",), "Old."),)), tmp_path)
    output = run("lint", tmp_path, "--games-per-type", 1, expect=1).output
    assert f"{tmp_path / 'old.md'}:10: '0': `put OBJECT in RECEPTACLE` is no command on offer" in output
    assert "4 finding(s)" in output


def test_the_commands_import_nothing_heavy_before_they_run():
    import subprocess

    code = (
        "import sys, skill0.commands.skills, skill0.skills\n"
        "print({'torch', 'alfworld', 'textworld', 'snowballstemmer', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
