"""The figures of the study: learning curves, bars, helpfulness over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plot
from matplotlib.axes import Axes

from skill0.evaluation.measuring import WITH, WITHOUT
from study.arms import DEFAULT, FIRST, PUBLISHED
from study.finished import Run, value
from study.intervals import mean_over_seeds
from study.tables import group_by_arm, mean_curve


def draw(runs: Sequence[Run], folder: Path, prefix: str) -> list[Path]:
    """Draw everything into `folder`; returns the files."""
    by_arm = group_by_arm(runs)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [folder / f"{prefix}_{name}.png" for name in ("curves", "bars", "helpfulness")]
    _curves(by_arm, drawn[0])
    _bars(by_arm, drawn[1])
    _helpfulness(by_arm, drawn[2])
    return drawn


def _curves(by_arm: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Probes over episodes; main arms above, ablations below, left without skills and right with them."""
    main = [name for name in by_arm if name in FIRST]
    others = [name for name in by_arm if name not in FIRST]
    blocks = [names for names in (main, others) if names]
    figure, axes = plot.subplots(
        len(blocks), 2, figsize=(12, 4.6 * len(blocks)), sharey=True, squeeze=False, layout="constrained"
    )
    for row, names in zip(axes, blocks, strict=True):
        for axis, context in zip(row, (WITHOUT, WITH), strict=True):
            for number, name in enumerate(names):
                _band(axis, by_arm[name], context, name, f"C{number % 10}", "-" if number < 10 else "--")
            axis.set(title=context, xlabel="episodes, validation counted", ylim=(0, 1))
            axis.grid(alpha=0.3)
        row[0].set_ylabel("success, validation tasks")
        row[1].legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.0, 0.0))
    figure.suptitle("Success over training; bands from the lowest to the highest seed")
    _save(figure, path)


def _band(axis: Axes, group: Sequence[Run], context: str, name: str, colour: str, line: str) -> None:
    points = mean_curve([run.curve(context) for run in group])
    if not points:
        return
    episodes, means, lows, highs = zip(*points, strict=True)
    axis.plot(episodes, means, line, color=colour, marker=".", label=f"{name} ({len(group)})")
    axis.fill_between(episodes, lows, highs, color=colour, alpha=0.12, linewidth=0)


def _bars(by_arm: Mapping[str, Sequence[Run]], path: Path) -> None:
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
    _save(figure, path)


def _helpfulness(by_arm: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Delta_k of each file at each selection, mean over the seeds in which it was active."""
    figure, axes = plot.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for axis, name in zip(axes, (PUBLISHED, DEFAULT), strict=True):
        group = by_arm.get(name, ())
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
        axis.set(title=name, xlabel="episodes, validation counted")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    axes[0].set_ylabel("helpfulness of files in context")
    _save(figure, path)


def _save(figure: plot.Figure, path: Path) -> None:  # type: ignore[name-defined]
    figure.savefig(path, dpi=110)
    plot.close(figure)
