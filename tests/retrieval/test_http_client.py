"""The client against scripted servers: forms, retries, failing over, and what each failure says."""

from __future__ import annotations

import logging
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate

import pytest
from servers import OVERLAP, PASSAGES, Reply, hit, ok, running_server, scripted_server

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval.http_client import HttpRetriever, HttpSettings

FAST = HttpSettings(attempts=3, backoff_s=0.001, backoff_most_s=0.002, read_timeout_s=5, patience_s=30)
QUERIES = ["the capital of France", "a city in Switzerland", "nothing-like-this", "capital", "Zürich", ""]


def echo(number: int, body: dict) -> Reply:
    """One hit for each query, whose contents are the query."""
    queries = body["queries"] if "queries" in body else [body["query"]]
    return ok([[hit("0", 1.0, f"about {query}")] for query in queries])


@pytest.mark.parametrize("form", ["search_r1", "skillzero"])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_both_forms_give_what_the_index_gives_in_process(form, batch_size):
    with (
        running_server() as url,
        HttpRetriever(url, HttpSettings(form=form, batch_size=batch_size)) as retriever,
    ):
        assert retriever.search(QUERIES, 3) == OVERLAP.search(QUERIES, 3)
        assert retriever.search([], 3) == []


def test_lists_are_cut_into_batches_and_answers_stay_in_order():
    with (
        scripted_server(echo) as server,
        HttpRetriever(server.url, HttpSettings(batch_size=3)) as retriever,
    ):
        found = retriever.search([f"q{number}" for number in range(10)], 3)
    assert [hits[0].passage.contents for hits in found] == [f"about q{number}" for number in range(10)]
    assert sorted(len(body["queries"]) for body in server.bodies) == [1, 3, 3, 3]


def test_single_queries_go_side_by_side_over_kept_connections():
    """Eight requests that all wait for the eighth: one after the other they would wait for ever."""
    together = threading.Barrier(8, timeout=10)

    def reply(number: int, body: dict) -> Reply:
        together.wait()
        return echo(number, body)

    with (
        scripted_server(reply) as server,
        HttpRetriever(server.url, HttpSettings(form="skillzero", connections=8)) as retriever,
    ):
        assert len(retriever.search(list("abcdefgh"), 3)) == 8
        assert len(retriever.search(list("abcdefgh"), 3)) == 8
    assert retriever.counts == {"requests": 16}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(status, caplog):
    caplog.set_level(logging.INFO, logger="skill0.retrieval")
    replies = [(status, {}, b"wait"), (status, {}, b"wait")]
    with (
        scripted_server(lambda n, body: replies[n] if n < 2 else echo(n, body)) as server,
        HttpRetriever(server.url, FAST) as retriever,
    ):
        assert retriever.search(["a"], 1)[0][0].passage.contents == "about a"
    assert retriever.counts == {"requests": 3, "retries": 2}
    assert f"attempt 2 failed (status {status}: wait)" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 501])
def test_another_status_ends_it_at_once(status):
    with (
        scripted_server(lambda n, body: (status, {}, b'{"detail": "no"}')) as server,
        HttpRetriever(server.url, FAST) as retriever,
        pytest.raises(
            RetrievalError, match=rf"{server.url}/retrieve answered with status {status}: .*no.* To do: "
        ),
    ):
        retriever.search(["a"], 1)
    assert retriever.counts == {"requests": 1, "failed": 1}


def test_the_wrong_form_is_named():
    """Search-R1's own server wants `queries`: FastAPI answers 422 without them."""

    def reply(number: int, body: dict) -> Reply:
        return (
            echo(number, body) if "queries" in body else (422, {}, b'{"detail": [{"msg": "Field required"}]}')
        )

    with (
        scripted_server(reply) as server,
        HttpRetriever(server.url, HttpSettings(form="skillzero")) as retriever,
        pytest.raises(RetrievalError, match=r"Field required.*form='search_r1'"),
    ):
        retriever.search(["a"], 1)


@pytest.mark.parametrize("value", ["1", "date"])
def test_retry_after_is_waited_for(value):
    start = time.time()
    when = formatdate(start + 2, usegmt=True) if value == "date" else value
    with (
        scripted_server(lambda n, body: echo(n, body) if n else (503, {"Retry-After": when}, b"")) as server,
        HttpRetriever(server.url, FAST) as retriever,
    ):
        retriever.search(["a"], 1)
    assert time.time() - start >= 0.99


def test_a_server_that_wants_an_hour_is_not_waited_for():
    with (
        scripted_server(lambda n, body: (503, {"Retry-After": "3600"}, b"")) as server,
        HttpRetriever(server.url, FAST) as retriever,
        pytest.raises(RetrievalError, match="asks to come back in 3600 s"),
    ):
        retriever.search(["a"], 1)


def test_a_server_that_asks_to_wait_is_passed_over_where_another_is_free():
    """For an hour or for a second: neither is waited for, and the first is not asked again."""
    for seconds in ("3600", "5"):
        start = time.monotonic()
        with (
            scripted_server(lambda n, body, s=seconds: (503, {"Retry-After": s}, b"")) as busy,
            scripted_server(echo) as free,
            HttpRetriever([busy.url, free.url], FAST) as retriever,
        ):
            for query in "abcd":
                assert retriever.search([query], 1)[0][0].passage.contents == f"about {query}"
        assert (len(busy.bodies), len(free.bodies)) == (1, 4)
        assert time.monotonic() - start < 4


def test_where_all_servers_ask_to_wait_the_shortest_wait_is_waited_for():
    with (
        scripted_server(lambda n, body: (503, {"Retry-After": "3600"}, b"")) as long,
        scripted_server(lambda n, body: echo(n, body) if n else (503, {"Retry-After": "1"}, b"")) as short,
        HttpRetriever([long.url, short.url], FAST) as retriever,
    ):
        assert retriever.search(["a"], 1)[0][0].passage.contents == "about a"
    assert (len(long.bodies), len(short.bodies)) == (1, 2)


def test_attempts_are_bounded_and_the_last_fault_is_told():
    with (
        scripted_server(lambda n, body: (500, {}, b"CUDA out of memory")) as server,
        HttpRetriever(server.url, FAST) as retriever,
        pytest.raises(
            RetrievalError, match=r"1 queries unanswered after 3 attempts.*CUDA out of memory.*server's log"
        ),
    ):
        retriever.search(["a"], 1)
    assert len(server.bodies) == 3


def test_one_part_that_fails_fails_the_call_and_stops_the_others():
    settings = HttpSettings(form="skillzero", connections=2, attempts=10, backoff_s=5, backoff_most_s=5)

    def reply(number: int, body: dict) -> Reply:
        return (404, {}, b"") if body["query"] == "a" else (500, {}, b"")

    start = time.monotonic()
    with (
        scripted_server(reply) as server,
        HttpRetriever(server.url, settings) as retriever,
        pytest.raises(RetrievalError, match="status 404"),
    ):
        retriever.search(["a", "b", "c", "d"], 1)
    assert time.monotonic() - start < 4, "the others' pauses of five seconds were cut short"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_nobody_listens():
    port = closed_port()
    with (
        HttpRetriever(f"http://127.0.0.1:{port}", replace(FAST, patience_s=0.2)) as retriever,
        pytest.raises(RetrievalError, match=rf":{port}/retrieve .*refused.*is the server running"),
    ):
        retriever.search(["a"], 1)


def test_a_server_that_starts_again_is_waited_for_however_many_attempts_that_takes(caplog):
    port = closed_port()
    settings = HttpSettings(attempts=1, backoff_s=0.02, backoff_most_s=0.05)
    with (
        ThreadPoolExecutor(1) as threads,
        HttpRetriever(f"http://127.0.0.1:{port}", settings) as retriever,
    ):
        found = threads.submit(retriever.search, ["a"], 1)
        time.sleep(0.5)
        with scripted_server(echo, port):
            assert found.result(10)[0][0].passage.contents == "about a"
    assert retriever.counts["retries"] > 4
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "attempt 4 failed" in told[0], "from the fourth attempt on a person is told"


def test_a_call_ends_with_its_patience():
    settings = HttpSettings(attempts=1000, backoff_s=0.05, backoff_most_s=0.05, patience_s=0.5)
    start = time.monotonic()
    with (
        scripted_server(lambda n, body: (500, {}, b"")) as server,
        HttpRetriever(server.url, settings) as retriever,
        pytest.raises(RetrievalError, match="unanswered after"),
    ):
        retriever.search(["a"], 1)
    assert 5 <= len(server.bodies) <= 20
    assert time.monotonic() - start < 5


def test_a_query_that_a_server_cannot_answer_costs_none_of_the_others():
    """The poison is met in the request of all three, three times, and then alone."""

    def reply(number: int, body: dict) -> Reply:
        return (500, {}, b"CUDA error") if "poison" in body["queries"] else echo(number, body)

    settings = replace(FAST, attempts=5)
    with scripted_server(reply) as server, HttpRetriever(server.url, settings) as retriever:
        first, error, last = retriever.search_each(["a", "poison", "b"], 1)
        assert [first, last] == retriever.search(["a", "b"], 1)
    assert "unanswered after 5 attempts" in str(error)
    assert sum(len(body["queries"]) == 3 for body in server.bodies) == 3
    assert sum(body["queries"] == ["poison"] for body in server.bodies) == 5


def test_queries_of_a_server_that_is_busy_stay_together():
    """No query is to blame for a status 503, and a busy server is not given more requests."""

    def reply(number: int, body: dict) -> Reply:
        return (503, {}, b"") if number < 6 else echo(number, body)

    with (
        scripted_server(reply) as server,
        HttpRetriever(server.url, replace(FAST, attempts=10)) as retriever,
    ):
        assert len(retriever.search_each(["a", "b", "c"], 1)) == 3
    assert [len(body["queries"]) for body in server.bodies] == [3] * 7


def test_where_no_server_is_each_query_says_so_within_one_patience():
    start = time.monotonic()
    settings = HttpSettings(batch_size=2, patience_s=0.5, backoff_s=0.05)
    with HttpRetriever(f"http://127.0.0.1:{closed_port()}", settings) as retriever:
        found = retriever.search_each(["a", "b", "c"], 1)
    assert ["refused" in str(error) for error in found] == [True] * 3
    assert time.monotonic() - start < 5


def test_a_server_that_does_not_answer():
    settings = HttpSettings(attempts=2, read_timeout_s=0.2, backoff_s=0)

    def reply(number: int, body: dict) -> Reply:
        time.sleep(0.5)
        return echo(number, body)

    with (
        scripted_server(reply) as server,
        HttpRetriever(server.url, settings) as retriever,
        pytest.raises(RetrievalError, match=r"no answer within 0.2 s.*raise `read_timeout_s`"),
    ):
        retriever.search(["a"], 1)


@pytest.mark.parametrize(
    ("header", "drop"), [(b"Transfer-Encoding: chunked", b"1\r\n[\r\n"), (b"Content-Length: 900", b"[")]
)
def test_an_answer_that_comes_drop_by_drop_is_cut_off(header, drop):
    """A byte every 50 ms: no single wait is long, so that only the whole can be timed."""
    stop = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")
            while not stop.wait(0.05):
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        settings = HttpSettings(attempts=1, read_timeout_s=0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            HttpRetriever(url, settings) as retriever,
            pytest.raises(RetrievalError, match=r"only \d bytes of the answer after 0.3 s"),
        ):
            retriever.search(["a"], 1)
        stop.set()
        thread.join()


def test_an_answer_that_breaks_off_is_tried_again():
    half = (200, {"Content-Length": "900", "Connection": "close"}, b'{"result": [[')
    with (
        scripted_server(lambda n, body: echo(n, body) if n else half) as server,
        HttpRetriever(server.url, FAST) as retriever,
    ):
        assert retriever.search(["a"], 1)[0][0].passage.contents == "about a"
    assert retriever.counts["retries"] == 1


def test_rubbish_is_not_tried_again():
    page = (200, {"Content-Type": "text/html"}, b"<html><body>Log in to the network</body></html>")
    with (
        scripted_server(lambda n, body: page) as server,
        HttpRetriever(server.url, FAST) as retriever,
        pytest.raises(RetrievalError, match=rf"{server.url}/retrieve: the answer is an HTML page.*Log in"),
    ):
        retriever.search(["a"], 1)
    assert retriever.counts == {"requests": 1, "failed": 1}


def test_redirects_are_told_not_followed():
    with (
        scripted_server(lambda n, body: (307, {"Location": "http://elsewhere/"}, b"")) as server,
        HttpRetriever(server.url, FAST) as retriever,
        pytest.raises(RetrievalError, match="redirects to http://elsewhere/"),
    ):
        retriever.search(["a"], 1)


def test_servers_take_turns():
    with (
        scripted_server(echo) as one,
        scripted_server(echo) as two,
        HttpRetriever([one.url, two.url]) as retriever,
    ):
        for query in "abcdef":
            retriever.search([query], 1)
    assert [body["queries"] for body in one.bodies] == [["a"], ["c"], ["e"]]
    assert [body["queries"] for body in two.bodies] == [["b"], ["d"], ["f"]]


def test_where_one_server_is_down_the_other_answers_and_the_first_is_left_alone():
    with (
        scripted_server(lambda n, body: (500, {}, b"")) as down,
        scripted_server(echo) as up,
        HttpRetriever([down.url, up.url], FAST) as retriever,
    ):
        for query in "abcdef":
            assert retriever.search([query], 1)[0][0].passage.contents == f"about {query}"
    assert len(down.bodies) == 1
    assert len(up.bodies) == 6


def test_an_open_circuit_fails_at_once_and_closes_when_a_probe_is_answered():
    settings = HttpSettings(attempts=1, failures_to_open=2, outage_s=0, pause_s=0.3)
    broken = threading.Event()
    broken.set()

    def reply(number: int, body: dict) -> Reply:
        return (500, {}, b"broken") if broken.is_set() else echo(number, body)

    with scripted_server(reply) as server, HttpRetriever(server.url, settings) as retriever:
        for _ in range(2):
            with pytest.raises(RetrievalError, match="unanswered"):
                retriever.search(["a"], 1)
        with pytest.raises(
            RetrievalError, match=r"the circuit is open.*status 500: broken.*start the server again"
        ):
            retriever.search(["a"], 1)
        assert len(server.bodies) == 2
        broken.clear()
        time.sleep(0.3)
        assert retriever.search(["a"], 1)
        assert retriever.search(["b"], 1)


def test_many_threads_use_one_client():
    with running_server() as url, HttpRetriever(url, HttpSettings(connections=4)) as retriever:
        found: dict[int, object] = {}

        def ask(number: int) -> None:
            found[number] = retriever.search([QUERIES[number % 5]], 2)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(found[number] == OVERLAP.search([QUERIES[number % 5]], 2) for number in range(20))


def test_a_pickled_client_asks_the_same_servers():
    with running_server() as url, HttpRetriever(url, FAST) as retriever:
        retriever.search(["capital"], 1)
        with pickle.loads(pickle.dumps(retriever)) as copy:
            assert (copy.urls, copy.settings) == (retriever.urls, FAST)
            assert copy.search(["Zürich"], 1)[0][0].passage == PASSAGES[2]


def test_after_close_nothing_is_asked():
    with HttpRetriever("http://127.0.0.1:1") as retriever:
        pass
    with pytest.raises(RetrievalError, match="was closed"):
        retriever.search(["a"], 1)


def test_https_where_plain_http_is_spoken():
    with (
        running_server() as url,
        HttpRetriever(url.replace("http", "https"), FAST) as retriever,
        pytest.raises(RetrievalError, match=r"no TLS connection.*say http://"),
    ):
        retriever.search(["a"], 1)
    assert retriever.counts == {"requests": 1, "failed": 1}


def test_urls():
    with HttpRetriever(["http://a:1", "https://b/", "http://c/search"]) as retriever:
        assert retriever.urls == ("http://a:1/retrieve", "https://b/retrieve", "http://c/search")


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://a", "http://", "http://a:port", "http://a:99999"]
)
def test_what_is_no_url(url):
    with pytest.raises(ConfigError, match="no URL"):
        HttpRetriever(url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "r1"}, {"batch_size": 0}, {"connections": 0}, {"attempts": 0}, {"connect_timeout_s": 0},
        {"read_timeout_s": -1}, {"patience_s": 0}, {"backoff_s": -1}, {"failures_to_open": 0},
        {"outage_s": -1}, {"pause_s": -1},
    ],
)  # fmt: skip
def test_wrong_settings(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HttpSettings(**wrong)


def test_no_server_and_no_passages_asked_for():
    with pytest.raises(ConfigError, match="got none"):
        HttpRetriever([])
    with HttpRetriever("http://a") as retriever, pytest.raises(ConfigError, match="k must be at least 1"):
        retriever.search(["a"], 0)


def test_without_the_extra_the_message_names_it():
    code = "import sys; sys.modules['tenacity'] = None; import skill0.retrieval.http_client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'skill0[search]'" in done.stderr
