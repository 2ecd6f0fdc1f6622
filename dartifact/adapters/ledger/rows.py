"""Rows of the ledger as values of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dartifact.domain.checks import Gate
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.runs import Phase, Run
from dartifact.domain.traffic import Consumer
from dartifact.domain.waivers import Waiver
from dartifact.domain.windows import Window, WindowState


def to_window(row: Mapping[str, Any]) -> Window:
    """Read a window from a row that carries its columns, the state as `window`."""
    return Window(
        seq=row["seq"],
        source=row["source"],
        shard=row["shard"],
        lo=row["lo"],
        hi=row["hi"],
        state=WindowState(row["window"]),
        clock=row["clock"],
        backfill=row["backfill"],
        repairs=tuple(row["repairs"]),
        gap_reason=row["gap_reason"],
    )


def to_run(row: Mapping[str, Any]) -> Run:
    """Read a run from a row of runs joined with windows."""
    return Run(
        run_id=row["run_id"],
        source=row["source"],
        ingestor=row["ingestor"],
        number=row["number"],
        window=to_window(row),
        phase=Phase(row["phase"]),
        created_at=row["created_at"],
        gate=Gate(row["gate"]) if row["gate"] else None,
        commit=row["commit_id"],
        rows=row["rows"],
        report=row["report"],
        reasons=tuple(row["reasons"]),
        attempts=row["attempts"],
        held_until=row["held_until"],
        revert_reason=row["revert_reason"],
    )


def to_dartifact(row: Mapping[str, Any]) -> Dartifact:
    """Read a dartifact from its row."""
    return Dartifact(
        dartifact_id=row["dartifact_id"],
        created=row["created"],
        state=DartifactState(row["state"]),
        code_digest=row["code_digest"],
        main_commit=row["main_commit"],
        runs=tuple(row["runs"]),
        created_at=row["created_at"],
        commit=row["commit_id"],
        meta_range=row["meta_range"],
        reasons=tuple(row["reasons"]),
        passport=row["passport"],
    )


def to_consumer(row: Mapping[str, Any]) -> Consumer:
    """Read a consumer from its row."""
    return Consumer(row["name"], row["slot"], row["dartifact_id"], row["commit_id"], row["plan_id"], row["asked_at"])


def to_waiver(row: Mapping[str, Any]) -> Waiver:
    """Make a waiver of its row."""
    values = dict(row)
    return Waiver(commit=values.pop("commit_id"), **values)
