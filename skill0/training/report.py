"""What a run leaves for people: figures and the metrics table, drawn from the files in its folder.

`metrics.jsonl` is the one source: each figure can be drawn again from it, while the run goes on or later.
Left out: live dashboards (`report_to` of the trainer serves those).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skill0.agent import AgentLoop, RolloutGroup, Sampling, Trajectory
from skill0.context import RecordedTurn, contact_sheet
from skill0.curriculum import CurriculumChange
from skill0.curriculum.budget import first_step
from skill0.curriculum.helpfulness import MARGINAL_FORM, common_form
from skill0.envs.base import Task
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.skills import SkillFile

PROBE_WITH, PROBE_WITHOUT = "probe/success_with_skills", "probe/success_without_skills"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`, in the order written."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """All rows as one table; a metric that a row lacks is null there."""
    import pandas

    pandas.DataFrame(list(rows)).to_parquet(path, index=False)


def curriculum_figure(
    file_names: Sequence[str],
    budgets: Sequence[int],
    timeline: Sequence[CurriculumChange],
    total_steps: int,
    path: Path,
) -> None:
    """When each file was in context, the budget, and the helpfulness that was measured on the way."""
    plot = _pyplot()
    figure, (bars, lines) = plot.subplots(2, 1, figsize=(9, 6.5), sharex=True)
    colours = plot.get_cmap("tab10")
    for row, name in enumerate(file_names):
        end = next((change.step for change in timeline if name in change.withdrawn), total_steps)
        bars.barh(row, end, height=0.6, color=colours(row % 10))
        measured = [
            (change.step, change.helpfulness[name].delta)
            for change in timeline
            if name in change.helpfulness and change.helpfulness[name].delta is not None
        ]
        if measured:
            steps, deltas = zip(*measured, strict=True)
            lines.plot(steps, deltas, marker="o", color=colours(row % 10), label=name)
    bars.set_yticks(range(len(file_names)), file_names)
    bars.invert_yaxis()
    stages = len(budgets)
    edges = [first_step(stage, total_steps, stages) for stage in range(1, stages + 1)] + [total_steps]
    for budget, start, end in zip(budgets, edges[:-1], edges[1:], strict=True):
        bars.axvline(start, color="black", linewidth=0.8, linestyle="--")
        bars.text((start + end) / 2, -0.75, f"budget {budget}", ha="center", fontsize=9)
    bars.set_title("Skill files in context", pad=18)
    lines.axhline(0, color="black", linewidth=0.8)
    lines.set(xlabel="optimizer step", ylabel=_helpfulness_label(timeline), xlim=(0, total_steps))
    if lines.get_legend_handles_labels()[0]:
        lines.legend(fontsize=8, ncols=2)
    _save(figure, path)


def _helpfulness_label(timeline: Sequence[CurriculumChange]) -> str:
    """What the lines are differences of: success with the active files and without any (the set form), or
    without the one file (the marginal form)."""
    form = common_form(item for change in timeline for item in change.helpfulness.values())
    without = "without the file" if form == MARGINAL_FORM else "without skills"
    return f"helpfulness\n(success with skills minus {without})"


def success_figure(
    rows: Sequence[Mapping[str, Any]],
    before: Mapping[str, float],
    after: Mapping[str, float],
    total_steps: int,
    path: Path,
) -> None:
    """Success with and without skills: training rollouts, probes, held-out tasks before and after training.

    `before` and `after` map the arms "with skills" and "without skills" to success on held-out tasks.
    """
    plot = _pyplot()
    figure, axes = plot.subplots(figsize=(9, 4.5))
    for arm, probe, rollouts, colour in (
        (WITH, PROBE_WITH, "success/with_skills", "tab:blue"),
        (WITHOUT, PROBE_WITHOUT, "success/without_skills", "tab:orange"),
    ):
        steps, values = _column(rows, rollouts)
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.4, label=f"{arm}, training rollouts")
        steps, values = _column(rows, probe)
        axes.plot(steps, values, marker=".", color=colour, label=f"{arm}, validation tasks")
        axes.plot(
            [0, total_steps], [before[arm], after[arm]],
            marker="D", linestyle=":", color=colour, label=f"{arm}, held-out tasks",
        )  # fmt: skip
    axes.set(xlabel="optimizer step", ylabel="success", ylim=(0, 1.02), title="Success over training")
    axes.legend(fontsize=8)
    _save(figure, path)


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """The steps of the rows that have a figure, and the figure."""
    found = [row for row in rows if key in row]
    return [row["step"] for row in found], [row[key] for row in found]


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def _save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    _pyplot().close(figure)


def play_once(
    loop: AgentLoop,
    task: Task,
    arms: Mapping[str, Callable[[Task], Sequence[SkillFile]]],
    sampling: Sampling,
    seed: int,
    live_across_ranks: Callable[[int], int] | None = None,
) -> dict[str, Trajectory]:
    """One episode of a task under every arm, by the arm's name. Processes that share a model play it
    together; `live_across_ranks` is that of `AgentLoop.run`."""
    return {
        name: loop.run(
            [RolloutGroup(task, 1, tuple(files(task)))], sampling, seed, live_across_ranks=live_across_ranks
        )[0]
        for name, files in arms.items()
    }


def pages_sheet(played: Mapping[str, Trajectory], path: Path) -> None:
    """A contact sheet of what the policy saw: its first turn under every arm, and its last where the page has
    changed."""
    pages, captions = [], []
    for name, trajectory in played.items():
        numbers = {turn.page: number for number, turn in reversed(list(enumerate(trajectory.turns, 1)))}
        for page in dict.fromkeys((trajectory.turns[0].page, trajectory.turns[-1].page)):
            if page is not None:
                pages.append(page)
                captions.append(f"{name}, turn {numbers[page]}: {page.visual_tokens} visual tokens")
    if pages:
        contact_sheet(pages, captions, columns=2).save(path)


def write_turns(played: Mapping[str, Trajectory], path: Path) -> None:
    """Every turn with its page as a line of JSON, for `skill0 render`."""
    rows = [
        RecordedTurn(trajectory.task.id, arm, number, turn.observation, turn.reply, turn.valid, turn.page)
        for arm, trajectory in played.items()
        for number, turn in enumerate(trajectory.turns, 1)
    ]
    path.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows), encoding="utf-8")
