"""A circuit breaker: a server that has been failing for a while is left alone, and looked at now and then.

Our own and not a library's: pybreaker and circuitbreaker count failed calls only, and sixteen threads that
meet a server in the second of its restart fail sixteen times. This one opens when attempts failed in a row
*and* for a stated time; and it tells, before it opens, that a server is failing, so that another one is
preferred.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Circuit:
    """Closed at first. Opens after `failures` attempts in a row that failed over at least `outage_s` seconds;
    then one attempt is let through every `pause_s` seconds (half-open), and one success closes it.
    Thread-safe."""

    def __init__(
        self, failures: int, outage_s: float, pause_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures, self._outage_s, self._pause_s, self._clock = failures, outage_s, pause_s, clock
        self._lock = threading.Lock()
        self._streak = 0
        self._first_failure = self._last_failure = self._next_probe = self._asked_until = 0.0
        self.last_reason = ""

    @property
    def open(self) -> bool:
        with self._lock:
            long_enough = self._last_failure - self._first_failure >= self._outage_s
            return self._streak >= self._failures and long_enough

    @property
    def failing_s(self) -> float:
        """Seconds since the first failure of those in a row; 0 when the last attempt did not fail."""
        with self._lock:
            return self._clock() - self._first_failure if self._streak else 0.0

    @property
    def asked_to_wait_s(self) -> float:
        """Seconds for which the server still asked to be left alone."""
        with self._lock:
            return max(0.0, self._asked_until - self._clock()) if self._streak else 0.0

    def ready(self) -> bool:
        """Whether the last attempt did not fail, or a probe is due, which is then the caller's to make."""
        with self._lock:
            if self._streak == 0:
                return True
            now = self._clock()
            if now < self._next_probe:
                return False
            self._next_probe = now + self._pause_s
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._streak = 0

    def failed(self, reason: str, retry_after_s: float | None = None) -> None:
        """`retry_after_s`: in how many seconds the server asked to come back, which is when it is probed."""
        with self._lock:
            self._last_failure = self._clock()
            if self._streak == 0:
                self._first_failure = self._last_failure
            self._streak += 1
            rest_s = self._pause_s if retry_after_s is None else retry_after_s
            self._next_probe = self._last_failure + rest_s
            self._asked_until = self._last_failure + (retry_after_s or 0.0)
            self.last_reason = reason
