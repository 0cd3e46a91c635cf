"""Guards: figures that show a run going wrong, watched while it trains.

A guard looks at figures that are logged anyway (docs/trainer.md) and speaks when one has been out of bounds
for several rounds in a row: it says what that usually means and which setting to look at. It never changes
what is trained. With `guards="stop"` the run ends at the next end of a round, with a checkpoint.

`Watch` is a pure fold over rows of metrics. What it remembers follows from the rows alone, so a resumed run
rebuilds it from transformers' `log_history`, which every checkpoint holds; and all processes, which log the
same rows, decide alike.

Left out on purpose: guards on the loss (near 0 by construction, see docs/trainer.md) and on the gradient
norm, which clipping deals with; a loss that is not finite ends training at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from skill0.errors import ConfigError
from skill0.training import trl_internals

logger = logging.getLogger(__name__)

ACTIONS = ("warn", "stop", "off")

ADVICE = {
    "entropy_collapse": (
        "replies hardly vary any more, though tasks are still failed: exploration is over. Raise temperature "
        "or entropy_coef, lower learning_rate, or hold on to the first policy with beta"
    ),
    "entropy_explosion": (
        "replies have become much more random than they were: the policy forgets what it knew. Lower "
        "learning_rate, set or raise beta, and see that entropy_coef is not too large"
    ),
    "reply_length": (
        "replies have grown far beyond those of the first rounds: length may pay. Try loss_mean='token', "
        "lower max_completion_length, and read some replies (log_completions=True)"
    ),
    "cut_off_replies": (
        "many replies end at max_completion_length without an end token, and are invalid for that. Raise "
        "max_completion_length, or lower temperature; a policy that rambles may need a warm-up"
    ),
    "invalid_actions": (
        "many replies are no valid action: the policy has lost, or never had, the form of a reply. Raise "
        "invalid_action_penalty, set beta, lower learning_rate, or warm it up on demonstrations"
    ),
    "no_signal": (
        "hardly any rollout group has an advantage: all members succeed, or all fail, and nothing is learnt. "
        "Raise num_generations or temperature, or choose tasks of another difficulty"
    ),
    "compression_runaway": (
        "the policy asks for nearly the largest compression, where pages cannot be read. Lower "
        "compression_weight, or raise compression_interval"
    ),
    "compression_collapse": (
        "the policy has stopped compressing its pages. Raise compression_weight or lower "
        "compression_interval, unless pages are too small to lose anything"
    ),
}
"""What each guard says: what its alarm usually means, and the settings to look at."""


@dataclass(frozen=True)
class GuardSettings:
    """When guards speak. Means and shares are those of logged rows that hold a round of rollouts.

    Args:
        rounds (`int`, *optional*, defaults to `5`):
            Rows in a row that must be out of bounds. A figure's start is its mean over the first `rounds`
            rows.
        entropy_low (`float`, *optional*, defaults to `0.1`):
            `rollout/surprise` below this many times its start is a collapse, unless the tasks are solved.
        entropy_high (`float`, *optional*, defaults to `4.0`):
            `rollout/surprise` above this many times its start is an explosion.
        entropy_floor (`float`, *optional*, defaults to `0.02`):
            Nats per token; a start below it counts as this much, so that noise near 0 is no explosion.
        length_growth (`float`, *optional*, defaults to `2.0`):
            `completions/mean_length` above this many times its start.
        cut_off_share (`float`, *optional*, defaults to `0.5`):
            `completions/clipped_ratio` above this.
        invalid_share (`float`, *optional*, defaults to `0.5`):
            `invalid_share` above this.
        signal_share (`float`, *optional*, defaults to `0.05`):
            `groups/signal` at or below this, unless the tasks are solved.
        solved (`float`, *optional*, defaults to `0.9`):
            Tasks count as solved from this `success` on: low entropy and equal rewards are then as they
            should be.
        compression_high (`float`, *optional*, defaults to `4.5`):
            `compression/mean_factor` above this is a runaway (the largest factor is 5).
        compression_low (`float`, *optional*, defaults to `1.05`):
            `compression/mean_factor` below this is a collapse, once it has been above `compression_seen`.
        compression_seen (`float`, *optional*, defaults to `1.2`):
            The mean factor from which on a policy counts as one that compresses.

    Raises:
        ConfigError: a value out of range.
    """

    rounds: int = 5
    entropy_low: float = 0.1
    entropy_high: float = 4.0
    entropy_floor: float = 0.02
    length_growth: float = 2.0
    cut_off_share: float = 0.5
    invalid_share: float = 0.5
    signal_share: float = 0.05
    solved: float = 0.9
    compression_high: float = 4.5
    compression_low: float = 1.05
    compression_seen: float = 1.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise ConfigError(f"guard_settings: {name}={value!r} must be a number, not negative")
        if self.rounds < 1 or self.rounds != int(self.rounds):
            raise ConfigError(f"guard_settings: rounds={self.rounds} must be a whole number of 1 or more")
        if not self.entropy_low < self.entropy_high:
            raise ConfigError(
                f"guard_settings: entropy_low={self.entropy_low} must lie below "
                f"entropy_high={self.entropy_high}"
            )


def guard_settings(changes: Mapping[str, Any] | None) -> GuardSettings:
    """The default settings with some changed. Raises `ConfigError` on a name that is none, or a bad value."""
    known = {item.name for item in fields(GuardSettings)}
    unknown = sorted(set(changes or {}) - known)
    if unknown:
        raise ConfigError(f"guard_settings: unknown {unknown}; there are {sorted(known)}")
    return GuardSettings(**(changes or {}))


@dataclass(frozen=True)
class Alarm:
    """One guard's warning. `figure`, `value` and `bound` say what was seen, in the last of `rounds` rows."""

    guard: str
    step: int
    figure: str
    value: float
    bound: float
    rounds: int

    @property
    def message(self) -> str:
        return (
            f"guard {self.guard} at step {self.step}: {self.figure} is {self.value:.4g} (bound "
            f"{self.bound:.4g}), out of bounds in {self.rounds} rounds in a row. {ADVICE[self.guard]}."
        )


@dataclass
class Watch:
    """What the guards remember of the rows so far: `starts` of figures that are compared with their own
    beginning, how many rows in a row each guard was out of bounds, and the largest compression."""

    settings: GuardSettings = field(default_factory=GuardSettings)
    starts: dict[str, list[float]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    most_compressed: float = 1.0

    def see(self, row: Mapping[str, Any]) -> list[Alarm]:
        """Take in one logged row; the alarms it sets off. Rows without rollouts are passed over.

        A guard speaks when its streak reaches `rounds`, and again after every further `rounds` rows.
        """
        if "rollout/surprise" not in row:
            return []
        alarms = []
        for guard, figure, bad, bound in self._checks(row):
            self.streaks[guard] = self.streaks.get(guard, 0) + 1 if bad else 0
            if bad and self.streaks[guard] % self.settings.rounds == 0:
                step = int(row.get("step", 0))
                alarms.append(Alarm(guard, step, figure, row[figure], bound, self.streaks[guard]))
        return alarms

    def _checks(self, row: Mapping[str, Any]) -> Iterable[tuple[str, str, bool, float]]:
        """(guard, figure, whether it is out of bounds, bound) of every guard that this row lets judge."""
        settings = self.settings
        unsolved = row.get("success", 0.0) < settings.solved
        entropy = row["rollout/surprise"]
        start = self._start("rollout/surprise", entropy)
        if start is not None:
            low = settings.entropy_low * start
            yield "entropy_collapse", "rollout/surprise", entropy < low and unsolved, low
            high = settings.entropy_high * max(start, settings.entropy_floor)
            yield "entropy_explosion", "rollout/surprise", entropy > high, high
        length = row["completions/mean_length"]
        start = self._start("completions/mean_length", length)
        if start is not None:
            bound = settings.length_growth * start
            yield "reply_length", "completions/mean_length", length > bound, bound
        for guard, figure, bound in (
            ("cut_off_replies", "completions/clipped_ratio", settings.cut_off_share),
            ("invalid_actions", "invalid_share", settings.invalid_share),
        ):
            yield guard, figure, row[figure] > bound, bound
        if "groups/signal" in row:
            flat = row["groups/signal"] <= settings.signal_share and unsolved
            yield "no_signal", "groups/signal", flat, settings.signal_share
        factor = row.get("compression/mean_factor")
        if factor is not None:
            self.most_compressed = max(self.most_compressed, factor)
            compresses = self.most_compressed >= settings.compression_seen
            name, high, low = "compression/mean_factor", settings.compression_high, settings.compression_low
            yield "compression_runaway", name, factor > high, high
            yield "compression_collapse", name, factor < low and compresses, low

    def _start(self, figure: str, value: float) -> float | None:
        """The figure's mean over the first rows; None while these are still being taken in."""
        seen = self.starts.setdefault(figure, [])
        if len(seen) < self.settings.rounds:
            seen.append(value)
            return None
        return sum(seen) / len(seen)


class Guards(TrainerCallback):
    """Watches a `Skill0Trainer`, warns on its first process, and stops it if it is asked to.

    An alarm is also a figure, `guards/<name>`, of the next row. A run that was stopped can be resumed; a
    guard that is still out of bounds then gives it another `rounds` rounds.
    """

    def __init__(self, trainer: Any, action: str, settings: GuardSettings) -> None:
        self.trainer = trainer
        self.action = action
        self.watch = Watch(settings)
        self.raised: list[Alarm] = []
        self.stopping = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.watch, self.raised, self.stopping = Watch(self.watch.settings), [], False
        for row in state.log_history:
            alarms = self.watch.see(row)
            self.raised = alarms if row["step"] == state.global_step else []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for alarm in self.watch.see({"step": state.global_step, **(logs or {})}):
            self.raised.append(alarm)
            if state.is_world_process_zero:
                logger.warning("%s", alarm.message)
            self.stopping |= self.action == "stop"
        self._stop_between_rounds(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Not in `on_log`: TRL forgets its metrics when it has logged them.
        for alarm in self.raised:
            self.trainer.record(f"guards/{alarm.guard}", 1.0)
        self.raised = []
        self._stop_between_rounds(control)

    def _stop_between_rounds(self, control: TrainerControl) -> None:
        """Inside a round a checkpoint would lack the turns that are still to be trained on."""
        between = trl_internals.windows_done(self.trainer) % self.trainer.windows_per_round == 0
        if self.stopping and between and not control.should_training_stop:
            logger.warning("guards: training stops here, at the end of a round, with a checkpoint")
            control.should_training_stop = control.should_save = True
