"""Figures and lines are made from plain metrics; their content is checked where it is text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from PIL import Image

from skill0.curriculum import CurriculumChange, Helpfulness
from skill0.training import report
from skill0.training.terminal import round_table, step_line

CHANGE = CurriculumChange(
    step=4,
    stage=2,
    budget=1,
    kept=("heat",),
    withdrawn=("cool",),
    reasons={"heat": "kept: rank 1 of 1", "cool": "withdrawn: Delta -0.1 is not above 0"},
    helpfulness={
        "heat": Helpfulness("heat", 0.75, 0.5, 0.25, 8),
        "cool": Helpfulness("cool", 0.4, 0.5, -0.1, 8),
    },
)


def test_the_metrics_table_has_a_row_per_line_and_null_for_what_is_missing(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "success": 0.5}\n\n{"step": 2, "loss": 0.1}\n')
    rows = report.read_metrics(tmp_path / "metrics.jsonl")
    report.write_parquet(rows, tmp_path / "metrics.parquet")
    table = pandas.read_parquet(tmp_path / "metrics.parquet")
    assert list(table["step"]) == [1, 2]
    assert table["loss"].isna().tolist() == [True, False]


def test_the_figures_are_pictures(tmp_path: Path):
    report.curriculum_figure(["heat", "cool"], (2, 1, 0), [CHANGE], 9, tmp_path / "curriculum.png")
    rows = [{"step": 3, report.PROBE_WITH: 0.6, report.PROBE_WITHOUT: 0.2, "success": 0.4}]
    rates = {"with skills": 0.7, "without skills": 0.1}
    report.success_figure(rows, rates, rates, 9, tmp_path / "success.png")
    for name in ("curriculum.png", "success.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 500
            assert len(picture.convert("RGB").getcolors(100_000) or []) > 10


@pytest.mark.parametrize(
    ("form", "ends"), [("set", "minus without skills)"), ("marginal", "minus without the file)")]
)
def test_the_figure_says_what_helpfulness_is_measured_against(
    form: str, ends: str, tmp_path: Path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(report, "_save", lambda figure, path: drawn.append(figure))
    measured = {name: replace(item, form=form) for name, item in CHANGE.helpfulness.items()}
    change = replace(CHANGE, helpfulness=measured)
    report.curriculum_figure(["heat", "cool"], (2, 1, 0), [change], 9, tmp_path / "curriculum.png")
    [figure] = drawn
    assert figure.axes[1].get_ylabel().endswith(ends)
    report._pyplot().close(figure)


def test_a_step_is_told_in_one_line():
    logs = {
        "curriculum/stage": 2.0, "curriculum/active_files": 1.0, "curriculum/budget": 3.0, "success": 0.5,
        "reward": 0.4, "invalid_share": 0.0, "context/text_tokens": 120.4, "context/visual_tokens": 56.0,
    }  # fmt: skip
    assert step_line(7, logs) == (
        "step   7 | stage 2 | 1 of at most 3 files | success 0.50 | invalid 0.00 | tokens 120 + 56"
    )


def test_a_round_of_the_curriculum_names_every_file_its_fate_and_the_reason():
    table = round_table(CHANGE)
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["heat", "cool"]
    assert cells[3] == ["0.25", "-0.10"]
    assert cells[4] == ["kept", "withdrawn"]
    assert cells[5] == ["rank 1 of 1", "Delta -0.1 is not above 0"]
