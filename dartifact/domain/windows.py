"""Windows: which stretch of a source's time a run claims, what is complete and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class OutOfOrder(Exception):
    """Rows do not come in the order of their stamps."""


class WindowState(StrEnum):
    """What became of a window; the last three are gaps."""

    OPEN = "open"
    MERGED = "merged"
    EMPTY = "empty"
    HELD = "held"
    REJECTED = "rejected"
    REVERTED = "reverted"


GAPS = frozenset({WindowState.HELD, WindowState.REJECTED, WindowState.REVERTED})
DONE = frozenset({WindowState.MERGED, WindowState.EMPTY})

AHEAD = timedelta(minutes=5)
"""How far a source's clock may be ahead of ours before it is not believed."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch (lo, hi] of a source's time that one run claimed; `seq` orders the claims of all sources.

    `clock` is how far the source could have been read when an ordinary window was claimed. A backfill goes over a
    stretch again: it moves no fetch cursor, and brings anew what the windows in `repairs` brought, which were gaps
    when it was claimed. `gap_reason` is why a person accepted that the rows of a gap are missing.
    """

    seq: int
    source: str
    shard: int
    lo: datetime
    hi: datetime
    state: WindowState = WindowState.OPEN
    clock: datetime | None = None
    backfill: bool = False
    repairs: tuple[int, ...] = ()
    gap_reason: str | None = None

    @property
    def backlog(self) -> timedelta:
        """Return how much of what the source had this claim left to the next ones."""
        return max(timedelta(0), self.clock - self.hi) if self.clock else timedelta(0)


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


def trust_clock(source_now: datetime, our_now: datetime) -> datetime:
    """Return the source's time, but at most `AHEAD` of ours: rows stamped later inside a claimed future are lost."""
    return min(source_now, our_now + AHEAD)


def take_rows(
    pages: Iterable[list[dict[str, Any]]],
    most: int | None,
    floor: datetime,
    read_stamp: Callable[[Mapping[str, Any]], datetime | None],
) -> tuple[list[dict[str, Any]], datetime | None]:
    """Return the rows to bring and, where the rest is left to the next window, the stamp at which it was cut.

    Reading stops once `most` rows beyond `floor` were read and the next one has another stamp: rows of one stamp stay
    together, and nothing is cut at or before `floor`, so that each window gets further than the one before. Rows
    without a readable stamp cannot be cut: all of the window is brought, and the gate says what is wrong with it.
    OutOfOrder: a row is older than the one before it.
    """
    rows: list[dict[str, Any]] = []
    beyond, last = 0, None
    for page in pages:
        for row in page:
            if most is not None:
                stamp = read_stamp(row)
                if stamp is None:
                    most = None
                else:
                    if last is not None and stamp < last:
                        raise OutOfOrder(f"{stamp.isoformat()} after {last.isoformat()}")
                    if last is not None and stamp > last > floor and beyond >= most:
                        return rows, last
                    last = stamp
                    beyond += stamp > floor
            rows.append(row)
    return rows, None


def find_gaps(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return the windows whose rows are missing from `main`, in claiming order; `windows` are of one (source, shard).

    A gap is closed when a person accepted it, or when finished backfills that repair it cover it completely.
    Other windows close nothing, however far their overlap reaches: they leave out what the gap's run brought.
    """
    known = tuple(windows)
    gaps = (w for w in known if w.state in GAPS and w.gap_reason is None)
    return tuple(sorted((w for w in gaps if not _is_covered(w, known)), key=lambda w: w.seq))


def _is_covered(gap: Window, windows: Iterable[Window]) -> bool:
    repairs = [w for w in windows if w.backfill and gap.seq in w.repairs]
    if any(w.state is WindowState.OPEN for w in repairs):
        return False  # a finished one may have left rows out because the open one brings them
    covered = gap.lo
    for window in sorted((w for w in repairs if w.state in DONE), key=lambda w: w.lo):
        if window.lo > covered:
            return False
        covered = max(covered, window.hi)
    return covered >= gap.hi


def complete_up_to(windows: Iterable[Window]) -> datetime | None:
    """Return up to where nothing of one (source, shard) is missing, None without a finished first window.

    The end of the unbroken prefix of windows that are merged, empty or closed gaps; where a backfill itself left a
    gap, at most the beginning of that.
    """
    known = tuple(windows)
    missing = find_gaps(known)
    complete: datetime | None = None
    for window in sorted((w for w in known if not w.backfill), key=lambda w: w.seq):
        if window in missing or (window.state not in DONE and window.state not in GAPS):
            break
        complete = window.hi
    if complete is None:
        return None
    return min([complete, *(w.lo for w in missing if w.backfill)])
