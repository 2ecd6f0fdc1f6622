"""Windows: which stretch of a source's time a run claims, what is complete and what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class WindowState(StrEnum):
    """What became of a window; the last three are holes."""

    OPEN = "open"
    MERGED = "merged"
    EMPTY = "empty"
    HELD = "held"
    REJECTED = "rejected"
    REVERTED = "reverted"


HOLES = frozenset({WindowState.HELD, WindowState.REJECTED, WindowState.REVERTED})
DONE = frozenset({WindowState.MERGED, WindowState.EMPTY})


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch (lo, hi] of a source's time that one run claimed; `seq` orders the claims of all sources."""

    seq: int
    source: str
    shard: int
    lo: datetime
    hi: datetime
    state: WindowState = WindowState.OPEN


def next_window(
    last_hi: datetime | None, source_now: datetime, *, start: datetime, overlap: timedelta, max_window: timedelta
) -> tuple[datetime, datetime] | None:
    """Return the next (lo, hi] to claim, None when the source's clock has not moved past the last claim.

    The fetch cursor is the last *claimed* hi whatever became of that window; `overlap` reaches back behind it, and
    `max_window` caps how far forward one run goes.
    """
    cursor = start if last_hi is None else last_hi
    hi = min(source_now, cursor + max_window)
    if hi <= cursor:
        return None
    return (start if last_hi is None else max(start, cursor - overlap)), hi


def find_holes(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return the windows whose rows are missing from `main`, in claiming order."""
    return tuple(sorted((w for w in windows if w.state in HOLES), key=lambda w: w.seq))


def complete_up_to(windows: Iterable[Window]) -> datetime | None:
    """Return the end of the unbroken prefix of merged and empty windows of one (source, shard), None without one."""
    complete: datetime | None = None
    for window in sorted(windows, key=lambda w: w.seq):
        if window.state not in DONE:
            break
        complete = window.hi
    return complete
