"""Servers for tests, in threads: skill0's own over word overlap, and one that answers what it is told to."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from retrieval_faults import WordOverlap

from skill0.retrieval import Passage
from skill0.retrieval.server import ServedIndex, ServerSettings, make_app
from skill0.retrieval.serving import bound

PASSAGES = [
    Passage("0", '"Paris"\nParis is the capital of France.'),
    Passage("1", '"Lyon"\nLyon is a city in France.'),
    Passage("2", '"Zürich"\nZürich is a "city" in Switzerland.'),
    Passage("3", '"Bern"\nBern is the capital of Switzerland; naïve \\ and \u2028 kept.'),
]
OVERLAP = WordOverlap(PASSAGES)


@contextmanager
def running_server(retriever: Any = OVERLAP, settings: ServerSettings | None = None) -> Iterator[str]:
    """The URL of skill0's server over `retriever`, in a thread."""
    app = make_app(ServedIndex(retriever, "word overlap", len(PASSAGES)), settings)
    with bound("127.0.0.1", 0) as listener:
        listener.listen()
        config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Scripted:
    """What the scripted server was sent, and where it is."""

    url: str
    bodies: list[Any] = field(default_factory=list)


Reply = tuple[int, dict[str, str], bytes]


@contextmanager
def scripted_server(reply: Callable[[int, Any], Reply], port: int = 0) -> Iterator[Scripted]:
    """Answers the n-th request (from 0) with `reply(n, body)`: status, headers and body."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(seen.bodies)
                seen.bodies.append(body)
            status, headers, answer = reply(number, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = headers.get("Connection") == "close"

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    seen = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ok(result: Any) -> Reply:
    return 200, {}, json.dumps({"result": result}).encode()


def hit(name: str, score: float, contents: str = "some text") -> dict[str, Any]:
    return {"document": {"id": name, "contents": contents}, "score": score}
