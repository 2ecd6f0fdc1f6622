"""Ends what a launcher left. Everything it starts carries a mark in its environment, whoever its parent is by now."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from dartifact.local.lakefs_endpoint import is_alive

MARK = "DARTIFACT_UP"
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05


def find_marked(home: Path) -> list[psutil.Process]:
    """Return the living processes that a launcher of this home has started, and what those have started."""
    wanted, me = str(home.resolve()), os.getpid()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != me and process.environ().get(MARK) == wanted and is_alive(process):
                found.append(process)
    return found


def end_marked(home: Path, grace: float = _GRACE_SECONDS) -> int:
    """End them all: TERM, patience, KILL; return how many there were. What they start meanwhile ends too."""
    ended: set[int] = set()
    deadline = time.monotonic() + grace
    while left := find_marked(home):
        for process in left:
            with contextlib.suppress(psutil.Error):
                if time.monotonic() >= deadline:
                    process.kill()
                elif process.pid not in ended:
                    process.terminate()
        ended |= {process.pid for process in left}
        _wait(left, min(deadline, time.monotonic() + 1.0))
    return len(ended)


def end_processes(processes: Iterable[psutil.Process], grace: float = _GRACE_SECONDS) -> None:
    """End the given processes: TERM, patience, KILL."""
    left = list(processes)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _wait(left, time.monotonic() + grace)
    for process in left:
        with contextlib.suppress(psutil.Error):
            if is_alive(process):
                process.kill()


def _wait(processes: list[psutil.Process], deadline: float) -> None:
    # Not psutil's wait: in a container nobody may reap the dead.
    while time.monotonic() < deadline and any(is_alive(each) for each in processes):
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def guarding(home: Path) -> Iterator[None]:
    """Run a guard while the block runs: it outlives a launcher that is killed, ends what that left, and then itself."""
    # Its stdin closes when this process ends, however that comes about.
    guard = subprocess.Popen(
        [sys.executable, "-m", "dartifact.local.guard", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=home,
        env={name: value for name, value in os.environ.items() if name != MARK},
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert guard.stdin
        guard.stdin.close()
        guard.wait()


def main() -> None:
    """Wait until the launcher has ended, then end what it left in the named home."""
    home = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end_marked(home)


if __name__ == "__main__":
    main()
