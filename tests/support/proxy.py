"""An HTTP proxy in front of a server that breaks what it is told to break, and nothing else."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


class Fault(StrEnum):
    """What happens to a request that a rule matches."""

    CUT_BEFORE = "the connection ends, the server never sees the request"
    CUT_AFTER = "the server serves the request, the connection ends before its answer"
    LATE = "the connection ends at once, the server gets the request when `release` is called"
    PAUSE = "the request waits for `release`, then everything is as usual"
    STALL = "the server serves the request, its answer comes after `release` only"
    HALF = "the server serves the request, the connection ends in the middle of its answer"
    ANSWER = "the proxy answers the rule's status itself"


@dataclass
class Rule:
    """Which requests are hit, and how. `times` counts down to zero; None hits for ever. The first `after` go free.

    `arrived` is set when the first request is hit; `release` lets those go on that wait; `served` is set when a late
    request has been served.
    """

    pattern: re.Pattern[str]
    fault: Fault
    times: int | None = 1
    after: int = 0
    status: int = 500
    body: str = '{"message": "told to"}'
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    served: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """The running proxy: `url` is where it answers; `seen` are the lines `METHOD path` of all requests."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.rules: list[Rule] = []
        self.seen: list[str] = []
        self.url = ""
        self.lock = threading.Lock()
        self.connections: list[socket.socket] = []
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def accept(self) -> None:
        """Answer at `url`: at a free port first, at the same one ever after."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", urlsplit(self.url).port or 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections and end the open ones, as a server does that is down, until `accept`."""
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.drop_idle()

    def add(self, pattern: str, fault: Fault, **options: object) -> Rule:
        """Break requests whose `METHOD path` matches the pattern (a regular expression, searched)."""
        rule = Rule(re.compile(pattern), fault, **options)  # type: ignore[arg-type]
        self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forget all rules and let go on what waits."""
        rules, self.rules = self.rules, []
        for rule in rules:
            rule.release.set()

    def drop_idle(self) -> None:
        """Close all connections that are open now, as a server does with idle ones, and wait until it has."""
        for each in self.connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def count(self, pattern: str) -> int:
        """Count the requests seen so far that match."""
        return sum(1 for line in self.seen if re.search(pattern, line))

    def take(self, line: str) -> Rule | None:
        """Return the rule that hits this request, counted."""
        with self.lock:
            self.seen.append(line)
            for rule in self.rules:
                if rule.times == 0 or not rule.pattern.search(line):
                    continue
                if rule.after:
                    rule.after -= 1
                else:
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule
        return None


def merge_into(branch: str) -> str:
    """Return the pattern of merges into a branch."""
    return rf"^POST .*/refs/[^/]+/merge/{re.escape(branch)}$"


@contextmanager
def running_proxy(target: str) -> Iterator[Proxy]:
    """Run a proxy in front of a URL until the block ends."""
    proxy = Proxy(target)
    proxy.accept()
    try:
        yield proxy
    finally:
        proxy.heal()
        proxy.refuse()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.proxy.connections.append(self.connection)

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.proxy.take(f"{self.command} {self.path}")
        if rule is None:
            self._answer(*self._forward(body))
            return
        rule.arrived.set()
        match rule.fault:
            case Fault.CUT_BEFORE:
                self._cut()
            case Fault.CUT_AFTER:
                self._forward(body)
                self._cut()
            case Fault.LATE:
                self._cut()
                rule.release.wait()
                self._forward(body)
                rule.served.set()
            case Fault.PAUSE:
                rule.release.wait()
                self._answer(*self._forward(body))
                rule.served.set()
            case Fault.STALL:
                answer = self._forward(body)
                rule.served.set()
                rule.release.wait()
                self._answer(*answer)
            case Fault.HALF:
                status, headers, content = self._forward(body)
                self._answer(status, headers, content[: len(content) // 2], length=len(content))
                self._cut()
            case Fault.ANSWER:
                self._answer(rule.status, [("Content-Type", "application/json")], rule.body.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_request

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.target.netloc, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, length: int | None = None) -> None:
        with suppress(OSError):  # whoever asked may have gone
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _HOP_BY_HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
