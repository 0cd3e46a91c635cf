"""The figures of the study: learning curves, bars, helpfulness over time, task types over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skill0.evaluation.measuring import WITH, WITHOUT
from study.arms import DEFAULT, FIRST, PLAIN, PUBLISHED
from study.curriculum_tables import forms
from study.finished import Run, value
from study.intervals import mean_over_seeds
from study.table import span
from study.tables import group_by_arm, mean_curve

EPISODES = "episodes, validation counted"
MAIN = (PLAIN, PUBLISHED, DEFAULT)
"""The arms of a figure that has room for few."""

COLUMNS = 3
"""Panels side by side, where there is one for each task type."""

SHADE = 0.12
"""How dense the bands are."""


def draw(runs: Sequence[Run], folder: Path, prefix: str) -> list[Path]:
    """Draw everything that there is something to draw of into `folder`; returns the files."""
    by_arm = group_by_arm(runs)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "curves": _curves(by_arm),
        "bars": _bars(by_arm),
        "helpfulness": _helpfulness(by_arm),
        "task_types": _task_types(by_arm),
    }
    drawn = []
    for name, figure in figures.items():
        if figure is not None:
            drawn.append(folder / f"{prefix}_{name}.png")
            figure.savefig(drawn[-1], dpi=110)
            plot.close(figure)
    return drawn


def _curves(by_arm: Mapping[str, Sequence[Run]]) -> Figure | None:
    """Probes over episodes; main arms above, ablations below, left without skills and right with them."""
    probed = [name for name, group in by_arm.items() if any(run.probes for run in group)]
    main = [name for name in probed if name in FIRST]
    others = [name for name in probed if name not in FIRST]
    blocks = [names for names in (main, others) if names]
    if not blocks:
        return None
    figure, axes = plot.subplots(
        len(blocks), 2, figsize=(12, 4.6 * len(blocks)), sharey=True, squeeze=False, layout="constrained"
    )
    for row, names in zip(axes, blocks, strict=True):
        for axis, context in zip(row, (WITHOUT, WITH), strict=True):
            for number, name in enumerate(names):
                curves = [run.curve(context) for run in by_arm[name]]
                line = "-" if number < 10 else "--"
                _band(axis, curves, f"{name} ({len(curves)})", f"C{number % 10}", line)
            axis.set(title=context, xlabel=EPISODES, ylim=(0, 1))
            axis.grid(alpha=0.3)
        row[0].set_ylabel("success, validation tasks")
        row[1].legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.0, 0.0))
    figure.suptitle("Success over training; bands from the lowest to the highest seed")
    return figure


def _task_types(by_arm: Mapping[str, Sequence[Run]]) -> Figure | None:
    """Probes over episodes for each task type, of few arms. Bands with skills, too, would hide the lines."""
    names = compared(list(by_arm))
    kinds = list(dict.fromkeys(kind for name in names for run in by_arm[name] for kind in run.probed_types))
    if not kinds:
        return None
    rows = -(-len(kinds) // COLUMNS)
    figure, axes = plot.subplots(
        rows, COLUMNS, figsize=(12, 3.4 * rows + 0.8), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, kind in zip(axes.flat, kinds, strict=False):
        tasks = []
        for name in names:
            group = [run for run in by_arm[name] if kind in run.probed_types]
            tasks += [_probed_tasks(run, kind) for run in group]
            colour = (
                f"C{list(by_arm).index(name) % 10}"  # main arms come first, so theirs are as in the curves
            )
            for context, line, shade in ((WITHOUT, "-", SHADE), (WITH, "--", 0)):
                label = f"{name} ({len(group)}), {context}"
                _band(axis, [run.curve(context, kind) for run in group], label, colour, line, shade)
        axis.set(xlabel=EPISODES, ylim=(0, 1.03))
        axis.set_title(f"{kind}, {span(tasks)} tasks a seed", fontsize=10)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(kinds) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("success, validation tasks")
    lines, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, labels, fontsize=8, loc="outside lower center", ncols=len(names))
    figure.suptitle(
        "Success over training by task type; bands, without skills only, from the lowest to the highest seed"
    )
    return figure


def compared(names: Sequence[str]) -> list[str]:
    """The arms of a figure that has room for few: those given, or of more the three that all others are
    held against."""
    if len(names) <= len(MAIN):
        return list(names)
    return [name for name in names if name in MAIN] or list(names[: len(MAIN)])


def _probed_tasks(run: Run, kind: str) -> int:
    """How many tasks of a type every probe plays."""
    return next(iter(run.probes.values()))[WITHOUT].success(kind).total


def _band(
    axis: Axes,
    curves: Sequence[list[tuple[int, float]]],
    label: str,
    colour: str,
    line: str,
    shade: float = SHADE,
) -> None:
    """The mean over seeds as a line, and a band from the lowest to the highest."""
    points = mean_curve(curves)
    if not points:
        return
    episodes, means, lows, highs = zip(*points, strict=True)
    axis.plot(episodes, means, line, color=colour, marker=".", label=label)
    if shade:
        axis.fill_between(episodes, lows, highs, color=colour, alpha=shade, linewidth=0)


def _bars(by_arm: Mapping[str, Sequence[Run]]) -> Figure:
    """Held-out success after training, without and with skills; dots are seeds, lines 95 % intervals."""
    figure, axis = plot.subplots(figsize=(8, 1.2 + 0.55 * len(by_arm)), layout="constrained")
    for number, group in enumerate(by_arm.values()):
        for offset, context, colour in ((-0.2, WITHOUT, "tab:orange"), (0.2, WITH, "tab:blue")):
            figures = [value(run.after[context]) for run in group]
            mean = mean_over_seeds(figures)
            assert mean is not None
            label = context if number == 0 else None
            axis.barh(number + offset, mean.value, height=0.36, color=colour, alpha=0.75, label=label)
            interval = [max(0.0, mean.low), min(1.0, mean.high)]
            if mean.count > 1:
                axis.plot(interval, [number + offset] * 2, color="black", linewidth=1)
            axis.plot(figures, [number + offset] * len(figures), ".", color="black", markersize=4)
        before = fmean(value(run.before[WITHOUT]) for run in group)
        axis.plot([before] * 2, [number - 0.4, number], color="black", linestyle=":", linewidth=1)
    axis.set_yticks(range(len(by_arm)), list(by_arm))
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="success, held-out tasks (dotted: without skills before training)")
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _helpfulness(by_arm: Mapping[str, Sequence[Run]]) -> Figure | None:
    """Delta_k of each file at each selection, mean over the seeds in which it was active."""
    names = [name for name in (PUBLISHED, DEFAULT) if name in by_arm]
    if not names:
        return None
    figure, axes = plot.subplots(
        1, len(names), figsize=(5.5 * len(names), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], names, strict=True):
        group = by_arm[name]
        histories = [run.helpfulness() for run in group]
        for number, file in enumerate(dict.fromkeys(file for history in histories for file in history)):
            points: dict[int, list[tuple[int, float]]] = {}
            for run, history in zip(group, histories, strict=True):
                for step, delta in history.get(file, ()):
                    points.setdefault(step, []).append((run.episodes(step), delta))
            episodes = [fmean(episode for episode, _ in points[step]) for step in sorted(points)]
            means = [fmean(delta for _, delta in points[step]) for step in sorted(points)]
            axis.plot(episodes, means, marker="o", color=f"C{number % 10}", label=file)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=f"{name}: {forms(group) or 'nothing measured'}", xlabel=EPISODES)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    axes[0, 0].set_ylabel("helpfulness of files in context")
    figure.suptitle("Helpfulness of files (form, episodes it is from)")
    return figure
