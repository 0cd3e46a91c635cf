"""The server over real connections: both forms, limits, back-pressure, batching, health, the log."""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import urllib3
from servers import OVERLAP, PASSAGES, running_server

from skill0.errors import ConfigError, RetrievalError
from skill0.retrieval import Hit
from skill0.retrieval.http_client import HttpRetriever, HttpSettings
from skill0.retrieval.server import ServerSettings


def post(url: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib3.PoolManager() as pool:
        return pool.request("POST", f"{url}/retrieve", body=data, headers=headers, retries=False, timeout=10)


class Gate:
    """A retriever that waits until it is let go, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self.entered, self.open = threading.Event(), threading.Event()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        self.calls.append((list(queries), k))
        self.entered.set()
        assert self.open.wait(10)
        if "bad" in queries:
            raise RetrievalError("row 7 of the index is damaged")
        return OVERLAP.search(queries, k)


class Asking:
    """Requests from threads, sent in a known order: each is in the queue before the next is sent."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads: list[threading.Thread] = []
        self.answers: dict[str, urllib3.BaseHTTPResponse] = {}

    def ask(self, query: str, k: int = 3, *, waiting: int) -> None:
        def send() -> None:
            self.answers[query] = post(self._url, {"query": query, "topk": k})

        self._threads.append(threading.Thread(target=send))
        self._threads[-1].start()
        while health(self._url)["waiting_queries"] != waiting:
            time.sleep(0.005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def health(url: str) -> dict[str, Any]:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", f"{url}/health", timeout=10).json()


DOCUMENT = {"id": "2", "contents": '"Zürich"\nZürich is a "city" in Switzerland.'}


def test_the_form_of_skillzero():
    with running_server() as url:
        scored = post(url, {"query": "zürich", "topk": 1, "return_scores": True})
        assert scored.json() == {"result": [[{"document": DOCUMENT, "score": 1.0}]]}
        assert post(url, {"query": "zürich", "topk": 1}).json() == {"result": [[DOCUMENT]]}


def test_the_form_of_search_r1():
    with running_server() as url:
        answer = post(url, {"queries": ["zürich", "nowhere"], "topk": 1, "return_scores": True})
        assert answer.json() == {"result": [[{"document": DOCUMENT, "score": 1.0}], []]}
        assert post(url, {"queries": []}).json() == {"result": []}


@pytest.mark.parametrize("body", [{}, {"topk": 0}, {"topk": None}])
def test_without_topk_the_servers_own_is_taken(body):
    with running_server(settings=ServerSettings(topk=2)) as url:
        assert len(post(url, {"query": "is in the of", **body}).json()["result"][0]) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "give either `query` (text) or `queries`"),
        ({"query": "a", "queries": ["b"]}, "give either `query` (text) or `queries`"),
        ({"query": 7}, "valid string"),
        ({"queries": "a"}, "valid array"),
        ({"queries": ["a", None]}, "valid string"),
        ({"query": "a", "topk": "three"}, "valid integer"),
        ({"query": "a", "topk": -1}, "`topk` must be at least 0"),
        ({"query": "a", "topk": 1001}, "at most 1000"),
        ({"query": "a", "return_scores": "perhaps"}, "valid boolean"),
        ([], "an object"),
        (b"query=a", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b'{"query": "\xff"}', "Invalid JSON"),
    ],
)
def test_a_wrong_request_has_status_422_and_says_why(body, said):
    with running_server() as url:
        answer = post(url, body)
    assert answer.status == 422
    (detail,) = answer.json()["detail"]
    assert said in detail["msg"]
    assert detail["loc"][0] == "body"


def test_a_missing_query_names_its_place_as_fastapi_does():
    with running_server() as url:
        (detail,) = post(url, {"queries": ["a", 7]}).json()["detail"]
    assert detail["loc"] == ["body", "queries", 1]
    assert detail["input"] == 7


def test_limits():
    with running_server(settings=ServerSettings(most_queries=2, most_bytes=100)) as url:
        assert post(url, {"queries": ["a", "b"]}).status == 200
        long = post(url, {"queries": ["a", "b", "c"]})
        assert (long.status, long.json()) == (413, {"detail": "3 queries; at most 2 in one request"})
        large = post(url, {"query": "a" * 100})
        assert (large.status, large.json()) == (413, {"detail": "the body is longer than 100 bytes"})


def test_other_paths_and_methods():
    with running_server() as url, urllib3.PoolManager() as pool:
        assert pool.request("GET", f"{url}/retrieve").status == 405
        assert pool.request("POST", f"{url}/search").status == 404


def test_health():
    with running_server(settings=ServerSettings(queue=7)) as url:
        post(url, {"queries": ["a", "b"]})
        post(url, {})
        found = health(url)
    assert found["status"] == "ok"
    assert (found["engine"], found["passages"]) == ("word overlap", len(PASSAGES))
    assert (found["waiting_queries"], found["most_waiting_queries"]) == (0, 7)
    assert found["searched_queries"] == 2
    assert found["answers_by_status"] == {"200": 1, "422": 1}
    assert found["uptime_s"] > 0
    assert found["version"]


def test_what_waits_together_is_searched_together():
    """While `first` is searched, the others gather: one call for those of equal k, in order of arrival."""
    gate = Gate()
    with running_server(gate) as url:
        asking = Asking(url)
        asking.ask("first", waiting=0)
        gate.entered.wait(10)
        asking.ask("paris", waiting=1)
        asking.ask("lyon", waiting=2)
        asking.ask("bern", 1, waiting=3)
        gate.open.set()
        asking.join()
    assert gate.calls == [(["first"], 3), (["paris", "lyon"], 3), (["bern"], 1)]
    for query, k in (("paris", 3), ("lyon", 3), ("bern", 1)):
        expected = [hit.passage.id for hit in OVERLAP.search([query], k)[0]]
        assert [row["id"] for row in asking.answers[query].json()["result"][0]] == expected


def test_a_request_that_makes_the_retriever_raise_fails_alone(caplog):
    gate = Gate()
    with running_server(gate) as url:
        asking = Asking(url)
        asking.ask("first", waiting=0)
        gate.entered.wait(10)
        asking.ask("paris", waiting=1)
        asking.ask("bad", waiting=2)
        gate.open.set()
        asking.join()
    assert asking.answers["paris"].status == 200
    assert asking.answers["bad"].status == 500
    assert asking.answers["bad"].json() == {"detail": "RetrievalError: row 7 of the index is damaged"}
    assert "the retriever raised" in caplog.text


def test_a_full_queue_answers_503_and_when_to_come_back():
    gate = Gate()
    with running_server(gate, ServerSettings(queue=2)) as url:
        asking = Asking(url)
        asking.ask("first", waiting=0)
        gate.entered.wait(10)
        asking.ask("paris", waiting=1)
        refused = post(url, {"queries": ["a", "b"]})
        asking.ask("lyon", waiting=2)
        gate.open.set()
        asking.join()
    assert refused.status == 503
    assert refused.json() == {"detail": "1 queries are waiting, and 2 more are over the limit of 2"}
    assert int(refused.headers["Retry-After"]) >= 1
    assert [answer.status for answer in asking.answers.values()] == [200, 200, 200]


def test_a_list_longer_than_the_queue_is_taken_when_nobody_waits():
    with running_server(settings=ServerSettings(queue=1)) as url:
        assert len(post(url, {"queries": ["a", "b", "c"]}).json()["result"]) == 3


def test_who_waited_too_long_is_refused_without_a_search():
    gate = Gate()
    with running_server(gate, ServerSettings(longest_wait_s=0.1)) as url:
        asking = Asking(url)
        asking.ask("first", waiting=0)
        gate.entered.wait(10)
        asking.ask("paris", waiting=1)
        time.sleep(0.15)
        gate.open.set()
        asking.join()
    assert asking.answers["paris"].status == 503
    assert [queries for queries, _ in gate.calls] == [["first"]]


def test_clients_ride_out_a_full_queue():
    """Twenty threads, room for two: everyone is answered in the end, rightly."""

    class Slow:
        def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
            time.sleep(0.02)
            return OVERLAP.search(queries, k)

    settings = HttpSettings(connections=20, attempts=20, backoff_s=0.01)
    found: dict[int, object] = {}
    with (
        running_server(Slow(), ServerSettings(queue=10, batch_size=2)) as url,
        HttpRetriever(url, settings) as client,
    ):
        threads = [
            threading.Thread(target=lambda number=number: found.update({number: client.search(["paris"], 2)}))
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert client.counts["retries"] > 0, "the queue was never full"
    assert found == dict.fromkeys(range(20), OVERLAP.search(["paris"], 2))


def test_a_retriever_that_loses_an_answer_is_an_error(caplog):
    class Loses:
        def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
            return []

    with running_server(Loses()) as url:
        assert "0 answers to 1 queries" in post(url, {"query": "a"}).json()["detail"]


def test_the_access_log_has_a_line_of_json_for_each_request(tmp_path):
    with running_server(settings=ServerSettings(access_log=str(tmp_path / "log"))) as url:
        post(url, {"queries": ["a", "b"], "topk": 2})
        post(url, {"query": "a"})
        post(url, b"?")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["status"], line["form"], line["queries"], line["topk"]) for line in lines] == [
        (200, "search_r1", 2, 2),
        (200, "skillzero", 1, None),
        (422, None, None, None),
    ]
    assert all(line["ms"] > 0 and line["bytes"] > 0 and line["client"] for line in lines)


def test_no_answer_waits_for_a_delayed_acknowledgement():
    """Head and body sent apart without TCP_NODELAY cost 40 ms for each request on a kept connection."""
    with running_server() as url, urllib3.PoolManager() as pool:
        seconds = []
        for _ in range(30):
            start = time.perf_counter()
            pool.request("POST", f"{url}/retrieve", body=b'{"query": "paris"}')
            seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.03


@pytest.mark.parametrize(
    "wrong", [{"topk": 0}, {"topk": 2000}, {"queue": 0}, {"most_bytes": 0}, {"longest_wait_s": 0}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ServerSettings(**wrong)


@pytest.mark.parametrize(
    ("module", "missing"), [("server", "starlette.applications"), ("serving", "uvicorn")]
)
def test_without_the_extra_the_message_names_it(module, missing):
    code = f"import sys; sys.modules['{missing}'] = None; import skill0.retrieval.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'skill0[serve]'" in done.stderr


def test_a_damaged_answer_does_not_stop_the_server(caplog):
    """A retriever that raises what is no error of skill0: the next request is answered all the same."""
    caplog.set_level(logging.CRITICAL)

    class Once:
        calls = 0

        def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError("division by zero")
            return OVERLAP.search(queries, k)

    with running_server(Once()) as url:
        first = post(url, {"query": "a"})
        assert (first.status, first.json()) == (500, {"detail": "ZeroDivisionError: division by zero"})
        assert post(url, {"query": "a"}).status == 200
