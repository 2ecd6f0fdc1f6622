"""Rollbacks as text: what one did, or would do."""

from __future__ import annotations

from dartifact.cli.text.lines import indent
from dartifact.commands.production.rollback_preview import Rollback


def format_rollback_preview(rollback: Rollback) -> str:
    """Return what a rollback would do."""
    how = "immediately" if rollback.warm else "after publishing it to the idle slot and a smoke test"
    details = [f"its data was built at {rollback.data_of}", *_format_marts(rollback, "now")]
    details += [f"no longer in production: {run_id}" for run_id in rollback.runs_out]
    details += [f"would be reverted: {run_id}" for run_id in rollback.reverts]
    if rollback.freezes:
        details += ["promotions would be frozen: the blame is unknown", "blame runs or the code: --blame RUN|runs|code"]
    details += [rollback.note] if rollback.note else []
    return "\n".join([f"would roll back {rollback.leaves} → {rollback.returns} {how}", *indent(details)])


def format_rollback(rollback: Rollback, reverted: tuple[str, ...] = ()) -> str:
    """Return what a rollback did; `reverted` are the runs that are out of `main` already."""
    details = [f"its data was built at {rollback.data_of}", *_format_marts(rollback, "before")]
    details += [f"no longer in production: {run_id}" for run_id in rollback.runs_out]
    details += [f"{'reverted' if run_id in reverted else 'pending revert'}: {run_id}" for run_id in rollback.reverts]
    if rollback.freezes:
        details += ["promotions are frozen: the blame is unknown", "next: dartifact unfreeze --reason WHY"]
    details += [rollback.note] if rollback.note else []
    return "\n".join([f"rolled back {rollback.leaves} → {rollback.returns}", *indent(details)])


def _format_marts(rollback: Rollback, was: str) -> list[str]:
    return [f"{mart}: {rows['rows_now']} rows {was}, {rows['rows_then']} then" for mart, rows in rollback.marts.items()]
