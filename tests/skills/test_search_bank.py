"""The bank for Search-QA: five files in canonical form, one for each task type and a general one."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from skill0.cli import app
from skill0.envs.search import TASK_TYPES, Question, tasks_from
from skill0.skills import SkillBank, group_by_relevance, lint, skills_in_context, write_markdown

SEARCH = Path(__file__).parents[2] / "skills" / "search"


def test_every_task_type_is_served_by_the_file_of_its_name():
    bank = SkillBank.load(SEARCH, task_types=TASK_TYPES)
    assert bank.names == ("general", *TASK_TYPES)
    tasks = tasks_from([Question(kind, "Who?", ("X",), "test", kind) for kind in TASK_TYPES])
    grouping = group_by_relevance(bank, tasks)
    for kind in TASK_TYPES:
        assert [file.name for file in skills_in_context(bank, grouping, bank.names, kind)] == [
            "general",
            kind,
        ]


def test_files_are_as_the_writer_would_write_them(tmp_path: Path):
    for path in write_markdown(SkillBank.load(SEARCH), tmp_path):
        assert path.read_text() == (SEARCH / path.name).read_text()


def test_nothing_is_found_and_no_engine_is_needed():
    assert lint(SkillBank.load(SEARCH), []) == []
    result = CliRunner().invoke(app, ["skills", "lint", str(SEARCH)])
    assert result.exit_code == 0, result.output
    assert "5 files, 30 skills against 0 live commands of 0 games: 0 finding(s)" in result.output
