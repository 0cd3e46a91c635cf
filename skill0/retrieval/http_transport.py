"""One request over HTTP, sent once: its answer, a fault that may pass, or an error that will not.

urllib3 pools the connections and is used rather than httpx: a request takes half of the CPU time, and it is
there already (through `requests`). Needs the extra `search`. Left out: redirects, proxies and HTTP/2.
"""

from __future__ import annotations

import math
import time

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.wire import excerpt

try:
    import urllib3
    from urllib3.exceptions import (
        ConnectTimeoutError,
        EmptyPoolError,
        HTTPError,
        InvalidHeader,
        NameResolutionError,
        NewConnectionError,
        ProtocolError,
        ReadTimeoutError,
        SSLError,
    )
    from urllib3.util import parse_url
except ImportError as error:
    raise ConfigError(
        "the HTTP client of retrievers needs the extra `search`: pip install 'skill0[search]'"
    ) from error

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_MOST_BYTES = 1 << 28
"""No answer is larger: 256 MiB."""
_WHAT_TO_DO = {
    400: "the server does not take this request: compare its wire form with the setting `form`",
    401: "the server wants a login, which this client does not do: ask it directly, not through a gateway",
    403: "access is refused: is a proxy or gateway in between?",
    404: "nothing is served at this path: search servers answer at /retrieve",
    405: "nothing is posted at this path: search servers answer at /retrieve",
    413: "the request is too large: lower `batch_size`",
    422: "the server does not take this request: Search-R1's own server wants form='search_r1', SkillZero's "
    "wants form='skillzero'",
    429: "the server is busy: lower `connections`, or start more servers",
    503: "the server is busy or not ready: lower `connections`, or give its index time to load",
}


class PassingFault(Exception):
    """An attempt failed in a way that another may not.

    `reached`: there was a connection, so that the server may have seen the request. `busy`: it, or a gateway
    before it, said that it is not able to answer now, whatever is asked. `retry_after_s`: in how many seconds
    it asks to come back, where it does.
    """

    def __init__(
        self,
        reason: str,
        advice: str,
        *,
        reached: bool = True,
        busy: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.advice, self.retry_after_s = reason, advice, retry_after_s
        self.reached, self.busy = reached, busy


class Transport:
    """Pooled connections to the server at `url`, at most `connections`. Thread-safe."""

    def __init__(self, url: str, connections: int, connect_timeout_s: float, read_timeout_s: float) -> None:
        timeout = urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._pool = urllib3.connection_from_url(url, maxsize=connections, block=True, timeout=timeout)
        self._url, self._target = url, parse_url(url).request_uri
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s
        self._wait_s = math.ceil(read_timeout_s)  # for a free connection; whole seconds, says urllib3

    def close(self) -> None:
        self._pool.close()

    def post(self, body: bytes) -> bytes:
        """The body of the answer.

        Raises:
            PassingFault: no connection, a timeout, or a status of `RETRIED_STATUSES`.
            RetrievalError: any other status, or no TLS connection.
        """
        try:
            response = self._pool.urlopen(
                "POST", self._target, body=body, headers=_HEADERS,
                retries=False, redirect=False, preload_content=False, pool_timeout=self._wait_s,
            )  # fmt: skip
            try:
                answer = self._read(response)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except SSLError as error:
            raise RetrievalError(
                f"{self._url}: no TLS connection ({error}). To do: check the certificate, or say http:// "
                "if the server speaks plain HTTP"
            ) from None
        except HTTPError as error:
            raise self._fault(error) from error
        if response.status == 200:
            return answer
        raise _refusal(self._url, response, answer)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """All of the body: a server that sends it drop by drop is cut off in the end."""
        deadline = time.monotonic() + self._read_timeout_s
        parts: list[bytes] = []
        length = 0
        while part := response.read1(1 << 18):
            parts.append(part)
            length += len(part)
            if time.monotonic() > deadline:
                raise PassingFault(
                    f"only {length} bytes of the answer after {self._read_timeout_s:g} s",
                    "raise `read_timeout_s`, or lower `batch_size`",
                )
            if length > _MOST_BYTES:
                raise RetrievalError(f"the answer is larger than {_MOST_BYTES} bytes: {excerpt(parts[0])}")
        return b"".join(parts)

    def _fault(self, error: HTTPError) -> PassingFault:
        if isinstance(error, NameResolutionError):
            return PassingFault(
                f"the name is not known ({error})", "check the host in the URL", reached=False
            )
        if isinstance(error, NewConnectionError):  # before its base class, ConnectTimeoutError
            return PassingFault(
                f"no connection ({error.__cause__ or error})",
                "is the server running, at this host and port? (skill0 serve-retriever)",
                reached=False,
            )
        if isinstance(error, ConnectTimeoutError):
            return PassingFault(
                f"no connection within {self._connect_timeout_s:g} s",
                "check host and port, and any firewall; or raise `connect_timeout_s`",
                reached=False,
            )
        if isinstance(error, EmptyPoolError):
            return PassingFault(
                f"all connections to it were in use for {self._wait_s} s", "raise `connections`",
                reached=False,
            )  # fmt: skip
        if isinstance(error, ReadTimeoutError):
            return PassingFault(
                f"no answer within {self._read_timeout_s:g} s",
                "raise `read_timeout_s`, or lower `batch_size` or `connections`",
            )
        if isinstance(error, ProtocolError):
            return PassingFault(f"the connection broke ({error})", "look into the server's log")
        return PassingFault(f"{type(error).__name__}: {error}", "look into the server's log")


def _refusal(url: str, response: urllib3.BaseHTTPResponse, answer: bytes) -> Exception:
    status = f"status {response.status}: {excerpt(answer) or '(no text)'}"
    advice = _WHAT_TO_DO.get(response.status, "look into the server's log")
    if response.status in RETRIED_STATUSES:
        retry_after_s = _retry_after(response.headers.get("Retry-After"))
        if retry_after_s:
            status += f" (asks to come back in {retry_after_s:.0f} s)"
        return PassingFault(status, advice, busy=response.status != 500, retry_after_s=retry_after_s)
    if 300 <= response.status < 400:
        where = response.headers.get("Location", "nowhere")
        return RetrievalError(f"{url} redirects to {where} (status {response.status}): give that URL")
    return RetrievalError(f"{url} answered with {status}. To do: {advice}")


def _retry_after(value: str | None) -> float | None:
    """Seconds or a date, as HTTP has it (RFC 9110, 10.2.3); what is neither is as if it were not there."""
    if value is None:
        return None
    try:
        return max(0.0, urllib3.Retry().parse_retry_after(value))
    except InvalidHeader:
        return None
