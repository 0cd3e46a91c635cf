"""How search servers are asked. Importing this needs no extra: recipes hold it."""

from __future__ import annotations

from dataclasses import dataclass

from skill0.errors import ConfigError
from skill0.retrieval.wire import WIRE_FORMS, WireForm


@dataclass(frozen=True)
class HttpSettings:
    """How search servers are asked.

    Args:
        form (`str`, *optional*, defaults to `"search_r1"`):
            The wire form: `"search_r1"` sends lists of `queries`, `"skillzero"` one `query` a request.
        batch_size (`int`, *optional*, defaults to `64`):
            Queries in one request; the form `skillzero` has one.
        connections (`int`, *optional*, defaults to `16`):
            Requests under way at the same time, to each server.
        connect_timeout_s (`float`, *optional*, defaults to `5.0`):
            Seconds until a connection stands.
        read_timeout_s (`float`, *optional*, defaults to `30.0`):
            Seconds until the answer begins, and again until it is complete.
        patience_s (`float`, *optional*, defaults to `120.0`):
            Seconds after which a call sends nothing more, pauses and all: longer than a server takes to start
            again.
        attempts (`int`, *optional*, defaults to `10`):
            How often a request is sent at most; each goes to the next server that is not failing. Attempts
            that no server took, for there was no connection, do not count: they end with the patience.
        backoff_s (`float`, *optional*, defaults to `0.25`):
            Pause after the first attempt that failed; it doubles from one to the next. Each pause is drawn
            between half of that and the whole.
        backoff_most_s (`float`, *optional*, defaults to `15.0`):
            The longest pause, unless all servers ask for a longer one (Retry-After).
        failures_to_open (`int`, *optional*, defaults to `5`), outage_s (`float`, *optional*):
            A server that failed so often in a row, over so many seconds (those of the patience when not
            given), is left alone: its circuit is open.
        pause_s (`float`, *optional*, defaults to `10.0`):
            Seconds between probes of a server that is failing. When the circuits of all servers are open,
            every other request fails at once.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    form: WireForm = "search_r1"
    batch_size: int = 64
    connections: int = 16
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    patience_s: float = 120.0
    attempts: int = 10
    backoff_s: float = 0.25
    backoff_most_s: float = 15.0
    failures_to_open: int = 5
    outage_s: float | None = None
    pause_s: float = 10.0

    def __post_init__(self) -> None:
        if self.form not in WIRE_FORMS:
            raise ConfigError(f"form must be one of {', '.join(WIRE_FORMS)}; got {self.form!r}")
        for name in ("batch_size", "connections", "attempts", "failures_to_open"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("connect_timeout_s", "read_timeout_s", "patience_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0 seconds; got {getattr(self, name)}")
        for name in ("backoff_s", "backoff_most_s", "outage_s", "pause_s"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} must be at least 0 seconds; got {getattr(self, name)}")

    @property
    def longest_call_s(self) -> float:
        """Seconds that a call may take at most: its last attempt begins when the patience ends. It may wait
        for a free connection as long as for an answer to begin; and the rest of the answer is timed between
        two reads, so that it may take twice its time."""
        return self.patience_s + self.connect_timeout_s + 4 * self.read_timeout_s
