"""Seconds on two clocks, and ratios of what ran side by side.

The machine does other work too: ratios are of runs that took turns, and the median over repetitions counts.
CPU seconds of this process are steadier than wall seconds, which hold every wait for a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

WALL = time.perf_counter
"""Kept, because `--cpu-seconds` lets `time.perf_counter` count CPU time."""


@dataclass(frozen=True)
class Seconds:
    wall: float
    cpu: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Seconds:
    return Seconds(WALL(), time.process_time())


def seconds_of(work: Callable[[], Any]) -> Seconds:
    start = now()
    work()
    return now() - start


def median_ratio(measured: Sequence[Seconds], base: Sequence[Seconds]) -> dict[str, float]:
    """The median over pairs of measured / base, by wall clock and by CPU seconds."""
    pairs = list(zip(measured, base, strict=True))
    return {
        "wall": median(one.wall / other.wall for one, other in pairs),
        "cpu": median(one.cpu / other.cpu for one, other in pairs),
    }


def take_turns(works: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, list[Seconds]]:
    """Seconds of each work, all of them once a repetition, after one that does not count."""
    found: dict[str, list[Seconds]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            measured = seconds_of(work)
            if repetition:
                found[name].append(measured)
    return found
