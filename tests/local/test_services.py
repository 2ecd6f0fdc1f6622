"""What a launcher takes for the answer of a service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dartifact.local.services import answers

BUSY_SECONDS = 2.5  # what a Prefect server took on a machine with more to do than it can


class _Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(BUSY_SECONDS)
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def busy_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Busy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_takes_seconds_to_answer_answers(busy_server: str) -> None:
    assert answers(f"{busy_server}/health")


def test_a_server_that_is_not_there_or_takes_longer_than_said_does_not(busy_server: str) -> None:
    assert not answers(f"{busy_server}/health", timeout=0.1)
    assert not answers("http://127.0.0.1:9/health")
