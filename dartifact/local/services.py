"""What a launcher keeps running: each service can be started, asked whether it is well, and stopped."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from dartifact.domain.errors import ServerUnavailable
from dartifact.local.child_process import running_child
from dartifact.local.lakefs_files import last_lines

_POLL_SECONDS = 0.1
_LOOK_SECONDS, _SILENCE_SECONDS = 10.0, 90.0
# A server of a busy machine takes seconds to answer; taken for silent it would be started again, and make it busier.
_ANSWER_SECONDS = 10.0


class Stopped(Exception):
    """The launcher was told to stop while something was being started."""


class Service(Protocol):
    """One thing that a launcher keeps running."""

    name: str

    @property
    def where(self) -> str:
        """Return where it answers."""

    @property
    def pid(self) -> int:
        """Return its process, 0 while there is none of its own."""

    @property
    def log(self) -> str:
        """Return the path of its log, empty when it has none."""

    def start(self) -> None:
        """Start it and wait until it is well; ServerUnavailable names its log, Stopped when we are to stop."""

    def find_fault(self) -> str:
        """Return why it has to be started again; nothing while it is well."""

    def stop(self) -> None:
        """Stop it; nothing when it does not run."""


class SourceService(Service, Protocol):
    """Stands in for the sources that have no URL, and lives as long as the launcher."""

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the settings that lead flow runs to it, where `given` names no other URL."""

    def advance(self) -> None:
        """Let time pass for it."""


@dataclass
class ChildService:
    """A child process that is well once its health URL answers 200; what it prints goes to its log."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log_file: Path
    health: str
    where: str
    is_stopping: Callable[[], bool]
    patience: float = 300.0
    grace: float = 10.0
    _running: ExitStack = field(default_factory=ExitStack)
    _child: subprocess.Popen[bytes] | None = None
    _look_at: float = 0.0
    _well_at: float = 0.0

    @property
    def pid(self) -> int:
        """Return the child's pid."""
        return self._child.pid if self._child else 0

    @property
    def log(self) -> str:
        """Return the path of the log."""
        return str(self.log_file)

    def start(self) -> None:
        """Start the child and wait until it answers."""
        self.stop()
        try:
            with self.log_file.open("ab") as output:
                self._child = self._running.enter_context(
                    running_child(self.command, cwd=self.cwd, env=self.env, output=output, grace=self.grace)
                )
        except OSError as error:
            raise ServerUnavailable(f"{self.name} cannot be started: {error.strerror}") from error
        deadline = time.monotonic() + self.patience
        while not answers(self.health):
            if self.is_stopping():
                raise Stopped
            code = self._child.poll()
            fault = f"has ended (exit code {code})" if code is not None else ""
            fault = fault or ("does not answer" if time.monotonic() > deadline else "")
            if fault:
                end = "\n".join(f"    {line}" for line in last_lines(self.log_file))
                raise ServerUnavailable(f"{self.name} {fault}; its log is {self.log_file}, ending with:\n{end}")
            time.sleep(_POLL_SECONDS)
        self._well_at = time.monotonic()

    def find_fault(self) -> str:
        """Say whether the child has ended, or has not answered for long."""
        code = self._child.poll() if self._child else None
        if code is not None or self._child is None:
            return f"has ended (exit code {code})"
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            if answers(self.health):
                self._well_at = now
        return "does not answer any more" if now - self._well_at > _SILENCE_SECONDS else ""

    def stop(self) -> None:
        """End the child."""
        self._running.close()
        self._child = None


def answers(url: str, timeout: float = _ANSWER_SECONDS) -> bool:
    """Say whether a GET answers 200; never through a proxy, which has nothing to do with loopback."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
