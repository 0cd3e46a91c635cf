"""The dynamic curriculum: the object with state that decides which skill files are in context.

SKILL0 (arXiv 2604.02268), algorithm 1; what docs/curriculum.md calls "ours" where paper and published code
part. A training loop uses it like this, before each training step:

    if curriculum.due(step):
        measured = measure(curriculum.active) if curriculum.needs_helpfulness(step) else {}
        change = curriculum.update(step, measured)
    train(step, skills=curriculum.active)

Deviations: a withdrawn file never returns, because one that is not shown cannot be measured; the interval
is counted from each stage's first step; at a stage's first step the budget binds at once, not at the next
validation. Left out: measuring (see `skill0.evaluation`), and grouping (see `skill0.skills`).
Tests: tests/curriculum/test_curriculum.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from skill0.curriculum.budget import first_step, linear_budgets, stage_of
from skill0.curriculum.change import CurriculumChange, check_names
from skill0.curriculum.helpfulness import Helpfulness
from skill0.curriculum.selection import check_switches, select, uses_helpfulness
from skill0.errors import CheckpointError, ConfigError

STATE_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 knew no confidence and no counts behind Delta_k: it reads as a state without either."""


class Curriculum:
    """Decides which skill files the policy sees at each training step.

    Args:
        file_names: all skill files, in bank order. All are active at first.
        total_steps: training steps of the whole run; divided into stages as equal as whole steps allow.
        num_stages: N_S, *optional*, defaults to 3, or to the number of `budgets`.
        interval: d, training steps between validations inside a stage.
        budgets: files allowed at each stage, *optional*, defaults to equation 6. Constant budgets give the
            ablations: [6, 6, 6] never withdraws by budget, [0, 0, 0] never shows a skill.
        filter: "positive" (Delta_k > 0, the paper), "nonnegative" (the published code) or "none".
        rank: "helpfulness" (the paper), "random" (the ablation without ranking) or "none" (bank order).
        always_keep: files that are neither filtered nor ranked while the budget is above 0, and count in it
            (the published code does so with its general skills).
        seed: of the random ranking.
        confidence: the posterior probability that the filter asks for before it drops a file, *optional*;
            between 0.5 and 1. None is the paper's rule, the sign of Delta_k.

    The fixed full bank of the ablations is `budgets=[N] * num_stages, filter="none", rank="none"`.

    Raises:
        ConfigError: settings that are out of range or contradict each other.
    """

    def __init__(
        self,
        file_names: Sequence[str],
        *,
        total_steps: int,
        num_stages: int | None = None,
        interval: int = 10,
        budgets: Sequence[int] | None = None,
        filter: str = "positive",
        rank: str = "helpfulness",
        always_keep: Sequence[str] = (),
        seed: int = 0,
        confidence: float | None = None,
    ) -> None:
        self.file_names = tuple(file_names)
        self.budgets = _budgets(num_stages, budgets, len(self.file_names))
        self.num_stages = len(self.budgets)
        self.total_steps = total_steps
        self.interval = interval
        self.filter = filter
        self.rank = rank
        self.always_keep = tuple(always_keep)
        self.seed = seed
        self.confidence = confidence
        self._check_settings()
        self._active = self.file_names
        self._timeline: list[CurriculumChange] = []

    @property
    def active(self) -> tuple[str, ...]:
        """The files in context now, in bank order."""
        return self._active

    @property
    def timeline(self) -> tuple[CurriculumChange, ...]:
        """Every round of selection so far, oldest first."""
        return tuple(self._timeline)

    def stage(self, step: int) -> int:
        """The stage, counted from 1, of training step `step`, counted from 0."""
        return stage_of(step, self.total_steps, self.num_stages)

    def budget(self, step: int) -> int:
        """M(s): the most files allowed in context at training step `step`."""
        return self.budgets[self.stage(step) - 1]

    def due(self, step: int) -> bool:
        """Whether `update` has to be called before training step `step`.

        True when more files are active than the stage's budget allows (with a budget of 0: while any is),
        and every `interval` steps of a stage, its first step included, as long as files are active. The
        very first step of training is not due by the interval: the whole bank is shown before it is judged.
        """
        if len(self._active) > self.budget(step):
            return True
        if not self._active or step == 0 or step == self._last_update:
            return False
        start = first_step(self.stage(step), self.total_steps, self.num_stages)
        return (step - start) % self.interval == 0

    def needs_helpfulness(self, step: int) -> bool:
        """Whether `update` at `step` looks at measured helpfulness: not when the budget is 0, nor when both
        the filter and the ranking by helpfulness are off. Then validating for it would be wasted."""
        return self.budget(step) > 0 and uses_helpfulness(self.filter, self.rank)

    def update(self, step: int, helpfulness: Mapping[str, Helpfulness]) -> CurriculumChange:
        """One round of algorithm 1: filter, rank and select among the active files; returns what changed.

        `helpfulness` must hold every active file, except those in `always_keep`, if `needs_helpfulness`.
        What it says of withdrawn files is neither looked at nor kept in the timeline: they are not shown.

        Raises:
            ConfigError: a missing or unknown file, one filed under another's name, both forms of Delta_k
                among the active files, or a step before the last update.
        """
        unknown = sorted(set(helpfulness) - set(self.file_names))
        if unknown:
            raise ConfigError(f"helpfulness names unknown skill files {unknown}; known are {self.file_names}")
        check_names(helpfulness)
        if step < self._last_update:
            raise ConfigError(f"step {step} lies before the last update at step {self._last_update}")
        budget = self.budget(step)
        selection = select(
            self._active,
            helpfulness,
            budget,
            filter=self.filter,
            rank=self.rank,
            always_keep=self.always_keep,
            seed=f"{self.seed}:{step}",
            confidence=self.confidence,
        )
        change = CurriculumChange(
            step=step,
            stage=self.stage(step),
            budget=budget,
            kept=selection.kept,
            withdrawn=selection.withdrawn,
            reasons=selection.reasons,
            helpfulness={name: helpfulness[name] for name in self._active if name in helpfulness},
        )
        self._active = selection.kept
        self._timeline.append(change)
        return change

    def state_dict(self) -> dict[str, Any]:
        """All state as JSON data, with the settings it belongs to."""
        return {
            "version": STATE_VERSION,
            "settings": self._settings(),
            "active": list(self._active),
            "timeline": [change.to_json() for change in self._timeline],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the state of a `state_dict`.

        Raises:
            CheckpointError: the state is of another version, of other settings, or not a state at all.
        """
        if state.get("version") not in READABLE_VERSIONS:
            raise CheckpointError(
                f"curriculum state has version {state.get('version')!r}, this reads {READABLE_VERSIONS}; "
                "resume with the version of skill0 that wrote it"
            )
        mine, theirs = self._settings(), state.get("settings", {})
        changed = [key for key in mine if theirs.get(key) != mine[key]]
        if changed:
            differences = ", ".join(f"{key}: {theirs.get(key)!r} then, {mine[key]!r} now" for key in changed)
            raise CheckpointError(f"the curriculum's settings changed since the checkpoint ({differences})")
        try:
            active = tuple(state["active"])
            timeline = [CurriculumChange.from_json(item) for item in state["timeline"]]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the curriculum state is damaged: {error!r}") from error
        if not set(active) <= set(self.file_names):
            raise CheckpointError(f"the curriculum state names files {active}, not all in {self.file_names}")
        self._active, self._timeline = active, timeline

    @property
    def _last_update(self) -> int:
        return self._timeline[-1].step if self._timeline else -1

    def _settings(self) -> dict[str, Any]:
        """The settings as JSON data: what a state must agree on."""
        return {
            "file_names": list(self.file_names),
            "budgets": list(self.budgets),
            "total_steps": self.total_steps,
            "interval": self.interval,
            "filter": self.filter,
            "rank": self.rank,
            "always_keep": list(self.always_keep),
            "seed": self.seed,
            "confidence": self.confidence,
        }

    def _check_settings(self) -> None:
        if len(set(self.file_names)) != len(self.file_names):
            raise ConfigError(f"file_names={self.file_names} holds a name twice")
        if self.total_steps < self.num_stages:
            raise ConfigError(
                f"total_steps={self.total_steps} is less than num_stages={self.num_stages}: "
                "every stage needs at least one step"
            )
        if self.interval < 1:
            raise ConfigError(f"interval={self.interval} must be at least 1 step")
        check_switches(self.filter, self.rank, self.confidence)
        unknown = sorted(set(self.always_keep) - set(self.file_names))
        if unknown:
            raise ConfigError(f"always_keep names unknown skill files {unknown}; known are {self.file_names}")
        for stage, allowed in enumerate(self.budgets, start=1):
            if 0 < allowed < len(set(self.always_keep)):
                raise ConfigError(
                    f"always_keep={self.always_keep} holds more files than the budget of {allowed} in stage "
                    f"{stage}; shorten always_keep or give larger budgets"
                )


def _budgets(num_stages: int | None, budgets: Sequence[int] | None, num_files: int) -> tuple[int, ...]:
    """The budget of each stage: those given, checked, or equation 6."""
    if num_files < 1:
        raise ConfigError("a curriculum needs at least one skill file, file_names is empty")
    if budgets is None:
        return linear_budgets(3 if num_stages is None else num_stages, num_files)
    given = tuple(budgets)
    if not given:
        raise ConfigError("budgets is empty; give one budget per stage, or None for equation 6")
    if num_stages is not None and num_stages != len(given):
        raise ConfigError(f"num_stages={num_stages} contradicts the {len(given)} budgets {list(given)}")
    if any(not 0 <= allowed <= num_files for allowed in given):
        raise ConfigError(
            f"budgets={list(given)} must lie between 0 and {num_files}, the number of skill files"
        )
    if any(later > earlier for earlier, later in pairwise(given)):
        raise ConfigError(
            f"budgets={list(given)} grow from one stage to the next, but a withdrawn file does not return"
        )
    return given
