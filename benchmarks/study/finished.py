"""What one finished run says: its evaluations, probes and metrics, and the figures taken from them.

Everything is read from the run folder; nothing is played here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from skill0.curriculum import CurriculumChange
from skill0.curriculum.helpfulness import common_form
from skill0.errors import ConfigError
from skill0.evaluation import ArmReport, EvaluationReport, Rate
from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.training.callbacks import METRICS_FILE
from skill0.training.config import Skill0Config
from skill0.training.probe import PROBES_FOLDER
from skill0.training.recipe import load_recipe
from skill0.training.report import read_metrics
from skill0.training.run_folder import RESULTS_FILE, read_json
from skill0.training.summary import RANDOM
from study.facts import ShowsFact, shows_fact


@dataclass(frozen=True)
class Run:
    """A finished run. `probes` maps optimizer steps to reports on the validation tasks; `before` and `after`
    are on the held-out tasks. `helpfulness_from` is the setting of the recipe. `shows_fact` is None for
    official games and for questions to a corpus."""

    arm: str
    seed: int
    results: Mapping[str, Any]
    before: EvaluationReport
    after: EvaluationReport
    probes: Mapping[int, EvaluationReport]
    rows: tuple[Mapping[str, Any], ...]
    helpfulness_from: str
    shows_fact: ShowsFact | None

    @cached_property
    def rounds(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of metrics that tell of a round of rollouts."""
        return tuple(row for row in self.rows if "rollout/trajectories" in row)

    def episodes(self, step: int | None = None) -> int:
        """Training and validation episodes played up to an optimizer step, or in all."""
        rows = [row for row in self.rounds if step is None or row["step"] <= step]
        return round(sum(_training(row) + row.get("validation/episodes", 0.0) for row in rows))

    @property
    def training_episodes(self) -> int:
        return round(sum(map(_training, self.rounds)))

    @property
    def validation_episodes(self) -> int:
        return self.episodes() - self.training_episodes

    @property
    def minutes(self) -> float:
        """Wall time of everything: warm-up if there was one, evaluations, training, probes."""
        return sum(self.results["seconds"].values()) / 60

    @property
    def training_minutes(self) -> float:
        return self.results["seconds"]["training"] / 60

    @cached_property
    def timeline(self) -> tuple[CurriculumChange, ...]:
        return tuple(CurriculumChange.from_json(change) for change in self.results["curriculum"])

    @property
    def signal(self) -> float:
        """Share of rollout groups whose rewards differ, in some arm of the group; mean over rounds."""
        return fmean(row["groups/signal"] for row in self.rounds)

    def first_moves(self, arm: ArmReport) -> Rate:
        """Episodes whose first telling move shows that the fact is known (see facts.py)."""
        if self.shows_fact is None:
            return Rate(0, 0)
        return Rate(sum(map(self.shows_fact, arm.valid)), len(arm.valid))

    @property
    def chance_of_first_move(self) -> Rate:
        """The same for a policy that picks commands at random; of no episodes where none are offered."""
        random = self.before[RANDOM]
        picked = any(action for outcome in random.valid for action in outcome.actions)
        return self.first_moves(random) if picked else Rate(0, 0)

    def curve(self, arm: str, task_type: str | None = None) -> list[tuple[int, float]]:
        """Success of the probes over episodes played, on one task type or all."""
        return [
            (self.episodes(step), value(report[arm], task_type))
            for step, report in sorted(self.probes.items())
        ]

    @property
    def probed_types(self) -> tuple[str, ...]:
        """The task types of the validation tasks."""
        return next((report[WITHOUT].task_types for report in self.probes.values()), ())

    def first_move_curve(self) -> list[tuple[int, float]]:
        """Share of probed episodes without skills that show the fact; empty for official games."""
        rates = [
            (self.episodes(step), self.first_moves(self.probes[step][WITHOUT]))
            for step in sorted(self.probes)
        ]
        return [(episodes, rate.value) for episodes, rate in rates if rate.value is not None]

    def helpfulness(self) -> dict[str, list[tuple[int, float]]]:
        """File -> (step, Delta_k) of each selection it was still active in."""
        found: dict[str, list[tuple[int, float]]] = {}
        for change in self.timeline:
            for name, item in change.helpfulness.items():
                if item.delta is not None:
                    found.setdefault(name, []).append((change.step, item.delta))
        return found

    @property
    def helpfulness_form(self) -> str | None:
        """What `helpfulness` compares, and in which episodes, such as "set, paired"; None if nothing was
        measured. Where both kinds of episodes are, those of validation decide and stand in the timeline."""
        items = [item for change in self.timeline for item in change.helpfulness.values()]
        form = common_form(item for item in items if item.delta is not None)
        source = "paired" if self.helpfulness_from == "paired" else "validation"
        return None if form is None else f"{form}, {source}"

    def withdrawals(self) -> Iterator[tuple[str, int, str]]:
        """File, step and reason of each withdrawal, in order."""
        for change in self.timeline:
            for name in change.withdrawn:
                yield name, change.step, change.reasons[name].removeprefix("withdrawn: ")


def read_runs(output: Path, arms: Mapping[str, Any], seeds: Collection[int] | None = None) -> list[Run]:
    """The finished runs below `output`, arms in the given order, then seeds: those of `seeds`, or all."""
    found = []
    for name in arms:
        for folder in finished_folders(output / name, seeds):
            found.append(read_run(name, folder))
    order = list(arms)
    return sorted(found, key=lambda run: (order.index(run.arm), run.seed))


def finished_folders(arm: Path, seeds: Collection[int] | None = None) -> list[Path]:
    """The folders of an arm's finished runs, of `seeds` only if any are given."""
    asked = None if seeds is None else {f"seed-{seed}" for seed in seeds}
    folders = [results.parent for results in arm.glob(f"seed-*/{RESULTS_FILE}")]
    return sorted(folder for folder in folders if asked is None or folder.name in asked)


def read_run(arm: str, folder: Path) -> Run:
    recipe = load_recipe(folder / "recipe.yaml")
    checkpoints = folder / "checkpoints"
    return Run(
        arm=arm,
        seed=recipe.seed,
        results=read_json(folder / RESULTS_FILE),
        before=_report(folder / "evaluation_before.json"),
        after=_report(folder / "evaluation_after.json"),
        probes={
            int(path.stem.removeprefix("step-")): _report(path)
            for path in (checkpoints / PROBES_FOLDER).glob("step-*.json")
        },
        rows=tuple(read_metrics(checkpoints / METRICS_FILE)),
        helpfulness_from=recipe.training.get("helpfulness_from", Skill0Config.helpfulness_from),
        shows_fact=shows_fact(recipe),
    )


def value(arm: ArmReport, task_type: str | None = None) -> float:
    """Success as a number. Raises `ConfigError` where every episode failed for the infrastructure."""
    found = arm.success(task_type).value
    if found is None:
        raise ConfigError(
            f"{arm.name}: no episode counts, all failed for the infrastructure; play the run again"
        )
    return found


def gap(report: EvaluationReport) -> float:
    """Success with skills less success without."""
    return value(report[WITH]) - value(report[WITHOUT])


def _training(row: Mapping[str, Any]) -> float:
    """Episodes of a round, those that failed for the infrastructure too: they were played."""
    return row["rollout/trajectories"] + row.get("infrastructure/count", 0.0)


def _report(path: Path) -> EvaluationReport:
    return EvaluationReport.from_json(read_json(path))
