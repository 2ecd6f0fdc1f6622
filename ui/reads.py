"""What the pages show: documents from the ledger, read alike by CLI and UI, without what the role may not see."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flows import documents
from flows.commands.against_main import Bucket, compare_distribution, count_in_main
from flows.commands.approvals import find_approvals, find_authors
from flows.commands.diff_cells import CellFilter, RowDiff, read_row_page, write_cells
from flows.commands.diff_store import StoredDiff
from flows.commands.diffs import diff_mart, diff_run, list_marts
from flows.commands.production import choose_promotion, plan_promotion
from flows.commands.rollback import preview_rollback as preview
from flows.commands.under_way import find_under_way
from flows.compare.report import DiffReport
from flows.domain.dartifacts import WAITING
from flows.domain.people import hide_values
from flows.domain.runs import UNFINISHED, Phase, Run
from flows.settings import read_settings
from ui.people import who
from ui.stack import open_ledger, open_ledger_stack, open_stack, read_sources

HIDDEN = "•••"
STRIP = 30
TREND = 12


# What the role may not see


def hidden_columns(dataset: str = "") -> frozenset[str]:
    """Name the personal columns, of one dataset or of all, that the person who looks may not see."""
    return frozenset(column for owner, column in _hidden() if dataset in ("", owner))


def _hider() -> Callable[[str], str]:
    """Return what takes the personal values out of a sentence that the person who looks may not see."""
    hidden = _hidden()
    return lambda sentence: hide_values(sentence, hidden)


def _hidden() -> tuple[tuple[str, str], ...]:
    if who().sees_personal:
        return ()
    return tuple((source.name, column) for source in read_sources().values() for column in source.personal)


def _describe_runs(runs: Iterable[Run]) -> list[dict[str, Any]]:
    hide = _hider()
    described = [documents.describe_run(each) for each in runs]
    return [{**each, "reasons": [hide(reason) for reason in each["reasons"]]} for each in described]


# Now


def read_now() -> dict[str, Any]:
    """Return what a wall shows: what runs, what waits, what failed, `main`, staging, production, each ingestor."""
    ledger = open_ledger()
    stopped = ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)
    advanced, untested = (
        next(iter(ledger.events(type=each, most=1)), None) for each in ("MainAdvanced", "MainUntested")
    )
    repaired = next(iter(ledger.events(type="MainRepaired", most=1)), None)
    is_tested = untested is None or (repaired is not None and repaired.sequence > untested.sequence)
    pointer = ledger.pointer()
    newest = next(iter(ledger.dartifacts(most=1)), None)
    names = [ingestor.name for source in read_sources().values() for ingestor in source.ingestors]
    return {
        "stops": [f"{each.name}: {each.reason}" for each in ledger.stops()],
        "running": _describe_runs(ledger.runs(phases=UNFINISHED, most=20)),
        "queue": len(ledger.runs(phases=(Phase.QUEUED,))) + len(ledger.pending_reverts()),
        "stopped": _describe_runs(stopped),
        "counts": count_phases(),
        "main": {"at": advanced.at.isoformat() if advanced else None, "tested": is_tested},
        "staging": documents.describe_dartifact(newest) if newest else None,
        "production": read_production(),
        "data_of": ledger.dartifact(pointer.live).created_at.isoformat() if pointer.live else None,
        "under_way": read_under_way(),
        "holes": list_holes(),
        "unapproved": _list_unapproved(),
        "strips": {name: _list_strip(name) for name in names},
    }


def _list_unapproved() -> list[dict[str, Any]]:
    """Return the dartifacts that wait for approvals, the newest first, with how many each has."""
    stack = open_ledger_stack()
    needed, live = stack.policy.approvals, stack.ledger.pointer().live
    waiting = stack.ledger.dartifacts(states=WAITING) if needed else ()
    counted = [(each.dartifact_id, len(find_approvals(stack, each))) for each in waiting if each.dartifact_id != live]
    return [{"dartifact": name, "given": given, "needed": needed} for name, given in counted if given < needed]


def _list_strip(ingestor: str) -> list[dict[str, Any]]:
    return [
        {"run": run.run_id, "phase": run.phase.value, "rows": run.rows, "hi": run.window.hi.isoformat()}
        for run in reversed(open_ledger().runs(ingestor=ingestor, most=STRIP))
    ]


# Runs and events


def list_runs(phase: str, ingestor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return runs as documents, the newest claim first; in one phase, of one ingestor, before a claim, or all."""
    phases = (Phase(phase),) if phase else None
    runs = open_ledger().runs(phases=phases, ingestor=ingestor or None, before=before, most=most)
    return _describe_runs(runs)


def list_events(type: str, actor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return who did what, when and why, the newest first; of one type, by one actor, before an event, or all."""
    hide = _hider()
    events = open_ledger().events(type=type or None, actor=actor or None, before=before, most=most)
    return [
        {
            "sequence": each.sequence,
            "at": each.at,
            "type": each.type,
            "actor": each.actor,
            "run": each.run_id,
            "dartifact": each.dartifact_id,
            "why": hide(each.payload.get("reason") or "; ".join(each.payload.get("reasons") or ())),
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
    hide = _hider()
    run = documents.describe_run_record(open_ledger(), run_id)
    run["reasons"] = [hide(each) for each in run["reasons"]]
    run["checks"] = [{**each, "message": hide(each["message"])} for each in run["checks"]]
    for each in run["events"]:
        payload = each["payload"]
        each["why"] = hide(payload.get("reason") or "; ".join(payload.get("reasons") or ()))
    return run


def read_trends(run: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return what each check has measured in the last runs of the ingestor up to this one, the oldest first."""
    ledger = open_ledger()
    found: dict[str, list[float]] = {}
    for each in reversed(ledger.runs(ingestor=run["ingestor"], before=run["window"]["seq"] + 1, most=TREND)):
        report = ledger.report(each.report) if each.report else None
        for result in report.results if report else ():
            if result.measured is not None and result.run_id in (None, each.run_id):
                found.setdefault(result.check, []).append(result.measured)
    return found


def read_failing(run_id: str, check: str, most: int) -> dict[str, Any]:
    """Return the failing rows of a check of a run."""
    stack = open_stack()
    run = stack.ledger.run(run_id)
    found = documents.describe_failing(stack, run, check, most)
    hidden, hide = hidden_columns(run.source), _hider()
    rows = [
        {name: HIDDEN if name in hidden else hide(value) if name == "_reason" else value
         for name, value in row.items()}
        for row in found["rows"]
    ]  # fmt: skip
    return {**found, "message": hide(found["message"]), "rows": rows}


def list_columns(dataset: str) -> list[str]:
    """Name the columns of a dataset's contract."""
    return [name for name, _ in open_stack().contract(dataset).columns]


def count_same_in_main(run_id: str, condition: str) -> int:
    """Count the rows of `main`, without the run's own, that fail the same check."""
    stack = open_stack()
    return count_in_main(stack, stack.ledger.run(run_id), condition)


def read_distribution(run_id: str, column: str) -> tuple[Bucket, ...]:
    """Return how the values of a column lie in `main` and in the run."""
    stack = open_stack()
    return compare_distribution(stack, stack.ledger.run(run_id), column)


def read_diff(run_id: str) -> StoredDiff:
    """Return the difference between `main` and what it would be with the run; computed once for what both are now."""
    stack = open_stack()
    return diff_run(stack, stack.ledger.run(run_id))


def read_rows(
    stored: StoredDiff, page: int, size: int, only: CellFilter, conditions: Mapping[str, str]
) -> tuple[RowDiff, ...]:
    """Return one page of the differing rows, with the checks that each fails."""
    return read_row_page(stored, page=page, size=size, only=only, conditions=conditions)


def pack_cells(stored: StoredDiff) -> bytes:
    """Return every differing cell as a Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.parquet"
        write_cells(stored, file)
        return file.read_bytes()


def read_approvals(dartifact: str) -> dict[str, Any]:
    """Return who has approved a dartifact, who may not, and how many approvals the policy asks for."""
    stack = open_ledger_stack()
    found = stack.ledger.dartifact(dartifact)
    return {
        "given": [{"who": each.actor, "at": each.at.isoformat(), "why": each.reason}
                  for each in find_approvals(stack, found)],
        "authors": sorted(find_authors(stack, found)),
        "needed": stack.policy.approvals,
    }  # fmt: skip


def hide_examples(report: DiffReport) -> frozenset[str]:
    """Name the columns of a diff whose values are not shown to the person who looks."""
    return hidden_columns(report.table if report.table in read_sources() else "")


def find_in_prefect(run: Mapping[str, Any]) -> str:
    """Return the page of the flow run that brought a run, empty where Prefect had no part or is not known to be up."""
    from flows.local.note import read_note  # noqa: PLC0415

    noted = [each["payload"]["flow_run"] for each in run["events"] if each["type"] == "FlowRunNoted"]
    note = read_note(read_settings().home)
    pages = os.environ.get("PREFECT_UI_URL") or (note.api_url.removesuffix("/api") if note else "")
    return f"{pages}/runs/flow-run/{noted[-1]}" if noted and pages else ""
