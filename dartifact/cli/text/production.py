"""Promotions and rollbacks as text: what they did, where they stand, what they would do."""

from __future__ import annotations

from dartifact.cli.text.lines import format_steps, indent
from dartifact.commands.production.rollback import Rollback
from dartifact.commands.production.under_way import UnderWay
from dartifact.domain.plans import LivePointer, Plan


def format_promotion(plan: Plan | None, pointer: LivePointer, under_way: UnderWay | None, *, planned: bool) -> str:
    """Return what a promotion did, where it stands or what it would do."""
    if plan is None:
        return f"nothing to promote; live is {pointer.live or 'nothing'}"
    if under_way is not None and under_way.plan == plan:
        return "\n".join(_format_under_way(under_way))
    if planned:
        return "\n".join([f"promotion of {plan.dartifact} would:", *indent(format_steps(plan.steps))])
    return f"{plan.dartifact} is live on {plan.slot}"


def _format_under_way(under_way: UnderWay) -> list[str]:
    marks = {-1: "✓", 0: "→", 1: " "}
    lines = [f"{under_way.plan.kind} of {under_way.plan.dartifact} is under way:"]
    for number, step in enumerate(format_steps(under_way.plan.steps), start=1):
        is_later, is_earlier = number > under_way.number, number < under_way.number
        lines.append(f"{marks[is_later - is_earlier]} {step}")
    return lines + ([f"continues at {under_way.goes_on_at:%H:%M:%S} UTC"] if under_way.goes_on_at else [])


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
