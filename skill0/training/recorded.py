"""What the study measured, shown beside a run: an arm's success over its seeds, and the command that measures
it again.

The record is what `benchmarks/internalization.py --json` writes. A recipe names it in `evaluation.recorded`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill0.errors import ConfigError

COMMAND = "python benchmarks/internalization.py"


@dataclass(frozen=True)
class RecordedArm:
    """Success of one arm of the study under one context: mean over `seeds`, 95 % interval (None
    with one seed)."""

    arm: str
    context: str
    when: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]

    @property
    def mean_text(self) -> str:
        """In per cent: "61.0 [50.0, 72.0]"."""
        interval = "" if self.low is None or self.high is None else f" [{_percent(self.low, self.high)}]"
        return f"{100 * self.mean:.1f}{interval}"

    @property
    def another_text(self) -> str:
        """Where another seed is expected, in per cent: "[39.0, 83.0]"."""
        if self.low is None or self.high is None:
            return "one seed only"
        return f"[{_percent(*another_seed(self.low, self.high, len(self.seeds)))}]"

    @property
    def command(self) -> str:
        """What measures this arm again."""
        return f"{COMMAND} {self.arm} --seeds {' '.join(map(str, self.seeds))}"


def another_seed(low: float, high: float, seeds: int) -> tuple[float, float]:
    """Where a further seed's share is expected to lie, given the t interval of a mean over so many seeds.

    The mean lies within t * s / sqrt(n), one more figure within t * s * sqrt(1 + 1 / n) of it: sqrt(n + 1)
    times as far. Cut to 0 and 1.
    """
    mean, half = (low + high) / 2, (high - low) / 2 * math.sqrt(seeds + 1)
    return max(0.0, mean - half), min(1.0, mean + half)


def recorded_arms(path: str | Path) -> list[RecordedArm]:
    """Everything recorded at `path`, arms in their order, contexts within arms, before and after.

    Raises:
        ConfigError: there is no such file, or it is no record of the study.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"evaluation.recorded: there is no {path}; write it with {COMMAND} --json {path}")
    try:
        arms: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["arms"]
        return [
            RecordedArm(arm, context, when, mean["mean"], mean["low"], mean["high"], tuple(found["seeds"]))
            for arm, found in arms.items()
            for context, times in found["success"].items()
            for when, mean in ((when, figures["over_seeds"]) for when, figures in times.items())
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"evaluation.recorded: {path} is no record of the study ({error!r}); write it again with "
            f"{COMMAND} --json {path}"
        ) from error


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.1f}, {100 * high:.1f}"
