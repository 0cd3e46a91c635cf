"""Tables on the curriculum: how much files helped, why they went, what pairs say beside validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from study.finished import Run
from study.table import Table, span


def helpfulness_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for name, group in by_arm.items():
        histories = [run.helpfulness() for run in group]
        for file in dict.fromkeys(file for history in histories for file in history):
            points: dict[int, list[float]] = {}
            for history in histories:
                for step, delta in history.get(file, ()):
                    points.setdefault(step, []).append(delta)
            cells = [
                f"{100 * fmean(deltas):+.0f}@{step}"
                + (f" ({len(deltas)})" if len(deltas) < len(group) else "")
                for step, deltas in sorted(points.items())
            ]
            rows.append((name, forms(group), file, " ".join(cells)))
    columns = ("arm", "form", "file", "at each selection")
    note = (
        "Delta_k in points @ optimizer step, mean over seeds (how many, where it was not active in all). "
        "Form: set, the active files against none; marginal, against the active files less this one. From "
        "validation episodes, or paired: from the two-armed groups of training."
    )
    return Table("Helpfulness of files in context", columns, tuple(rows), note)


def withdrawals_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for name, group in by_arm.items():
        counts: Counter[tuple[str, str]] = Counter()
        steps: dict[tuple[str, str], list[int]] = {}
        for run in group:
            for file, step, reason in run.withdrawals():
                key = (file, _cause(reason))
                counts[key] += 1
                steps.setdefault(key, []).append(step)
        for (file, cause), count in counts.items():
            rows.append((name, file, cause, f"{count} of {len(group)}", span(steps[file, cause])))
    columns = ("arm", "file", "why", "seeds", "at step")
    return Table("Withdrawals and their reasons", columns, tuple(rows))


def comparison_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    """Helpfulness from pairs against that from validation, where an arm measures both."""
    rows = []
    for name, group in by_arm.items():
        found = [row for run in group for row in run.rows if "comparison/files" in row]
        if not found:
            continue
        cells = []
        for key, form in (
            ("bias", "{:+.3f}"),
            ("correlation", "{:.2f}"),
            ("paired_env_steps", "{:.0f}"),
            ("validation_env_steps", "{:.0f}"),
        ):
            figures = [row[f"comparison/{key}"] for row in found if f"comparison/{key}" in row]
            cells.append(form.format(fmean(figures)) if figures else "-")
        rows.append((name, str(len(found)), *cells))
    columns = ("arm", "selections", "bias", "correlation", "steps of pairs", "steps of validation")
    note = (
        "Means over the selections of all seeds. Bias: Delta_k from pairs less that from validation; "
        "correlation over files; environment steps a selection, those of pairs being training steps anyway."
    )
    return Table("Helpfulness from pairs against validation", columns, tuple(rows), note)


def forms(group: Sequence[Run]) -> str:
    """The form of Delta_k in an arm's runs: one, unless its folder holds runs of different recipes. Empty if
    nothing was measured."""
    return " or ".join(dict.fromkeys(run.helpfulness_form for run in group if run.helpfulness_form))


def _cause(reason: str) -> str:
    """A reason without its figures, so that seeds can be counted together."""
    if reason.startswith("the budget is 0"):
        return "budget 0"
    return "the budget was full" if ", place " in reason else "filter"
