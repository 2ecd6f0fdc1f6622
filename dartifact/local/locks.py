"""Locks between processes: one holder at a time, and who is using a thing right now."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dartifact.domain.progress import Progress

_QUIET_SECONDS, _REPEAT_SECONDS = 1.0, 30.0


@contextlib.contextmanager
def hold_lock(path: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Hold the lock file alone; say `waiting` through `progress` when that takes longer than a moment."""
    lock, patience = FileLock(path), _QUIET_SECONDS
    while True:
        try:
            held = lock.acquire(timeout=patience)
        except Timeout:
            progress(waiting)
            patience = _REPEAT_SECONDS
        else:
            break
    with held:
        yield


@contextlib.contextmanager
def registered_user(folder: Path, thing: str) -> Iterator[str]:
    """Be a user of the named thing and yield the user's name; a user that dies is no user any more.

    To be entered under the lock under which others ask for users; it may be left at any time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{thing}.{os.getpid()}.{uuid.uuid4().hex}"
    with path.open("x", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # The verb, not the whole command line: arguments may be private.
            file.write(" ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]))
            file.flush()
            yield path.name
        finally:
            path.unlink(missing_ok=True)


def is_user(folder: Path, name: str) -> bool:
    """Tell whether the named user is there; forget it when it is not."""
    path = folder / name
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def describe_users(folder: Path, thing: str, *, without: str) -> tuple[str, ...]:
    """Return a line on each user of the thing, other than the named one; forget every user that is not there."""
    names = sorted(path.name for path in folder.iterdir() if path.name != without and is_user(folder, path.name))
    return tuple(_describe(folder / name) for name in names if name.startswith(f"{thing}."))


def _describe(path: Path) -> str:
    pid = path.name.split(".")[1]
    with contextlib.suppress(FileNotFoundError):
        return f"pid {pid} ({path.read_text(encoding='utf-8')})"
    return f"pid {pid}"
