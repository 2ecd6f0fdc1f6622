"""Messages to people, through Apprise: e-mail, chats, webhooks. The URL of a target is a secret and is never shown."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable

_CODE = re.compile(r"\berror=(\d+)")


class Notifier:
    """Sends one message to one target. Apprise is imported with the first message; safe to use from several threads.

    `hide` takes out of the title and each line of a message what not everybody may read.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        self._hide = hide
        self._records = _RecordsByThread()
        self._setup = threading.Lock()

    def prepare(self) -> None:
        """Load Apprise and its services: one to three seconds, once per process."""
        with self._setup:
            import apprise  # noqa: PLC0415  (few commands have anything to tell)

            logger = logging.getLogger("apprise")
            # Its warnings may name a target's URL, so they go nowhere but here.
            logger.propagate = False
            if self._records not in logger.handlers:
                logger.addHandler(self._records)
                apprise.Apprise.instantiate("json://localhost")  # the first one loads them all

    def send(self, url: str, title: str, body: str) -> str:
        """Send a plain text to the target of an Apprise URL; return why it was not taken, or nothing.

        Returns when the target has answered; how long a silent one is waited for is up to Apprise (about 4 s per read).
        """
        self.prepare()
        import apprise  # noqa: PLC0415

        # An object for each message: Apprise would make the second of two wait for seconds.
        target = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if target is None:
            return "its URL cannot be read as one of Apprise"
        service = apprise.Apprise()
        service.add(target)
        self._records.clear()
        taken = service.notify(
            body="\n".join(self._hide(line) for line in body.split("\n")),
            title=self._hide(title),
            notify_type=apprise.NotifyType.FAILURE,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if taken:
            return ""
        # What Apprise logs may hold the URL: only the code that the target answered is taken from it.
        code = _CODE.search("\n".join(self._records.take()))
        return f"it answered {code[1]}" if code else "it cannot be reached, or refused the message"


class _RecordsByThread(logging.Handler):
    """What was logged by each thread that sends."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        self.take().append(record.getMessage())

    def take(self) -> list[str]:
        lines: list[str] = self._local.__dict__.setdefault("lines", [])
        return lines

    def clear(self) -> None:
        self.take().clear()


def describe_target(url: str, number: int) -> str:
    """Name a target without its secrets: its number in the settings, and which service it is."""
    service = re.match(r"([a-z][a-z0-9]{1,19})://", url, re.IGNORECASE)
    return f"target {number}" + (f" ({service[1].lower()})" if service else "")
