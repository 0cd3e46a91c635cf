"""The tables of the study. Those on the curriculum are in `curriculum_tables.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, Rate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.training.recorded import another_seed
from study.arms import PLAIN, Arm
from study.curriculum_tables import comparison_table, helpfulness_table, withdrawals_table
from study.finished import Run, gap, value
from study.intervals import Mean, mean_over_seeds, paired_difference
from study.table import Table, span
from study.verdicts import Verdict


def tables(runs: Sequence[Run], arms: Mapping[str, Arm], found: Sequence[Verdict]) -> list[Table]:
    """All tables of the study that have anything to say, in the order in which they are read."""
    by_arm = group_by_arm(runs)
    every = (
        arms_table(by_arm, arms),
        success_table(by_arm),
        seeds_table(by_arm),
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
    )
    return [table for table in every if table.rows]


def group_by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {name: [run for run in runs if run.arm == name] for name in dict.fromkeys(run.arm for run in runs)}


def arms_table(by_arm: Mapping[str, Sequence[Run]], arms: Mapping[str, Arm]) -> Table:
    rows = [
        (
            name,
            arms[name].title,
            ", ".join(str(run.seed) for run in group),
            span([run.episodes() for run in group]),
            span([run.training_episodes for run in group]),
            span([run.validation_episodes for run in group]),
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


def seeds_table(by_arm: Mapping[str, Sequence[Run]]) -> Table:
    """What the means are taken over, so that a word on a single seed can be looked up."""
    rows = []
    for name, group in by_arm.items():
        for run in group:
            shares = (
                value(run.before[WITHOUT]),
                value(run.after[WITHOUT]),
                value(run.before[WITH]),
                value(run.after[WITH]),
                gap(run.after),
            )
            rows.append((name, str(run.seed), *(f"{100 * share:.1f}" for share in shares)))
    columns = (
        "arm", "seed", "without: before", "without: after", "with: before", "with: after", "gap after",
    )  # fmt: skip
    note = "In %, held-out tasks, greedy. Gap: with less without."
    return Table("Success of each seed", columns, tuple(rows), note)


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
        "for; in the almanac, the first section searched tells it), pooled over seeds [95 %, Wilson]; by "
        "chance: a random policy. Tokens: text + visual, a turn's context after training."
    )
    return Table("On the way", columns, tuple(rows), note)


def curves_table(
    by_arm: Mapping[str, Sequence[Run]], title: str, curve: Callable[[Run], list[tuple[int, float]]]
) -> Table:
    """A curve per arm: mean over seeds at each probe, with the episodes played by then. An arm without such
    a curve has no row."""
    rows = []
    for name, group in by_arm.items():
        points = mean_curve([curve(run) for run in group])
        cells = [f"{100 * mean:.0f}@{episodes:.0f}" for episodes, mean, _, _ in points]
        if cells:
            rows.append((name, " ".join(cells)))
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
