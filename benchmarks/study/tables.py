"""The tables of the study, made once and printed to the terminal or as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import rich.table

from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, Rate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.training.recorded import another_seed
from study.arms import PLAIN, Arm
from study.finished import Run, gap, value
from study.intervals import Mean, mean_over_seeds, paired_difference
from study.verdicts import Verdict


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and rows of text. `note` says what the figures are."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def rich(self) -> rich.table.Table:
        table = rich.table.Table(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"**{self.title}.** {self.note}\n\n{body}\n".replace(".** \n", ".**\n")


def tables(runs: Sequence[Run], arms: Mapping[str, Arm], found: Sequence[Verdict]) -> list[Table]:
    """All tables of the study, in the order in which they are read."""
    by_arm = group_by_arm(runs)
    return [
        arms_table(by_arm, arms),
        success_table(by_arm),
        plain_table(by_arm),
        on_the_way_table(by_arm),
        curves_table(by_arm, "Success without skills", lambda run: run.curve(WITHOUT)),
        curves_table(by_arm, "Success with skills", lambda run: run.curve(WITH)),
        curves_table(by_arm, "First moves that show the fact", Run.first_move_curve),
        task_types_table(by_arm),
        helpfulness_table(by_arm),
        withdrawals_table(by_arm),
        comparison_table(by_arm),
        verdicts_table(found),
    ]


def group_by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {name: [run for run in runs if run.arm == name] for name in dict.fromkeys(run.arm for run in runs)}


def arms_table(by_arm: Mapping[str, Sequence[Run]], arms: Mapping[str, Arm]) -> Table:
    rows = [
        (
            name,
            arms[name].title,
            ", ".join(str(run.seed) for run in group),
            _span([run.episodes() for run in group]),
            _span([run.training_episodes for run in group]),
            _span([run.validation_episodes for run in group]),
        )
        for name, group in by_arm.items()
    ]
    columns = ("arm", "what", "seeds", "episodes", "training", "validation")
    return Table("Arms", columns, tuple(rows), "Episodes really played, over seeds; probes are not counted.")


def success_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for name, group in by_arm.items():
        rows.append(
            (
                name,
                _over_seeds(group, lambda run: value(run.before[WITHOUT])),
                _over_seeds(group, lambda run: value(run.after[WITHOUT])),
                _another_seed(group, WITHOUT),
                str(pooled(group, lambda run: run.after, WITHOUT)),
                _over_seeds(group, lambda run: value(run.before[WITH])),
                _over_seeds(group, lambda run: value(run.after[WITH])),
                _another_seed(group, WITH),
                str(pooled(group, lambda run: run.after, WITH)),
                _over_seeds(group, lambda run: gap(run.after)),
            )
        )
    columns = (
        "arm", "without: before", "without: after", "another seed", "after, pooled", "with: before",
        "with: after", "another seed", "after, pooled", "gap after",
    )  # fmt: skip
    note = (
        "In %, held-out tasks, greedy. Mean over seeds [95 % interval of the mean, Student's t]; another "
        "seed: where 95 % of runs with further seeds are expected; pooled: all episodes of all seeds "
        "together [95 %, Wilson], which knows nothing of other seeds. Gap: with less without."
    )
    return Table("Success before and after", columns, tuple(rows), note)


def plain_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    """Each arm less plain GRPO, seed by seed."""
    plain = {run.seed: value(run.after[WITHOUT]) for run in by_arm.get(PLAIN, ())}
    rows = []
    for name, group in by_arm.items():
        difference = paired_difference({run.seed: value(run.after[WITHOUT]) for run in group}, plain)
        if name != PLAIN:
            rows.append((name, "-" if difference is None else str(difference)))
    note = "In points, mean over seeds [95 %, Student's t over differences within a seed]."
    return Table("Success without skills, less that of plain GRPO", ("arm", "difference"), tuple(rows), note)


def on_the_way_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for name, group in by_arm.items():
        rows.append(
            (
                name,
                _over_seeds(group, lambda run: run.signal),
                _rate(group, lambda run: run.first_moves(run.before[WITHOUT])),
                _rate(group, lambda run: run.first_moves(run.after[WITHOUT])),
                _rate(group, lambda run: run.chance_of_first_move),
                _tokens(group, WITH),
                _tokens(group, WITHOUT),
                f"{fmean(run.training_minutes for run in group):.1f}",
                f"{fmean(run.minutes for run in group):.1f}",
            )
        )
    columns = (
        "arm", "groups with signal", "first moves before", "first moves after", "by chance", "tokens with",
        "tokens without", "minutes training", "minutes in all",
    )  # fmt: skip
    note = (
        "In %. First moves: episodes without skills whose first telling move shows the fact (the first "
        "`go to` leads where the object is kept; in households of procedure, to an appliance that is asked "
        "for), pooled over seeds [95 %, Wilson]; by chance: a random policy. Tokens: text + visual, a turn's "
        "context after training."
    )
    return Table("On the way", columns, tuple(rows), note)


def curves_table(
    by_arm: Mapping[str, Sequence[Run]], title: str, curve: Callable[[Run], list[tuple[int, float]]]
) -> Table:
    """A curve per arm: mean over seeds at each probe, with the episodes played by then."""
    rows = []
    for name, group in by_arm.items():
        points = mean_curve([curve(run) for run in group])
        rows.append((name, " ".join(f"{100 * mean:.0f}@{episodes:.0f}" for episodes, mean, _, _ in points)))
    note = "In %, validation tasks, greedy, mean over seeds @ episodes played."
    return Table(f"{title}, over training", ("arm", "probes"), tuple(rows), note)


def mean_curve(curves: Sequence[list[tuple[int, float]]]) -> list[tuple[float, float, float, float]]:
    """Curves of several seeds as one: episodes (mean), and mean, lowest and highest figure, at each probe.

    Raises:
        ConfigError: the curves have not the same number of probes.
    """
    if len({len(curve) for curve in curves}) > 1:
        raise ConfigError(
            "the seeds of an arm were probed at different steps, so they were played with different budgets "
            "or recipes: remove the folders of those that are out of date"
        )
    points = []
    for probe in zip(*curves, strict=True):
        episodes, figures = zip(*probe, strict=True)
        points.append((fmean(episodes), fmean(figures), min(figures), max(figures)))
    return points


def task_types_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    kinds = list(
        dict.fromkeys(kind for group in by_arm.values() for kind in group[0].after[WITHOUT].task_types)
    )
    rows = []
    for name, group in by_arm.items():
        cells = [
            f"{pooled_value(group, WITHOUT, kind)} / {pooled_value(group, WITH, kind)}" for kind in kinds
        ]
        rows.append((name, *cells))
    note = "In %, without / with skills, held-out tasks of all seeds together."
    return Table("Success by task type, after", ("arm", *kinds), tuple(rows), note)


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
            rows.append((name, file, " ".join(cells)))
    note = "Delta_k in points @ optimizer step, mean over seeds (how many, where it was not active in all)."
    return Table("Helpfulness of files in context", ("arm", "file", "at each selection"), tuple(rows), note)


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
            rows.append((name, file, cause, f"{count} of {len(group)}", _span(steps[file, cause])))
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


def verdicts_table(found: Sequence[Verdict]) -> Table:
    rows = tuple(
        (
            verdict.ordering,
            verdict.verdict,
            "; ".join(f"{name}: {mean}" for name, mean in verdict.differences),
        )
        for verdict in found
    )
    note = "In points. Holds: every difference is above 0 with its whole 95 % interval."
    return Table("The papers' orderings", ("ordering", "here", "differences"), rows, note)


def pooled(group: Sequence[Run], report: Callable[[Run], EvaluationReport], arm: str) -> Rate:
    """The success rate over the episodes of all seeds together."""
    return pool([report(run)[arm].success() for run in group])


def pool(rates: Sequence[Rate]) -> Rate:
    return Rate(sum(rate.successes for rate in rates), sum(rate.total for rate in rates))


def pooled_value(group: Sequence[Run], arm: str, task_type: str) -> str:
    rate = pool([run.after[arm].success(task_type) for run in group]).value
    return "-" if rate is None else f"{100 * rate:.0f}"


def _over_seeds(group: Sequence[Run], figure: Callable[[Run], float]) -> str:
    mean: Mean | None = mean_over_seeds([figure(run) for run in group])
    return str(mean)


def _another_seed(group: Sequence[Run], context: str) -> str:
    mean = mean_over_seeds([value(run.after[context]) for run in group])
    if mean is None or mean.count < 2:
        return "-"
    low, high = another_seed(mean.low, mean.high, mean.count)
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _rate(group: Sequence[Run], rate: Callable[[Run], Rate]) -> str:
    return str(pool([rate(run) for run in group]))


def _tokens(group: Sequence[Run], arm: str) -> str:
    text = fmean(run.after[arm].text_tokens_per_turn for run in group)
    visual = fmean(run.after[arm].visual_tokens_per_turn for run in group)
    return f"{text:.0f} + {visual:.0f}"


def _cause(reason: str) -> str:
    """A reason without its figures, so that seeds can be counted together."""
    if reason.startswith("the budget is 0"):
        return "budget 0"
    return "the budget was full" if ", place " in reason else "filter"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
