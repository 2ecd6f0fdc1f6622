"""What the servers of the simulated sources have in common: quiet handlers on loopback that tell the company's time."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, Protocol, TypeVar, cast

from dartifact.demo.controls import Outage

HOST = "127.0.0.1"


class Site(Protocol):
    """What a server shows."""

    def told_time(self) -> float:
        """Return the time to tell, in seconds since 1970."""

    @property
    def is_stopped(self) -> bool:
        """Say whether no request is to be answered any more."""


SiteT = TypeVar("SiteT", bound=Site)


class Server(ThreadingHTTPServer):
    """A server of one site, in a thread of its own; with `tls` over HTTPS."""

    request_queue_size = 64

    def __init__(self, site: Site, handler: type[Handler[Any]], port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__((HOST, port), handler)
        self.site = site
        self.url = f"{'http' if tls is None else 'https'}://{HOST}:{self.server_port}"
        if tls is not None:
            # The handshake is made by the thread of the request: nobody keeps others waiting with it.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        """Answer requests until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that went away, above all those that a stall made give up."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler, Generic[SiteT]):
    """Answers one connection of a site."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: together with delayed ACKs 40 ms a page

    @property
    def site(self) -> SiteT:
        """Return the site."""
        return cast(SiteT, cast(Server, self.server).site)

    def read_body(self) -> bytes | None:
        """Return the body of a request; None, and the connection ends, when it tells no length or is too long."""
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= 65_536:
            return self.rfile.read(int(length))
        self.close_connection = True  # the unread body would be taken for the next request
        return None

    def answer_json(self, status: int, value: Any) -> None:
        """Answer a JSON value."""
        self.answer(status, "application/json", json.dumps(value).encode())

    def answer_as(self, outage: Outage | None, status: int, body: bytes) -> None:
        """Answer JSON, or as the outage has it; None: the server is stopped. `down` is up to the caller."""
        match outage:
            case None:
                self.close_connection = True
            case Outage.HTML:
                self.answer(200, "text/html; charset=utf-8", b"<!doctype html>\n<title>Please log in</title>\n")
            case Outage.HALF_PAGE:
                self.answer(status, "application/json", body[: len(body) // 2], length=len(body))
                self.close_connection = True
            case _:
                self.answer(status, "application/json", body)

    def answer(self, status: int, content_type: str, body: bytes, *, length: int | None = None) -> None:
        """Answer a body; with `length`, one that announces more or less than it is."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Write the simulated time into the `Date` header."""
        return formatdate(self.site.told_time() if timestamp is None else timestamp, usegmt=True)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the caller sees every answer."""
