"""Search servers that take turns: the next that is well answers, one that fails is passed over.

Each has a circuit (see `circuit`) and pooled connections (see `http_transport`).
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.circuit import Circuit
from skill0.retrieval.http_settings import HttpSettings
from skill0.retrieval.http_transport import PassingFault, Transport


class Servers:
    """The servers at some URLs. Thread-safe."""

    def __init__(self, urls: list[str], settings: HttpSettings) -> None:
        self.urls = tuple(_full_url(url) for url in urls)
        self._pause_s = settings.pause_s
        outage_s = settings.patience_s if settings.outage_s is None else settings.outage_s
        self._circuits = [Circuit(settings.failures_to_open, outage_s, settings.pause_s) for _ in self.urls]
        timeouts = settings.connect_timeout_s, settings.read_timeout_s
        self._transports = [Transport(url, settings.connections, *timeouts) for url in self.urls]

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    @property
    def asked_to_wait_s(self) -> float:
        """Seconds until the first server may be asked again; 0 when one may be asked now."""
        closed = [circuit.asked_to_wait_s for circuit in self._circuits if not circuit.open]
        return min(closed, default=0.0)

    def choose(self, turn: int) -> int:
        """The next server in turn that is well or due for a probe; else, of those that are not left alone,
        the next that did not ask to wait, or asked for least.

        Raises:
            RetrievalError: the circuits of all are open.
        """
        order = [(turn + step) % len(self.urls) for step in range(len(self.urls))]
        for server in order:
            if self._circuits[server].ready():
                return server
        closed = [server for server in order if not self._circuits[server].open]
        if closed:
            return min(closed, key=lambda server: self._circuits[server].asked_to_wait_s)
        circuit, url = self._circuits[order[0]], self.urls[order[0]]
        raise RetrievalError(
            f"{url} has been failing for {circuit.failing_s:.0f} s and is left alone for now (the circuit is "
            f"open); it is looked at every {self._pause_s:g} s. Last failure: {circuit.last_reason}. "
            "To do: start the server again, or give another URL"
        )

    def post(self, server: int, body: bytes) -> bytes:
        """One request to one server; how it went decides who is chosen next. Errors of `Transport.post`."""
        try:
            answer = self._transports[server].post(body)
        except PassingFault as fault:
            self._circuits[server].failed(fault.reason, fault.retry_after_s)
            raise
        self._circuits[server].succeeded()
        return answer


def _full_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigError(f"{url!r} is no URL: give for instance http://localhost:8000/retrieve") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise ConfigError(f"{url!r} is no URL of a server: give for instance http://localhost:8000/retrieve")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else "/retrieve"))
