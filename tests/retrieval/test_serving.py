"""Servers as processes: they end well on a signal, come back at the same port, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3
from servers import OVERLAP

from skill0.errors import ConfigError
from skill0.retrieval.http_client import HttpRetriever, HttpSettings
from skill0.retrieval.server import ServerSettings
from skill0.retrieval.serving import bound, serve

pytestmark = pytest.mark.integration

PROGRAM = Path(__file__).with_name("serve_overlap.py")


@contextmanager
def server_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def health(url: str) -> dict:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", f"{url}/health", timeout=30).json()


def runs(process: psutil.Process) -> bool:
    """Ended, but not yet collected by its parent, is ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_requests_under_way(number):
    """Of four requests one is searched and three wait: all are answered, and the exit code is 0."""
    found: dict[int, object] = {}
    with (
        server_process("--seconds=0.3") as (process, url),
        HttpRetriever(url, HttpSettings(attempts=1)) as retriever,
    ):

        def ask(query: int) -> None:
            found[query] = retriever.search(["paris"], 2)

        threads = [threading.Thread(target=ask, args=[query]) for query in range(4)]
        for thread in threads:
            thread.start()
        while health(url)["waiting_queries"] < 3:
            time.sleep(0.005)
        process.send_signal(number)
        for thread in threads:
            thread.join()
        _, errors = process.communicate(timeout=30)
    assert found == dict.fromkeys(range(4), OVERLAP.search(["paris"], 2))
    assert process.returncode == 0, errors
    assert errors == ""


def test_kept_connections_that_are_idle_do_not_hold_the_end_up():
    with server_process() as (process, url), HttpRetriever(url) as retriever:
        retriever.search(["paris"], 1)
        start = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
    assert time.monotonic() - start < 5


def test_a_client_rides_out_a_restart_at_the_same_port():
    with bound("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    settings = HttpSettings(backoff_s=0.1)
    with HttpRetriever(f"http://127.0.0.1:{port}", settings) as retriever:
        for _ in range(2):
            with server_process(f"--port={port}") as (process, _):
                assert retriever.search(["paris"], 2) == OVERLAP.search(["paris"], 2)
                process.kill()


def wait_until_ended(children):
    """Workers, and what Python starts beside them, which may outlive the first process for a moment."""
    deadline = time.monotonic() + 30
    while any(map(runs, children)):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.05)


def test_workers_are_several_processes_and_end_with_the_first():
    with server_process("--workers=2") as (process, url):
        with HttpRetriever(url, HttpSettings(form="skillzero")) as retriever:
            assert retriever.search(["paris"] * 8, 2) == OVERLAP.search(["paris"] * 8, 2)
        deadline = time.monotonic() + 60
        seen: set[int] = set()
        while len(seen) < 2:
            assert time.monotonic() < deadline, "only one of two workers answers"
            seen.add(health(url)["pid"])
        assert process.pid not in seen
        children = psutil.Process(process.pid).children()
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    wait_until_ended(children)


def test_workers_end_when_the_first_process_is_killed():
    with server_process("--workers=2") as (process, url):
        health(url)
        children = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        wait_until_ended(children)
    assert len(children) >= 2


def test_workers_that_cannot_open_the_index_are_not_started_for_ever():
    with server_process("--workers=2", "--fails-in-workers") as (process, _):
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a worker cannot open the index: row 7 is damaged" in errors
    assert "RetrievalError: a worker could not open the index" in errors


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"access_log: .* cannot be written"):
        serve(lambda: pytest.fail("opened"), ServerSettings(access_log=str(tmp_path / "no" / "log")), port=0)


def test_a_taken_port_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"cannot listen at 127.0.0.1 port \d+: .*in use.*--port"),
        bound("127.0.0.1", taken.getsockname()[1]),
    ):
        pass


def test_a_host_of_another_machine_is_told():
    with pytest.raises(ConfigError, match=r"cannot listen at 192.0.2.1"), bound("192.0.2.1", 0):
        pass
