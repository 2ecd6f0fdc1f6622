"""What the verbs and the pages answer: documents of plain JSON values."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event, Stop
from dartifact.adapters.transform.project_code import digest_code
from dartifact.commands.gates.failing_rows import find_check, look_at_failing, read_failing_rows
from dartifact.commands.production.rollback import Rollback
from dartifact.commands.production.under_way import UnderWay, find_under_way
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.commands.staging.codes import find_last_good, find_refusal
from dartifact.commands.stops import describe_stop
from dartifact.domain import errors
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.dartifacts import Dartifact
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer
from dartifact.domain.runs import Phase, Run, read_run_id
from dartifact.domain.waivers import Waiver
from dartifact.domain.windows import Window

Document = dict[str, Any]

_SHOWN_ROWS = 5


def describe_run(run: Run) -> Document:
    """Return a run as a document."""
    window = run.window
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
        "window": {
            "seq": window.seq,
            "lo": _stamp(window.lo),
            "hi": _stamp(window.hi),
            "state": window.state.value,
            "backfill": window.backfill,
            "gap_reason": window.gap_reason,
            "backlog_seconds": window.backlog.total_seconds(),
        },
        "attempts": run.attempts,
        "held_until": _stamp(run.held_until),
        "revert_requested": run.revert_reason,
        "created_at": _stamp(run.created_at),
    }


def describe_dartifact(dartifact: Dartifact) -> Document:
    """Return a dartifact as a document."""
    return {
        "dartifact": dartifact.dartifact_id,
        "state": dartifact.state.value,
        "commit": dartifact.commit,
        "main_commit": dartifact.main_commit,
        "code_digest": dartifact.code_digest,
        "runs": list(dartifact.runs),
        "reasons": list(dartifact.reasons),
        "created_at": _stamp(dartifact.created_at),
        "passport": dartifact.passport,
    }


def describe_production(pointer: LivePointer) -> Document:
    """Return the live pointer as a document."""
    return {
        "active": pointer.active,
        "weights": dict(pointer.weights),
        "dartifacts": {name: slot.dartifact for name, slot in pointer.slots.items()},
        "commits": {name: slot.commit for name, slot in pointer.slots.items()},
        "settled": pointer.settled,
        "generation": pointer.generation,
        "frozen": pointer.frozen,
    }


def describe_under_way(under_way: UnderWay | None) -> Document | None:
    """Return where a promotion or rollback stands as a document."""
    if under_way is None:
        return None
    return {
        "plan_id": under_way.plan.plan_id,
        "kind": under_way.plan.kind,
        "dartifact": under_way.plan.dartifact,
        "slot": under_way.plan.slot,
        "number": under_way.number,
        "of": len(under_way.plan.steps),
        "step": str(under_way.step),
        "goes_on_at": _stamp(under_way.goes_on_at),
    }


def describe_rollback(rollback: Rollback) -> Document:
    """Return a rollback, decided or done, as a document."""
    return {
        "leaves": rollback.leaves,
        "returns": rollback.returns,
        "commit": rollback.commit,
        "warm": rollback.warm,
        "data_of": rollback.data_of,
        "steps": [str(step) for step in rollback.plan.steps],
        "runs_out": list(rollback.runs_out),
        "reverts": list(rollback.reverts),
        "blames": [{"kind": blame.kind, "value": blame.value} for blame in rollback.blames],
        "freezes": rollback.freezes,
        "marts": rollback.marts,
        "published": rollback.published,
        "note": rollback.note,
    }


def describe_status(stack: Stack) -> Document:
    """Return where everything stands."""
    ledger = stack.ledger
    head = stack.lake.head(MAIN)
    waiting = ledger.runs(phases=(Phase.QUEUED,))
    stopped = ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)
    pointer = ledger.pointer()
    main = is_main_tested(ledger, head)
    return {
        "stops": [_stop(each) for each in ledger.stops()],
        "main": {
            "commit": head.commit_id,
            "meta_range": head.meta_range,
            "tested": main.is_tested,
            "why": main.why,
        },
        "waiting": [{"run_id": run.run_id, "reasons": list(run.reasons)} for run in reversed(waiting) if run.reasons],
        "queue": [run.run_id for run in waiting] + [f"revert {run.run_id}" for run in ledger.pending_reverts()],
        "stopped": [
            {"run_id": run.run_id, "phase": run.phase.value, "branch": run.branch, "reasons": list(run.reasons)}
            for run in stopped
        ],
        "gaps": describe_gaps(stack),
        "backlog": [_backlog(window) for window in ledger.newest_claims() if window.backlog],
        "staging": _describe_staging(stack),
        "production": {"live": pointer.live, **describe_production(pointer)},
        "under_way": describe_under_way(find_under_way(stack)),
        "waivers": [describe_waiver(each) for each in ledger.waivers()],
        "open_intents": [intent.operation for intent in ledger.open_intents()],
    }


def describe_gaps(stack: Stack) -> list[Document]:
    """Return the open gaps, with the commands that close each."""
    gaps = stack.ledger.gaps()
    names = [run_id for _, run_id in gaps]
    left_by = {run.run_id: run for run in stack.ledger.runs(names=names)} if names else {}
    return [
        {
            "source": window.source,
            "shard": window.shard,
            "lo": _stamp(window.lo),
            "hi": _stamp(window.hi),
            "state": window.state.value,
            "run_id": run_id,
            "backfill": f"dartifact backfill {window.source} --from {_stamp(window.lo)} --to {_stamp(window.hi)} "
            f"--ingestor {left_by[run_id].ingestor}",
            "accept": f"dartifact accept-gap {run_id} --reason WHY",
        }
        for window, run_id in gaps
    ]


def _describe_staging(stack: Stack) -> Document:
    newest = next(iter(stack.ledger.dartifacts(most=1)), None)
    refused, good = find_refusal(stack.ledger, digest_code(stack.project)), find_last_good(stack.ledger)
    return {
        "dartifact": newest.dartifact_id if newest else None,
        "state": newest.state.value if newest else None,
        "reasons": list(newest.reasons) if newest else [],
        "refused": refused,
        "built_with": good.dartifact_id if refused and good else None,
    }


def describe_one(stack: Stack, name: str) -> Document:
    """Return one run with checks, failing rows and events, or one dartifact with its passport and events."""
    try:
        run = stack.ledger.run(read_run_id(name))
    except errors.NotFound:
        try:
            dartifact = stack.ledger.dartifact(name)
        except errors.NotFound as error:
            message = f"there is neither a run nor a dartifact {name}"
            raise errors.NotFound(message, hint=(Command("runs"), ", or ", Command("status"))) from error
        events = stack.ledger.events(dartifact_id=dartifact.dartifact_id)
        return {**describe_dartifact(dartifact), "events": [_event(each) for each in events]}
    refusals = stack.ledger.refusals(run.run_id)
    kept = set(stack.lake.list_branches("candidate-")) if refusals else set()
    results = _own_results(stack.ledger, run)
    checks = [{**_result(each), "failing_sample": _sample(stack, run, each)} for each in results]
    return {**_record(stack.ledger, run, checks), "refused_in": [_refusal(each, kept) for each in refusals]}


def describe_run_record(ledger: Ledger, run_id: str) -> Document:
    """Return one run with its checks, waivers and events: what the ledger knows of it."""
    run = ledger.run(run_id)
    return _record(ledger, run, [_result(each) for each in _own_results(ledger, run)])


def _record(ledger: Ledger, run: Run, checks: list[Document]) -> Document:
    return {
        **describe_run(run),
        "report": run.report,
        "checks": checks,
        "waivers": [describe_waiver(each) for each in ledger.waivers(run_ids=[run.run_id])],
        "events": [_event(each) for each in ledger.events(run_id=run.run_id)],
    }


def _own_results(ledger: Ledger, run: Run) -> list[Result]:
    report = ledger.report(run.report) if run.report else None
    return [each for each in report.results if each.run_id in (None, run.run_id)] if report else []


def _sample(stack: Stack, run: Run, result: Result) -> list[Document]:
    if result.outcome is not Outcome.FAILED or not result.condition:
        return []
    rows = read_failing_rows(stack, run, result, _SHOWN_ROWS)
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def describe_failing(stack: Stack, run: Run, check: str, most: int) -> Document:
    """Return the failing rows of the check that a name means, `most` of those that were kept."""
    result = find_check(stack, run, check)
    rows, kept = look_at_failing(stack, run, result, most)
    return {
        "run_id": run.run_id,
        "check": result.check,
        "message": result.message,
        "failing_rows": result.failing_rows,
        "known_rows": result.known_rows,
        "kept": kept,
        "rows": [{name: _plain(value) for name, value in row.items()} for row in rows],
    }


def describe_waiver(waiver: Waiver) -> Document:
    """Return a waiver as a document."""
    return {
        "waiver": waiver.waiver_id,
        "dataset": waiver.dataset,
        "check": waiver.check,
        "rows": waiver.rows,
        "run_id": waiver.run_id,
        "commit": waiver.commit,
        "report": waiver.report,
        "until": _stamp(waiver.until),
        "actor": waiver.actor,
        "reason": waiver.reason,
        "at": _stamp(waiver.at),
        "ended_at": _stamp(waiver.ended_at),
    }


def _stop(stop: Stop) -> Document:
    return {
        "name": stop.name,
        "actor": stop.actor,
        "at": _stamp(stop.at),
        "reason": stop.reason,
        "say": describe_stop(stop),
    }


def _backlog(window: Window) -> Document:
    return {
        "source": window.source,
        "shard": window.shard,
        "claimed_up_to": _stamp(window.hi),
        "source_clock": _stamp(window.clock),
        "seconds": window.backlog.total_seconds(),
    }


def _result(result: Result) -> Document:
    return {
        "check": result.check,
        "outcome": result.outcome.value,
        "message": result.message,
        "column": result.column,
        "measured": result.measured,
        "threshold": result.threshold,
        "failing_rows": result.failing_rows,
        "known_rows": result.known_rows,
        "waiver": result.waiver,
        "condition": result.condition,
    }


def _event(event: Event) -> Document:
    return {
        "sequence": event.sequence,
        "at": _stamp(event.at),
        "type": event.type,
        "actor": event.actor,
        "place": event.place,
        "operation": event.operation,
        "payload": event.payload,
    }


def _refusal(event: Event, kept: Collection[str]) -> Document:
    told = event.payload
    return {
        "at": _stamp(event.at),
        "branch": told["branch"],
        "commit": told["commit"],
        "kept": told["branch"] in kept,
        "others": len(told["runs"]) + len(told["reverts"]) - 1,
        "reasons": told["reasons"],
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)


def _stamp(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
