"""What the pages show: documents from the ledger, read alike by CLI and UI."""

from __future__ import annotations

from typing import Any

from flows import documents
from flows.commands.diff_cells import Cell, CellFilter, read_page
from flows.commands.diff_store import StoredDiff
from flows.commands.diffs import diff_mart, diff_run, list_marts
from flows.commands.production import choose_promotion, plan_promotion
from flows.commands.rollback import preview_rollback as preview
from flows.commands.under_way import find_under_way
from flows.domain.runs import Phase
from ui.stack import open_ledger, open_ledger_stack, open_stack


def list_runs(phase: str, ingestor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return runs as documents, the newest claim first; in one phase, of one ingestor, before a claim, or all."""
    phases = (Phase(phase),) if phase else None
    runs = open_ledger().runs(phases=phases, ingestor=ingestor or None, before=before, most=most)
    return [documents.describe_run(run) for run in runs]


def list_events(type: str, actor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return who did what, when and why, the newest first; of one type, by one actor, before an event, or all."""
    events = open_ledger().events(type=type or None, actor=actor or None, before=before, most=most)
    return [
        {
            "sequence": each.sequence,
            "at": each.at,
            "type": each.type,
            "actor": each.actor,
            "run": each.run_id,
            "dartifact": each.dartifact_id,
            "why": each.payload.get("reason") or "; ".join(each.payload.get("reasons") or ()),
        }
        for each in reversed(events)
    ]


def count_phases() -> dict[str, int]:
    """Return how many runs are in each phase, in the order of the road."""
    counts = open_ledger().count_runs()
    return {phase.value: counts[phase] for phase in Phase if counts.get(phase)}


def read_production() -> dict[str, Any]:
    """Return where production stands."""
    pointer = open_ledger().pointer()
    return {"live": pointer.live, **documents.describe_production(pointer)}


def read_under_way() -> dict[str, Any] | None:
    """Return where a promotion or rollback stands, with all its steps; None when nothing moves."""
    found = find_under_way(open_ledger_stack())
    document = documents.describe_under_way(found)
    return {**document, "steps": [str(step) for step in found.plan.steps]} if document and found else None


def plan_next() -> dict[str, Any] | None:
    """Return what would be promoted now and by which steps; None when nothing waits. PolicyRefused says why not."""
    stack = open_ledger_stack()
    chosen = choose_promotion(stack)
    if chosen is None:
        return None
    plan = plan_promotion(stack, stack.ledger.pointer(), chosen.dartifact_id, "-")
    return {**documents.describe_dartifact(chosen), "slot": plan.slot, "steps": [str(step) for step in plan.steps]}


def preview_rollback(to: str | None, blame: str) -> dict[str, Any]:
    """Return what a rollback would do."""
    return documents.describe_rollback(preview(open_ledger_stack(), to, (blame,)))


def list_promotions(most: int) -> list[dict[str, Any]]:
    """Return promotions and rollbacks, the newest first."""
    return [
        {
            "started": each.started_at,
            "ended": each.ended_at,
            "kind": each.plan.kind,
            "dartifact": each.plan.dartifact,
            "slot": each.plan.slot,
            "state": each.state,
            "steps": f"{each.done} of {len(each.plan.steps)}",
        }
        for each in open_ledger().promotions(most=most)
    ]


def list_dartifacts(most: int) -> list[dict[str, Any]]:
    """Return dartifacts as documents, the newest first."""
    return [documents.describe_dartifact(each) for each in open_ledger().dartifacts(most=most)]


def read_dartifact(dartifact: str) -> dict[str, Any]:
    """Return one dartifact with its passport."""
    return documents.describe_dartifact(open_ledger().dartifact(dartifact))


def name_marts(base: str, candidate: str) -> tuple[str, ...]:
    """Name the marts that either of two commits shows."""
    return list_marts(open_stack(), base, candidate)


def read_mart_diff(mart: str, base: str, candidate: str) -> StoredDiff:
    """Return the difference of a mart at two commits; computed once."""
    return diff_mart(open_stack(), mart, base, candidate)


def list_holes() -> list[dict[str, Any]]:
    """Return the windows whose rows are missing from `main`, with the run that left each."""
    return [
        {"source": window.source, "lo": window.lo, "hi": window.hi, "state": window.state.value, "run": run_id}
        for window, run_id in open_ledger().holes()
    ]


def read_run(run_id: str) -> dict[str, Any]:
    """Return one run with its checks, waivers and events; the failing rows are read apart, from the lake."""
    return documents.describe_run_record(open_ledger(), run_id)


def read_failing(run_id: str, check: str, most: int) -> dict[str, Any]:
    """Return the failing rows of a check of a run."""
    stack = open_stack()
    return documents.describe_failing(stack, stack.ledger.run(run_id), check, most)


def read_diff(run_id: str) -> StoredDiff:
    """Return the difference between `main` and what it would be with the run; computed once for what both are now."""
    stack = open_stack()
    return diff_run(stack, stack.ledger.run(run_id))


def read_cells(stored: StoredDiff, page: int, size: int, only: CellFilter) -> tuple[Cell, ...]:
    """Return one page of the differing cells."""
    return read_page(stored, page=page, size=size, only=only)
