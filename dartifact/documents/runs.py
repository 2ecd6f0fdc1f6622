"""Runs as documents, alone and with what a decision made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from dartifact.documents.values import stamp, stamp_or_none
from dartifact.documents.waivers import WaiverDocument, describe_waiver
from dartifact.domain.runs import Run
from dartifact.domain.waivers import Waiver
from dartifact.domain.windows import Window


class WindowDocument(TypedDict):
    """The window that a run claimed."""

    seq: int
    lo: str
    hi: str
    state: str
    backfill: bool
    gap_reason: str | None
    backlog_seconds: float


class RunDocument(TypedDict):
    """One run as the ledger knows it."""

    run_id: str
    source: str
    ingestor: str
    number: int
    phase: str
    gate: str | None
    branch: str
    commit: str | None
    rows: int | None
    reasons: list[str]
    window: WindowDocument
    attempts: int
    held_until: str | None
    revert_requested: str | None
    created_at: str


class ApprovedRun(RunDocument):
    """A run that was approved, with the waivers that hold for it."""

    waivers: list[WaiverDocument]


class SplitRun(RunDocument):
    """A run made of the rows of another one that do not fail."""

    split_from: str
    rows_before: int
    rows_left: int


def describe_run(run: Run) -> RunDocument:
    """Return a run as a document."""
    return {
        "run_id": run.run_id,
        "source": run.source,
        "ingestor": run.ingestor,
        "number": run.number,
        "phase": run.phase.value,
        "gate": run.gate.value if run.gate else None,
        "branch": run.branch,
        "commit": run.commit,
        "rows": run.rows,
        "reasons": list(run.reasons),
        "window": _describe_window(run.window),
        "attempts": run.attempts,
        "held_until": stamp_or_none(run.held_until),
        "revert_requested": run.revert_reason,
        "created_at": stamp(run.created_at),
    }


def _describe_window(window: Window) -> WindowDocument:
    return {
        "seq": window.seq,
        "lo": stamp(window.lo),
        "hi": stamp(window.hi),
        "state": window.state.value,
        "backfill": window.backfill,
        "gap_reason": window.gap_reason,
        "backlog_seconds": window.backlog.total_seconds(),
    }


def describe_approved_run(run: Run, waivers: Iterable[Waiver]) -> ApprovedRun:
    """Return a run that was approved, with the waivers that hold for it."""
    return {**describe_run(run), "waivers": [describe_waiver(waiver) for waiver in waivers]}


def describe_split(derived: Run, split_from: str, *, rows_before: int, rows_left: int) -> SplitRun:
    """Return the run that a split has made, and how many rows the run it came from had and kept."""
    return {**describe_run(derived), "split_from": split_from, "rows_before": rows_before, "rows_left": rows_left}
