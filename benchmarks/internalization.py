"""The study of internalization: every arm of `curricula/ablations`, several seeds, equal episodes.

    python benchmarks/internalization.py                       # tables of the runs that are there
    python benchmarks/internalization.py all --jobs 2          # play what is missing, then the tables
    python benchmarks/internalization.py plain_grpo default --seeds 0 1 2 3 4        # of these seeds only
    python benchmarks/internalization.py --markdown --json study.json --figures docs/images
    python benchmarks/internalization.py --quick               # a few rounds of two arms, for tests

All arms of a seed start from the same policy, train on the same households of one convention and end on the
same held-out ones. Each plays as many rounds as fit into one budget of episodes, which counts the episodes
that its curriculum validates with; `--episodes` sets it, by default it is what the default arm asks for. Each
run is a process of its own, kept below `--output`: finished runs are not played again, killed ones go on.
Another `--base` puts the same arms on another recipe, for instance on other households.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from study.arms import DEFAULT, PLAIN, Arm, all_arms, chosen_arms
from study.finished import Run, gap, read_runs, value
from study.intervals import mean_over_seeds
from study.jobs import Job, Study, planned_jobs, play
from study.quick import quick
from study.tables import group_by_arm, pooled, tables
from study.verdicts import Verdict, verdicts

from skill0.errors import Skill0Error
from skill0.evaluation.measuring import WITH, WITHOUT

SCHEMA = 1
RUNS = Path(__file__).parents[1] / "runs"


def main() -> int:
    given = arguments()
    console = Console(width=max(160, Console().width))
    try:
        return study(given, console)
    except Skill0Error as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def study(given: argparse.Namespace, console: Console) -> int:
    """Play what is asked for and is missing, then tell about the finished runs in the folder: of the arms and
    the seeds that were named, or of all."""
    arms = all_arms()
    name = "internalization" if given.base is None else f"internalization_{given.base.stem}"
    output = given.output or RUNS / (f"{name}_quick" if given.quick else name)
    failed: list[Job] = []
    names = given.arms or ([PLAIN, DEFAULT] if given.quick else [])
    if names and not given.report:
        seeds = given.seeds or ([0] if given.quick else [0, 1, 2])
        settings = Study(output.resolve(), seeds, given.base, given.policy, given.episodes)
        shrink = quick if given.quick else None
        jobs = planned_jobs(settings, chosen_arms(names, arms), arms[DEFAULT], shrink)
        show_plans(jobs, console)
        failed = play(jobs, given.jobs, console)
    told = {name: arm for name, arm in arms.items() if not names or arm in chosen_arms(names, arms)}
    runs = read_runs(output, told, given.seeds)
    if not runs:
        of_seeds = f" of seeds {given.seeds}" if given.seeds else ""
        console.print(
            f"no finished runs{of_seeds} in {output}; play some: python benchmarks/internalization.py all"
        )
        return 1 if failed else 0
    tell(runs, arms, given, name, console)
    return 1 if failed else 0


def show_plans(jobs: list[Job], console: Console) -> None:
    """What each arm will play at most."""
    for job in {job.arm: job for job in jobs}.values():
        plan = job.plan
        console.print(
            f"{job.arm}: {plan.rounds} rounds, {plan.steps} steps, {plan.training} training + at most "
            f"{plan.validation} validation episodes"
        )


def tell(
    runs: list[Run], arms: dict[str, Arm], given: argparse.Namespace, prefix: str, console: Console
) -> None:
    """Tables, JSON and figures."""
    found = verdicts(runs)
    for table in tables(runs, arms, found):
        if given.markdown:
            print(table.markdown())
        else:
            console.print(table.rich())
            console.print(f"{table.note}\n", style="dim", highlight=False, markup=False)
    if given.json:
        given.json.write_text(json.dumps(as_json(runs, found), indent=1) + "\n", encoding="utf-8")
    if given.figures:
        from study.figures import draw

        for path in draw(runs, given.figures, prefix):
            console.print(f"drew {path}")


def as_json(runs: list[Run], found: list[Verdict]) -> dict[str, Any]:
    """Everything the tables say and the figures of each run, schema 1."""
    by_arm = group_by_arm(runs)
    return {
        "schema": SCHEMA,
        "arms": {
            name: {
                "seeds": [run.seed for run in group],
                "success": {context: success_as_json(group, context) for context in (WITHOUT, WITH)},
                "runs": [run_as_json(run) for run in group],
            }
            for name, group in by_arm.items()
        },
        "verdicts": [verdict.to_json() for verdict in found],
    }


def success_as_json(group: list[Run], context: str) -> dict[str, Any]:
    """Before and after: the mean over seeds, and all episodes together."""
    found = {}
    for when, report in (("before", lambda run: run.before), ("after", lambda run: run.after)):
        mean = mean_over_seeds([value(report(run)[context]) for run in group])
        assert mean is not None
        rate = pooled(group, report, context)
        low, high = rate.interval
        together = {"rate": rate.value, "low": low, "high": high, "tasks": rate.total}
        found[when] = {"over_seeds": mean.to_json(), "pooled": together}
    return found


def run_as_json(run: Run) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "episodes": {
            "training": run.training_episodes,
            "validation": run.validation_episodes,
            "all": run.episodes(),
        },
        "success": run.results["success"],
        "success_by_task_type": run.results["success_by_task_type"],
        "gap_after": gap(run.after),
        "groups_with_signal": run.signal,
        "first_moves": {
            "before": run.first_moves(run.before[WITHOUT]).value,
            "after": run.first_moves(run.after[WITHOUT]).value,
            "by_chance": run.chance_of_first_move.value,
        },
        "curves": {context: run.curve(context) for context in (WITHOUT, WITH)},
        "curves_by_task_type": {
            context: {kind: run.curve(context, kind) for kind in run.probed_types}
            for context in (WITHOUT, WITH)
        },
        "first_move_curve": run.first_move_curve(),
        "helpfulness": run.helpfulness(),
        "helpfulness_form": run.helpfulness_form,
        "withdrawals": list(run.withdrawals()),
        "tokens_per_turn": run.results["tokens_per_turn"],
        "seconds": run.results["seconds"],
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="*", help="arms to play, or all; without any, only the tables")
    parser.add_argument(
        "--seeds", type=int, nargs="+",
        help="to play and to tell of; without it plays 0 1 2 (0 with --quick) and tells of all there are",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side")
    parser.add_argument("--episodes", type=int, help="budget of every arm, validation counted")
    parser.add_argument("--base", type=Path, help="another recipe to put the arms on")
    parser.add_argument(
        "--policy", help="another policy for every arm to start from: a folder, or shipped/household"
    )
    parser.add_argument("--output", type=Path, help="where runs are kept; default: runs/internalization")
    parser.add_argument("--report", action="store_true", help="play nothing")
    parser.add_argument("--quick", action="store_true", help="a few tiny rounds: does it run? Not a result")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--figures", type=Path, help="draw the figures into this folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
