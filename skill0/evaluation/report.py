"""What an evaluation found: one outcome per task and arm, and the figures made from them.

The JSON form (schema 1, described in docs/evaluation.md) holds every outcome and, for readers that do not use
this module, the summary figures; reading it back uses the outcomes alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skill0._version import __version__
from skill0.agent.trajectory import INFRASTRUCTURE, SUCCESS, Trajectory
from skill0.errors import ConfigError
from skill0.evaluation.intervals import Rate

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1


@dataclass(frozen=True)
class TaskOutcome:
    """One task under one arm.

    `skills` are the names of the files in context; `outcome` is "success", "failure" or "infrastructure", the
    last with the failure's kind and message in `failure`. Tokens are sums over turns. `actions` are the
    commands, one per turn, as the policy gave them. `measures` are the numbers that the environment told with
    the last step, beside whether it was won.
    """

    task_id: str
    task_type: str
    skills: tuple[str, ...]
    outcome: str
    turns: int
    invalid_turns: int
    text_tokens: int
    visual_tokens: int
    env_reward: float
    failure: str = ""
    actions: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def won(self) -> bool | None:
        """Whether it succeeded; None for an infrastructure failure, which says nothing about the policy."""
        return None if self.outcome == INFRASTRUCTURE else self.outcome == SUCCESS

    @staticmethod
    def of(trajectory: Trajectory) -> TaskOutcome:
        turns, failure = trajectory.turns, trajectory.failure
        return TaskOutcome(
            task_id=trajectory.task.id,
            task_type=trajectory.task.task_type,
            skills=trajectory.arm,
            outcome=trajectory.outcome,
            turns=len(turns),
            invalid_turns=sum(not turn.valid for turn in turns),
            text_tokens=sum(turn.text_tokens for turn in turns),
            visual_tokens=sum(turn.visual_tokens for turn in turns),
            env_reward=trajectory.env_reward,
            failure="" if failure is None else f"{failure.kind}: {failure.message}",
            actions=tuple(turn.action for turn in turns),
            measures={
                name: float(value)
                for name, value in trajectory.info.items()
                if name != "won" and isinstance(value, int | float)
            },
        )


@dataclass(frozen=True)
class ArmReport:
    """All outcomes of one arm, in task order. Infrastructure failures enter no figure but their own count."""

    name: str
    outcomes: tuple[TaskOutcome, ...]

    @cached_property
    def valid(self) -> tuple[TaskOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.won is not None)

    @property
    def task_types(self) -> tuple[str, ...]:
        """In the order in which they first occur."""
        return tuple(dict.fromkeys(outcome.task_type for outcome in self.outcomes))

    def success(self, task_type: str | None = None) -> Rate:
        """The success rate on one task type, or on all tasks."""
        chosen = [outcome for outcome in self.valid if task_type in (None, outcome.task_type)]
        return Rate(sum(outcome.won is True for outcome in chosen), len(chosen))

    @property
    def infrastructure(self) -> int:
        return len(self.outcomes) - len(self.valid)

    @property
    def turns(self) -> int:
        """Turns of all valid episodes."""
        return sum(outcome.turns for outcome in self.valid)

    @property
    def mean_turns(self) -> float:
        """Turns per valid episode."""
        return self.turns / max(1, len(self.valid))

    @property
    def text_tokens_per_turn(self) -> float:
        return sum(outcome.text_tokens for outcome in self.valid) / max(1, self.turns)

    @property
    def visual_tokens_per_turn(self) -> float:
        return sum(outcome.visual_tokens for outcome in self.valid) / max(1, self.turns)

    @property
    def invalid_share(self) -> float:
        """Share of turns whose reply was invalid."""
        return sum(outcome.invalid_turns for outcome in self.valid) / max(1, self.turns)

    def outcomes_by_task(self) -> dict[str, bool | None]:
        """Task id -> won, lost, or None for an infrastructure failure."""
        return {outcome.task_id: outcome.won for outcome in self.outcomes}

    def skills_by_task_type(self) -> dict[str, list[list[str]]]:
        """Task type -> the distinct sets of skill files that its tasks were really shown."""
        shown: dict[str, list[list[str]]] = {}
        for outcome in self.outcomes:
            sets = shown.setdefault(outcome.task_type, [])
            if list(outcome.skills) not in sets:
                sets.append(list(outcome.skills))
        return shown

    def summary(self) -> dict[str, Any]:
        """The figures as JSON data."""
        return {
            "success": _rate_json(self.success()),
            "success_by_task_type": {kind: _rate_json(self.success(kind)) for kind in self.task_types},
            "mean_turns": self.mean_turns,
            "text_tokens_per_turn": self.text_tokens_per_turn,
            "visual_tokens_per_turn": self.visual_tokens_per_turn,
            "invalid_share": self.invalid_share,
            "infrastructure": self.infrastructure,
            "skills_by_task_type": self.skills_by_task_type(),
        }


@dataclass(frozen=True)
class EvaluationReport:
    """Arms over the same policy, sampling and seed.

    `skill_digests` maps the name of every skill file shown to its sha256 values (several if arms show
    different files of one name). `episodes` and `env_steps` count what was really played: arms that show a
    task the same files share one episode. `seconds` is wall time, and no part of equality.
    """

    arms: tuple[ArmReport, ...]
    seed: int
    sampling: Mapping[str, float]
    skill_digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    episodes: int = 0
    env_steps: int = 0
    seconds: float = field(default=0.0, compare=False)

    def __getitem__(self, name: str) -> ArmReport:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(f"no arm is named {name!r}; there are {[arm.name for arm in self.arms]}")

    @property
    def tasks_digest(self) -> str:
        """sha256 (hex) over the sorted ids of all tasks: equal for two evaluations of the same tasks."""
        ids = sorted({outcome.task_id for arm in self.arms for outcome in arm.outcomes})
        return hashlib.sha256("\n".join(ids).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """JSON data, schema 1."""
        return {
            "schema": SCHEMA,
            "skill0": __version__,
            "seed": self.seed,
            "sampling": dict(self.sampling),
            "tasks_sha256": self.tasks_digest,
            "skill_digests": {name: list(digests) for name, digests in self.skill_digests.items()},
            "episodes": self.episodes,
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "arms": {
                arm.name: {
                    "summary": arm.summary(),
                    "outcomes": [_outcome_to_json(outcome) for outcome in arm.outcomes],
                }
                for arm in self.arms
            },
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> EvaluationReport:
        """Reads what `to_json` wrote.

        Raises:
            ConfigError: another schema, or not a report.
        """
        if data.get("schema") != SCHEMA:
            raise ConfigError(
                f"this skill0 reads evaluation reports of schema {SCHEMA}, not {data.get('schema')!r}"
            )
        try:
            arms = tuple(
                ArmReport(name, tuple(_outcome_from_json(item) for item in arm["outcomes"]))
                for name, arm in data["arms"].items()
            )
            digests = {name: tuple(found) for name, found in data["skill_digests"].items()}
            return EvaluationReport(
                arms=arms,
                seed=data["seed"],
                sampling=dict(data["sampling"]),
                skill_digests=digests,
                episodes=data["episodes"],
                env_steps=data["env_steps"],
                seconds=data["seconds"],
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"the evaluation report is damaged: {error!r}") from error

    def table(self) -> Table:
        """A table (rich), a column per arm: success per task type with 95 % intervals, then other figures."""
        from rich.table import Table

        table = Table(title="Success in % [95 % interval]", title_justify="left")
        table.add_column("task type")
        table.add_column("tasks", justify="right")
        for arm in self.arms:
            table.add_column(arm.name, justify="right")
        for kind in dict.fromkeys(kind for arm in self.arms for kind in arm.task_types):
            count = max(arm.success(kind).total for arm in self.arms)
            table.add_row(kind, str(count), *(str(arm.success(kind)) for arm in self.arms))
        table.add_section()
        count = max((arm.success().total for arm in self.arms), default=0)
        table.add_row("all", str(count), *(str(arm.success()) for arm in self.arms), style="bold")
        table.add_section()
        for label, cells in self._figures():
            table.add_row(label, "", *cells)
        return table

    def _figures(self) -> Iterable[tuple[str, list[str]]]:
        yield "turns per episode", [f"{arm.mean_turns:.1f}" for arm in self.arms]
        yield "text tokens per turn", [f"{arm.text_tokens_per_turn:.0f}" for arm in self.arms]
        yield "visual tokens per turn", [f"{arm.visual_tokens_per_turn:.0f}" for arm in self.arms]
        yield "invalid replies", [f"{100 * arm.invalid_share:.1f} %" for arm in self.arms]
        yield "infrastructure failures", [str(arm.infrastructure) for arm in self.arms]


def _rate_json(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval
    return {"successes": rate.successes, "tasks": rate.total, "rate": rate.value, "low": low, "high": high}


def _outcome_to_json(outcome: TaskOutcome) -> dict[str, Any]:
    data = {**asdict(outcome), "skills": list(outcome.skills), "actions": list(outcome.actions)}
    if not outcome.measures:  # as in environments that tell none
        del data["measures"]
    return data


def _outcome_from_json(data: Mapping[str, Any]) -> TaskOutcome:
    # Reports of earlier versions have no actions and no measures.
    tuples = {"skills": tuple(data["skills"]), "actions": tuple(data.get("actions", ()))}
    return TaskOutcome(**{**data, **tuples})
