"""Gaps and backlogs as documents: which rows are missing from `main`, and what of a source is not ingested yet."""

from __future__ import annotations

from typing import TypedDict

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.documents.values import stamp, stamp_or_none
from dartifact.domain.windows import Window


class GapDocument(TypedDict):
    """A window whose rows are missing, the run that left it, and the commands that close it."""

    source: str
    shard: int
    lo: str
    hi: str
    state: str
    run_id: str
    backfill: str
    accept: str


class BacklogDocument(TypedDict):
    """How far the newest claim of a source is behind its clock."""

    source: str
    shard: int
    claimed_up_to: str
    source_clock: str | None
    seconds: float


def describe_gaps(ledger: Ledger) -> list[GapDocument]:
    """Return the open gaps, with the commands that close each."""
    gaps = ledger.gaps()
    names = [run_id for _, run_id in gaps]
    left_by = {run.run_id: run for run in ledger.runs(names=names)} if names else {}
    return [
        {
            "source": window.source,
            "shard": window.shard,
            "lo": stamp(window.lo),
            "hi": stamp(window.hi),
            "state": window.state.value,
            "run_id": run_id,
            "backfill": f"dartifact backfill {window.source} --from {stamp(window.lo)} --to {stamp(window.hi)} "
            f"--ingestor {left_by[run_id].ingestor}",
            "accept": f"dartifact accept-gap {run_id} --reason WHY",
        }
        for window, run_id in gaps
    ]


def describe_backlog(window: Window) -> BacklogDocument:
    """Return how far a claim is behind the clock of its source."""
    return {
        "source": window.source,
        "shard": window.shard,
        "claimed_up_to": stamp(window.hi),
        "source_clock": stamp_or_none(window.clock),
        "seconds": window.backlog.total_seconds(),
    }
