"""Runs as text: a list of them, and what became of those of an ingest."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.cli.text.lines import cut, indent
from dartifact.cli.text.tables import render_table
from dartifact.domain.runs import Phase, Run

_COLUMNS = ("run", "phase", "gate", "rows", "window", "why")
_LONGEST_REASON = 90


def format_runs(runs: Sequence[Run]) -> str:
    """Return runs as a table."""
    if not runs:
        return "no runs yet; try: dartifact demo --once"
    return render_table(_COLUMNS, [_format_row(run) for run in runs], numbers=("rows",))


def _format_row(run: Run) -> tuple[str, ...]:
    again = " (backfill)" if run.window.backfill else ""
    window = f"{run.window.lo:%m-%d %H:%M}–{run.window.hi:%H:%M}{again}"
    why = run.reasons[0] if run.reasons else run.revert_reason or ""
    rows = f"{run.rows:,}" if run.rows is not None else ""
    gate = run.gate.value if run.gate else ""
    return run.run_id, run.phase.value, gate, rows, window, cut(why, _LONGEST_REASON)


def format_ingested(runs: Sequence[Run]) -> str:
    """Return what became of the runs of one ingest, and what to do next."""
    if not runs:
        return "no new data since the last run"
    lines = [line for run in runs for line in _format_outcome(run)]
    last = runs[-1]
    if last.window.backlog:
        again = f"dartifact ingest {last.source} --ingestor {last.ingestor}"
        lines.append(f"{last.window.backlog} of the source not ingested yet; next: {again}")
    return "\n".join(lines)


def _format_outcome(run: Run) -> list[str]:
    lines = [f"{run.run_id}: {run.phase.value}, {run.rows or 0:,} rows"]
    if run.phase in (Phase.FAILED, Phase.HELD):
        reasons = [f"why: {reason}" for reason in run.reasons]
        lines += indent([f"branch: {run.branch}", *reasons, f"look: dartifact show {run.run_id}"])
    if run.phase is Phase.QUEUED:
        lines += indent(["next: dartifact integrate"])
    return lines


def format_chunk(run: Run) -> str:
    """Return what became of one run of a backfill."""
    window = f"{run.window.lo:%Y-%m-%d %H:%M:%S}–{run.window.hi:%Y-%m-%d %H:%M:%S}"
    return f"{run.ingestor} {window}: {run.phase.value}, {run.rows or 0:,} rows"
