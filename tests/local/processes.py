"""Processes under test."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something another process does; the limit is only there to end a test that fails."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@dataclass
class Command:
    """A Python process under test, and what it has printed so far."""

    process: subprocess.Popen[bytes]
    output: Path

    def printed(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        def is_there() -> bool:
            assert text in self.printed() or self.process.poll() is None, self.printed()
            return text in self.printed()

        wait_until(is_there)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Let the command go on after what it waits for, and return its exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(60)
