"""The notifier against real receivers: a webhook and a mail server of this machine."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from dartifact.adapters.notifier import Notifier, describe_target


class Webhook:
    """What a webhook has received, and how it answers: `code`, or not at all before `go_on` is set."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.code = 200
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = ""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Run a webhook; `url` is its Apprise URL."""
    state = Webhook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.go_on.wait(60)
            state.received.append(content)
            self.send_response(state.code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"json://me:secret-word@127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield state
        state.go_on.set()
        server.shutdown()
        thread.join()


def test_a_webhook_takes_title_and_body_as_they_are(webhook: Webhook) -> None:
    assert Notifier().send(webhook.url, "a title", "a line\n- and <another>") == ""
    (received,) = webhook.received
    assert (received["title"], received["message"], received["type"]) == (
        "a title",
        "a line\n- and <another>",
        "failure",
    )


def test_a_mail_arrives_with_title_and_text() -> None:
    mails: list[bytes] = []

    class Sink:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            mails.append(envelope.content)
            return "250 taken"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = Controller(Sink(), hostname="127.0.0.1", port=port)
    sink.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=dartifact@example.com&to=dan@example.com&mode=insecure&format=text"
        assert Notifier().send(url, "it failed", "branch: run-1\nlook: dartifact show 1") == ""
    finally:
        sink.stop()
    mail = message_from_bytes(mails[0], policy=policy.default)
    assert (mail["Subject"], mail["To"]) == ("it failed", "dan@example.com")
    body = mail.get_body(("plain",))
    assert body is not None
    assert "branch: run-1\nlook: dartifact show 1" in body.get_content().replace("\r\n", "\n")


def test_a_refusal_is_told_by_its_code(webhook: Webhook) -> None:
    notifier, webhook.code = Notifier(), 500
    assert notifier.send(webhook.url, "title", "body") == "it answered 500"
    webhook.code = 200
    assert notifier.send(webhook.url, "title", "body") == ""


def test_a_dead_port_is_told(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as closed, caplog.at_level(logging.DEBUG):
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        url = f"json://me:secret-word@127.0.0.1:{closed.getsockname()[1]}"
        assert Notifier().send(url, "title", "body") == "it cannot be reached, or refused the message"
    assert "secret-word" not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("url", ["nonsense", "nonsense://x", "", "mailto://"])
def test_a_url_that_apprise_does_not_know_is_told_and_not_shown(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert Notifier().send(url, "title", "body") == "its URL cannot be read as one of Apprise"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("json://me:secret@host/token", "target 2 (json)"),
        ("MAILTO://me:secret@host", "target 2 (mailto)"),
        ("a-token-without-service", "target 2"),
        ("a-token-that-is-no-service-name://x", "target 2"),
    ],
)
def test_a_target_is_named_without_its_secrets(url: str, name: str) -> None:
    assert describe_target(url, 2) == name


def test_apprise_is_imported_by_the_first_message_only() -> None:
    code = (
        "import sys; from dartifact.adapters.notifier import Notifier; Notifier(); sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
