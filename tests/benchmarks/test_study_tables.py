"""Tables, figures and verdicts over made-up runs whose figures are known."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import internalization
from study.arms import DEFAULT, PLAIN, PUBLISHED, RANDOM_RANK, all_arms
from study.curriculum_tables import helpfulness_table, withdrawals_table
from study.figures import compared, draw
from study.finished import Run, finished_folders
from study.table import Table
from study.tables import on_the_way_table, seeds_table, success_table, tables
from study.verdicts import DOES_NOT, HOLDS, UNDECIDED, rise_and_fall, verdicts

from skill0.curriculum import Curriculum, Helpfulness
from skill0.evaluation import ArmReport, EvaluationReport, TaskOutcome
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.training.summary import RANDOM


def report(without: int, with_skills: int, chance: int = 0) -> EvaluationReport:
    """Ten tasks in each arm, so many of them won. Won episodes go where the fact says, lost ones do not."""

    def arm(name: str, won: int) -> ArmReport:
        outcomes = tuple(
            TaskOutcome(
                f"task-{number}", "heat", (), "success" if number < won else "failure", 2, 0, 20, 8, 0.0,
                actions=("go to drawer 1" if number < won else "go to shelf 1",),
            )
            for number in range(10)
        )  # fmt: skip
        return ArmReport(name, outcomes)

    arms = (arm(WITHOUT, without), arm(WITH, with_skills), arm(RANDOM, chance))
    return EvaluationReport(arms=arms, seed=0, sampling={})


def made_up_run(
    arm: str, seed: int, without: int, with_skills: int, deltas: tuple[float, ...] = (), form: str = "set"
) -> Run:
    """Three rounds of 48 episodes at steps 4, 8 and 12, the second after a validation of 20."""
    curriculum = Curriculum(("heat", "cool"), total_steps=100, budgets=[2] * 100, filter="none", interval=1)
    for step, delta in enumerate(deltas, start=1):
        measured = {name: Helpfulness(name, delta, 0.0, delta, 10, form) for name in curriculum.active}
        curriculum.update(step, measured)
    rows = [
        {"step": step, "rollout/trajectories": 48.0, "infrastructure/count": 0.0, "groups/signal": 0.5}
        for step in (4, 8, 12)
    ]
    rows[1]["validation/episodes"] = 20.0
    return Run(
        arm=arm,
        seed=seed,
        results={
            "seconds": {"training": 60.0, "evaluation after": 60.0},
            "curriculum": [change.to_json() for change in curriculum.timeline],
        },
        before=report(1, 9, chance=2),
        after=report(without, with_skills),
        probes={0: report(1, 9), 8: report(without, with_skills)},
        rows=(*rows, {"step": 12, "train_runtime": 1.0}),
        helpfulness_from="paired" if arm == DEFAULT else "validation",
        shows_fact=lambda outcome: outcome.actions[0] == "go to drawer 1",
    )


def test_episodes_are_counted_from_the_log() -> None:
    run = made_up_run(PLAIN, 0, 5, 9)
    assert (run.episodes(), run.training_episodes, run.validation_episodes) == (164, 144, 20)
    assert run.episodes(8) == 116
    assert run.curve(WITHOUT) == [(0, 0.1), (116, 0.5)]
    assert run.first_move_curve() == [(0, 0.1), (116, 0.5)]
    assert run.chance_of_first_move.value == 0.2
    assert run.minutes == 2.0


def test_success_over_seeds_and_pooled() -> None:
    runs = {PLAIN: [made_up_run(PLAIN, seed, won, 9) for seed, won in enumerate((4, 5, 6))]}
    [row] = success_table(runs).rows
    # 0.5 +- 4.303 * 0.1 / sqrt(3), of another seed twice that; 15 of 30 is [33.2, 66.8] by Wilson; the gap is
    # 0.4 +- the same.
    assert row[2:5] == ("50.0 [25.2, 74.8]", "[0.3, 99.7]", "50.0 [33.2, 66.8]")
    assert row[-1] == "40.0 [15.2, 64.8]"
    [row] = on_the_way_table(runs).rows
    assert row[1] == "50.0 [50.0, 50.0]"
    assert row[5:] == ("10 + 4", "10 + 4", "1.0", "2.0")


def test_the_success_of_each_seed() -> None:
    runs = {PLAIN: [made_up_run(PLAIN, 0, 4, 9), made_up_run(PLAIN, 2, 6, 5)]}
    assert seeds_table(runs).rows == (
        (PLAIN, "0", "10.0", "40.0", "90.0", "90.0", "50.0"),
        (PLAIN, "2", "10.0", "60.0", "90.0", "50.0", "-10.0"),
    )


def test_verdicts_follow_from_the_runs() -> None:
    runs = [
        *(made_up_run(PLAIN, seed, 4 + seed % 2, 9) for seed in range(3)),
        *(made_up_run(DEFAULT, seed, 8 + seed % 2, 9, (0.2, 0.8, 0.1)) for seed in range(3)),
        *(made_up_run(PUBLISHED, seed, 2 + seed % 2, 9, (0.2, 0.8, 0.9)) for seed in range(3)),
    ]
    found = {verdict.ordering: verdict.verdict for verdict in verdicts(runs)}
    # Within a seed the default is always 0.4 above plain GRPO, published SKILL0 always 0.2 below.
    assert found["without skills, the default ends above plain GRPO"] == HOLDS
    assert found["without skills, published SKILL0 ends above plain GRPO"] == DOES_NOT
    # Means .433 and .833, each +- 4.303 * 0.0577 / sqrt(3) = .143.
    assert found["the intervals of the default and of plain GRPO do not overlap"] == HOLDS
    # Gaps of 0.1, 0.0 and 0.1 are not surely below 0.05.
    assert found["the default ends within 5 points of its own success with skills"] == UNDECIDED
    assert found["helpfulness rises, then falls (default)"] == HOLDS
    assert found["helpfulness rises, then falls (skill0)"] == DOES_NOT
    assert rise_and_fall(made_up_run(DEFAULT, 0, 8, 9, (0.2, 0.8, 0.1))) == pytest.approx((0.6, -0.7))
    assert rise_and_fall(made_up_run(DEFAULT, 0, 8, 9, (0.2, 0.8))) == (None, None)


def test_random_selection_is_held_against_published_skill0_and_plain_grpo() -> None:
    def arm(name: str, won: tuple[int, int, int]) -> list[Run]:
        return [made_up_run(name, seed, without, 9) for seed, without in enumerate(won)]

    # Within a seed 0.3 below SKILL0; plain GRPO less random: 0.2, 0.0 and -0.2.
    runs = [*arm(PLAIN, (5, 4, 3)), *arm(PUBLISHED, (6, 7, 8)), *arm(RANDOM_RANK, (3, 4, 5))]
    found = {verdict.ordering: verdict.verdict for verdict in verdicts(runs)}
    assert found["random selection collapses"] == HOLDS
    assert found["random selection ends below plain GRPO"] == UNDECIDED
    without_plain = {verdict.ordering for verdict in verdicts(runs[3:])}
    assert without_plain == {"random selection collapses", "helpfulness rises, then falls (skill0)"}


def test_helpfulness_says_in_which_form_it_was_measured() -> None:
    runs = {
        PUBLISHED: [made_up_run(PUBLISHED, 0, 5, 9, (0.2,))],
        DEFAULT: [made_up_run(DEFAULT, 0, 5, 9, (0.3,))],
        "marginal": [made_up_run("marginal", 0, 5, 9, (0.4,), "marginal")],
        PLAIN: [made_up_run(PLAIN, 0, 5, 9)],  # nothing measured: no row
    }
    assert [row for row in helpfulness_table(runs).rows if row[2] == "heat"] == [
        (PUBLISHED, "set, validation", "heat", "+20@1"),
        (DEFAULT, "set, paired", "heat", "+30@1"),
        ("marginal", "marginal, validation", "heat", "+40@1"),
    ]


def test_a_table_as_markdown() -> None:
    table = Table("Title", ("a", "b"), (("1", "2"),), "A note.")
    assert table.markdown() == "**Title.** A note.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_table_without_rows_is_left_out() -> None:
    """One arm that measures nothing: no helpfulness, no comparison of its two sources, no other arm."""
    runs = [made_up_run(PLAIN, 0, 5, 9)]
    assert [table.title for table in tables(runs, all_arms(), verdicts(runs))] == [
        "Arms",
        "Success before and after",
        "Success of each seed",
        "On the way",
        "Success without skills, over training",
        "Success with skills, over training",
        "First moves that show the fact, over training",
        "Success by task type, after",
    ]


def test_a_report_is_of_the_seeds_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (0, 1, 10):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "results.json").touch()
    (tmp_path / "seed-2").mkdir()  # not finished
    assert [folder.name for folder in finished_folders(tmp_path)] == ["seed-0", "seed-1", "seed-10"]
    assert [folder.name for folder in finished_folders(tmp_path, [1, 2])] == ["seed-1"]

    asked: list[list[int] | None] = []
    monkeypatch.setattr(internalization, "read_runs", lambda output, arms, seeds: asked.append(seeds) or [])
    for options in ([], ["--seeds", "3", "4"], ["--quick"]):
        monkeypatch.setattr(
            sys, "argv", ["internalization.py", "--report", "--output", str(tmp_path), *options]
        )
        assert internalization.main() == 0
    assert asked == [None, [3, 4], None]


def test_a_figure_with_room_for_few_arms_shows_those_that_all_are_held_against() -> None:
    assert compared(["full_bank", "half_bank"]) == ["full_bank", "half_bank"]
    assert compared([PLAIN, PUBLISHED, "paired_only", DEFAULT]) == [PLAIN, PUBLISHED, DEFAULT]
    assert compared(["a", "b", "c", "d"]) == ["a", "b", "c"]


def test_everything_is_told_and_drawn(tmp_path: Path) -> None:
    runs = [made_up_run(arm, seed, 5, 9, (0.2, 0.1)) for arm in (PLAIN, DEFAULT) for seed in (0, 1)]
    found = verdicts(runs)
    for table in tables(runs, all_arms(), found):
        assert all(len(row) == len(table.columns) for row in table.rows), table.title
        assert table.markdown().startswith(f"**{table.title}.**")
    assert [path.name for path in draw(runs, tmp_path, "small")] == [
        "small_curves.png", "small_bars.png", "small_helpfulness.png", "small_task_types.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_what_there_is_nothing_of_is_not_drawn(tmp_path: Path) -> None:
    """Helpfulness is drawn of published SKILL0 and the default, curves where there were probes."""
    run = replace(made_up_run(PLAIN, 0, 5, 9), probes={})
    assert [path.name for path in draw([run], tmp_path, "small")] == ["small_bars.png"]


def test_withdrawals_are_counted_over_seeds_by_their_reason() -> None:
    def run(seed: int) -> Run:
        made = made_up_run(PUBLISHED, seed, 5, 9)
        curriculum = Curriculum(("heat", "cool", "clean"), total_steps=3)  # budgets 3, 2, 0
        values = {"heat": 0.5, "cool": 0.3, "clean": -0.1 if seed else 0.1}
        measured = {name: Helpfulness(name, value + 0.2, 0.2, value, 10) for name, value in values.items()}
        curriculum.update(1, measured)
        curriculum.update(2, {})
        object.__setattr__(made, "results", {"curriculum": [c.to_json() for c in curriculum.timeline]})
        return made

    assert withdrawals_table({PUBLISHED: [run(0), run(1)]}).rows == (
        (PUBLISHED, "clean", "the budget was full", "1 of 2", "1"),
        (PUBLISHED, "heat", "budget 0", "2 of 2", "2"),
        (PUBLISHED, "cool", "budget 0", "2 of 2", "2"),
        (PUBLISHED, "clean", "filter", "1 of 2", "1"),
    )
