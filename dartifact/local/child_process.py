"""Child processes that end with the process that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def running_child(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], output: IO[bytes] | int, grace: float = 10.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own and yield it; end it and what it started when the block is left.

    `output` takes stdout and stderr. The end is TERM, `grace` seconds of patience, then KILL; an interrupt during
    the patience means KILL now. On Linux the child also gets TERM when this process dies without leaving the block.
    OSError when the command cannot be started.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Safe beside threads here: one call of a function that was looked up before, no import, no lock.
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )

    end_with_parent = _death_signal()
    # Linux sends the death signal when the *thread* that forked ends. The caller's thread may end before the block is
    # left (a block entered in a pool, left elsewhere), so a thread forks that lives exactly as long as the block.
    with ThreadPoolExecutor(1, "keeper-of-child") as keeper:
        child = keeper.submit(start)
        try:
            yield child.result()
        finally:
            # Reached also when an interrupt came before the result: exception() waits for the start to be decided.
            if child.exception() is None:
                stop_child(child.result(), grace)


def stop_child(child: subprocess.Popen[bytes], grace: float) -> None:
    """End a child that leads its own process group, and the group; nothing when the child has ended already."""
    if child.poll() is not None:
        return
    try:
        _signal_group(child, signal.SIGTERM)
        child.wait(grace)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # macOS answers PermissionError for a group in which only the unreaped leader is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _death_signal() -> Callable[[], None] | None:
    """Return what the child runs before its program so that it gets TERM when its parent dies (Linux only)."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: the child of a threaded process must not load libraries or import anything.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    terminate, parent = int(signal.SIGTERM), os.getpid()

    def end_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, terminate, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above, so no signal will come
            os._exit(1)

    return end_with_parent
