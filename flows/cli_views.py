"""What the verbs answer: documents (plain JSON values) and the same as text."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from flows.adapters.lake import MAIN
from flows.adapters.ledger import Event
from flows.adapters.project_code import digest_code
from flows.commands.codes import find_last_good, find_refusal
from flows.commands.doctor import Finding
from flows.commands.gates import read_failing_rows
from flows.commands.queue import Integration
from flows.commands.rollback import Rollback
from flows.commands.stack import Stack
from flows.commands.stops import describe_stop
from flows.commands.under_way import UnderWay, find_under_way
from flows.domain import errors
from flows.domain.checks import Outcome, Result
from flows.domain.dartifacts import Dartifact, DartifactState
from flows.domain.plans import LivePointer, Plan
from flows.domain.runs import Phase, Run

T = TypeVar("T")
Document = dict[str, Any]

_SHOWN_ROWS = 5


def run_aloud(name: str, step: Callable[[], T], /) -> T:
    """Run a step, named on stderr when it is done."""
    result = step()
    print(f"done: {name}", file=sys.stderr)
    return result


# Runs


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


def tell_runs(runs: Sequence[Run]) -> str:
    """Return runs as a table."""
    if not runs:
        return "no runs yet; try: dartifact demo --once"
    table = Table(box=None, pad_edge=False)
    for name in ("run", "phase", "gate", "rows", "window", "why"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for run in runs:
        window = f"{run.window.lo:%m-%d %H:%M}–{run.window.hi:%H:%M}" + (" again" if run.window.backfill else "")
        why = run.reasons[0] if run.reasons else run.revert_reason or ""
        rows = f"{run.rows:,}" if run.rows is not None else ""
        table.add_row(run.run_id, run.phase.value, run.gate.value if run.gate else "", rows, window, _cut(why, 90))
    return _render(table)


def tell_runs_brought(runs: Sequence[Run]) -> str:
    """Say what became of the runs of one ingest."""
    if not runs:
        return "nothing new: the source's clock has not moved since the last window"
    lines = []
    for run in runs:
        lines.append(f"{run.run_id}: {run.phase.value}, {run.rows or 0:,} rows")
        if run.phase in (Phase.FAILED, Phase.HELD):
            lines.append(f"  branch: {run.branch}")
            lines += [f"  why: {reason}" for reason in run.reasons]
            lines.append(f"  look: dartifact show {run.run_id}")
        if run.phase is Phase.QUEUED:
            lines.append("  next: dartifact integrate")
    if backlog := runs[-1].window.backlog:
        lines.append(f"{backlog} of the source wait: dartifact ingest {runs[-1].source} --ingestor {runs[-1].ingestor}")
    return "\n".join(lines)


def tell_chunk(run: Run) -> str:
    """Say what became of one run of a backfill."""
    window = f"{run.window.lo:%Y-%m-%d %H:%M:%S}–{run.window.hi:%Y-%m-%d %H:%M:%S}"
    return f"{run.ingestor} {window}: {run.phase.value}, {run.rows or 0:,} rows"


def tell_integration(done: Integration) -> str:
    """Say what became of the merge queue."""
    words = (("merged", done.merged), ("reverted", done.reverted), ("failed", done.failed), ("held", done.held))
    lines = [f"{word}: {', '.join(names)}" for word, names in words if names]
    lines += [f"waiting, in order: {', '.join(done.waiting)}"] if done.waiting else []
    if not lines:
        return "nothing waits in the merge queue"
    if done.merged or done.reverted:
        lines.append("next: dartifact stage")
    return "\n".join(lines)


# Dartifacts and production


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


def tell_dartifact(dartifact: Dartifact) -> str:
    """Say what a dartifact is."""
    lines = [f"{dartifact.dartifact_id}: {dartifact.state.value}, {len(dartifact.runs)} runs"]
    lines += [f"  why: {reason}" for reason in dartifact.reasons]
    for mart, figures in (dartifact.passport or {}).get("marts", {}).items():
        lines.append(f"  {mart}: {figures['rows']:,} rows")
    refused = (dartifact.passport or {}).get("refused")
    if refused:
        lines.append(f"  {_tell_refusal(refused['why'], refused['built_with'])}")
    if dartifact.state is DartifactState.GREEN:
        lines.append("next: dartifact promote")
    return "\n".join(lines)


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


def tell_promotion(plan: Plan | None, pointer: LivePointer, under_way: UnderWay | None, *, planned: bool) -> str:
    """Say what a promotion did, where it stands or what it would do."""
    if plan is None:
        return f"nothing waits to be promoted; live is {pointer.live or 'nothing'}"
    if under_way is not None and under_way.plan == plan:
        lines = [f"{plan.kind} of {plan.dartifact} is under way:"]
        for number, step in enumerate(plan.steps, start=1):
            mark = "✓" if number < under_way.number else "→" if number == under_way.number else " "
            lines.append(f"{mark} {number}. {step}")
        lines += [f"goes on at {under_way.goes_on_at:%H:%M:%S} UTC"] if under_way.goes_on_at else []
        return "\n".join(lines)
    if planned:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(plan.steps, start=1))
        return f"promotion of {plan.dartifact} would:\n{steps}"
    return f"{plan.dartifact} is live on {plan.slot}"


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


def tell_rollback(rollback: Rollback, *, done: bool, reverted: tuple[str, ...] = ()) -> str:
    """Say what a rollback did or would do."""
    would = "" if done else "would "
    how = (
        "at once, it is still in its slot" if rollback.warm else "after publishing it to the idle slot and a smoke test"
    )
    lines = [
        f"{rollback.leaves} {would}{'left' if done else 'leave'}, {rollback.returns} "
        + ("is live again" if done else f"would come back {how}"),
        f"  its data was built at {rollback.data_of}",
    ]
    for mart, rows in rollback.marts.items():
        lines.append(f"  {mart}: {rows['rows_now']} rows {'before' if done else 'now'}, {rows['rows_then']} then")
    lines += [f"  no longer shown: {run_id}" for run_id in rollback.runs_out]
    lines += [
        f"  {'to leave' if run_id not in reverted else 'taken out of'} main: {run_id}" for run_id in rollback.reverts
    ]
    if rollback.freezes:
        lines.append(f"  promotions {'are' if done else 'would be'} frozen: the blame is unknown")
        lines.append(
            "  blame a run or the code: --blame RUN | runs | code" if not done else "  next: dartifact unfreeze"
        )
    if rollback.note:
        lines.append(f"  {rollback.note}")
    return "\n".join(lines)


# Status


def describe_status(stack: Stack) -> Document:
    """Return where everything stands."""
    head = stack.lake.head(MAIN)
    pointer = stack.ledger.pointer()
    waiting = stack.ledger.runs(phases=(Phase.QUEUED,))
    reverts = stack.ledger.pending_reverts()
    newest = next(iter(stack.ledger.dartifacts(most=1)), None)
    stopped = stack.ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)
    holes = stack.ledger.holes()
    left_by = {run.run_id: run for run in stack.ledger.runs(names=[run_id for _, run_id in holes])} if holes else {}
    refused, good = find_refusal(stack.ledger, digest_code(stack.project)), find_last_good(stack.ledger)
    return {
        "stops": [
            {
                "name": stop.name,
                "actor": stop.actor,
                "at": _stamp(stop.at),
                "reason": stop.reason,
                "say": describe_stop(stop),
            }
            for stop in stack.ledger.stops()
        ],
        "main": {
            "commit": head.commit_id,
            "meta_range": head.meta_range,
            "tested": not head.parents or stack.ledger.has_green_report(head.meta_range),
        },
        "waiting": [{"run_id": run.run_id, "reasons": list(run.reasons)} for run in reversed(waiting) if run.reasons],
        "queue": [run.run_id for run in waiting] + [f"revert {run.run_id}" for run in reverts],
        "stopped": [
            {"run_id": run.run_id, "phase": run.phase.value, "branch": run.branch, "reasons": list(run.reasons)}
            for run in stopped
        ],
        "holes": [
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
            for window, run_id in holes
        ],
        "backlog": [
            {
                "source": window.source,
                "shard": window.shard,
                "claimed_up_to": _stamp(window.hi),
                "source_clock": _stamp(window.clock),
                "seconds": window.backlog.total_seconds(),
            }
            for window in stack.ledger.newest_claims()
            if window.backlog
        ],
        "staging": {
            "dartifact": newest.dartifact_id if newest else None,
            "state": newest.state.value if newest else None,
            "reasons": list(newest.reasons) if newest else [],
            "refused": refused,
            "built_with": good.dartifact_id if refused and good else None,
        },
        "production": {"live": pointer.live, **describe_production(pointer)},
        "under_way": describe_under_way(find_under_way(stack)),
        "open_intents": [intent.operation for intent in stack.ledger.open_intents()],
    }


def tell_status(status: Document) -> str:
    """Say where everything stands."""
    main, staging, production = status["main"], status["staging"], status["production"]
    up = status.get("machines")
    lines = [
        *(f"STOPPED      {stop['say']}" for stop in status["stops"]),
        f"machines     {'up, pid ' + str(up['pid']) + ', ' + up['api_url'] if up else 'not up: dartifact up'}",
        f"main         {main['commit'][:12]}  {'tested' if main['tested'] else 'NOT TESTED: dartifact integrate'}",
        f"merge queue  {', '.join(status['queue']) or 'empty'}",
        *(f"             {run['run_id']} {run['reasons'][0]}" for run in status["waiting"]),
        f"staging      {staging['dartifact'] or 'nothing yet'}  {staging['state'] or ''}",
        *(f"             why: {reason}" for reason in staging["reasons"]),
        *([f"             {_tell_refusal(staging['refused'], staging['built_with'])}"] if staging["refused"] else []),
        f"production   {production['live'] or 'nothing yet'}"
        + (f"  on {production['active']}, generation {production['generation']}" if production["active"] else ""),
    ]
    if len([share for share in production["weights"].values() if share]) > 1:
        shares = ", ".join(f"{share} % to {name}" for name, share in production["weights"].items())
        lines.append(f"             named consumers: {shares}")
    if status["under_way"]:
        under_way = status["under_way"]
        waits = f", goes on at {under_way['goes_on_at'][11:19]} UTC" if under_way["goes_on_at"] else ""
        lines.append(f"{under_way['kind']:<12} {under_way['dartifact']}, step {under_way['number']} of "
                     f"{under_way['of']}: {under_way['step']}{waits}")  # fmt: skip
    if production["frozen"]:
        lines.append(f"             FROZEN: {production['frozen']}; next: dartifact unfreeze --reason WHY")
    if status["holes"]:
        lines.append("holes")
        for hole in status["holes"]:
            lines.append(
                f"             {hole['source']} {hole['lo'][:16]}–{hole['hi'][11:16]} {hole['state']}: {hole['run_id']}"
            )
            lines += [f"               {hole['backfill']}", f"               or {hole['accept']}"]
    if status["backlog"]:
        lines.append("backlog")
        for each in status["backlog"]:
            left = timedelta(seconds=each["seconds"])
            lines.append(f"             {each['source']} shard {each['shard']}: {left} behind the source")
    if status["stopped"]:
        lines.append("stopped runs")
        for run in status["stopped"]:
            lines.append(f"             {run['branch']} ({run['phase']})")
            lines += [f"               why: {_cut(reason, 100)}" for reason in run["reasons"][:2]]
    return "\n".join(lines)


# One run or dartifact


def describe_one(stack: Stack, name: str) -> Document:
    """Return one run with checks, failing rows and events, or one dartifact with its passport and events."""
    try:
        run = stack.ledger.run(name.removeprefix("run-"))
    except errors.NotFound:
        try:
            dartifact = stack.ledger.dartifact(name)
        except errors.NotFound as error:
            message = f"there is neither a run nor a dartifact {name}"
            raise errors.NotFound(message, hint="dartifact runs, or dartifact status") from error
        events = stack.ledger.events(dartifact_id=dartifact.dartifact_id)
        return {**describe_dartifact(dartifact), "events": [_event(each) for each in events]}
    report = stack.ledger.report(run.report) if run.report else None
    refusals = stack.ledger.refusals(run.run_id)
    kept = set(stack.lake.list_branches("candidate-")) if refusals else set()
    mine = [each for each in report.results if each.run_id in (None, run.run_id)] if report else []
    return {
        **describe_run(run),
        "checks": [_result(stack, run, each) for each in mine],
        "refused_in": [_refusal(each, kept) for each in refusals],
        "events": [_event(each) for each in stack.ledger.events(run_id=run.run_id)],
    }


def tell_one(document: Document) -> str:
    """Say what is known of one run or dartifact."""
    if "dartifact" in document:
        lines = [f"dartifact {document['dartifact']}: {document['state']}"]
        lines += [f"  why: {reason}" for reason in document["reasons"]]
        passport = document["passport"] or {}
        main, code = document["main_commit"][:12], document["code_digest"][:12]
        lines.append(f"  of main {main}, {len(document['runs'])} runs, code {code}")
        if passport.get("refused"):
            lines.append(f"  {_tell_refusal(passport['refused']['why'], passport['refused']['built_with'])}")
        if document["commit"]:
            lines.append(f"  commit {document['commit']}, built at {passport.get('built_at')}")
        for mart, figures in passport.get("marts", {}).items():
            lines.append(f"  {mart}: {figures['rows']:,} rows, sha256 {figures['sha256'][:12]}")
        checks = ", ".join(f"{count} {outcome}" for outcome, count in passport.get("checks", {}).items())
        lines += [f"  checks: {checks}"] if checks else []
    else:
        window = document["window"]
        lines = [
            f"run {document['run_id']}: {document['phase']}"
            + (f" at gate {document['gate']}" if document["gate"] else ""),
            f"  branch {document['branch']}",
            f"  commit {(document['commit'] or 'none')[:12]}, {document['rows'] or 0:,} rows",
            f"  window {window['lo']} to {window['hi']} ({window['state']})",
            *(["  a backfill"] if window["backfill"] else []),
            *([f"  gap accepted: {window['gap_reason']}"] if window["gap_reason"] else []),
            *(f"  why: {reason}" for reason in document["reasons"]),
            *([f"  to be taken out of main: {document['revert_requested']}"] if document["revert_requested"] else []),
        ]
        for each in document["refused_in"]:
            gone = "" if each["kept"] else ", not kept any longer"
            lines.append(f"  refused in {each['branch']} with {each['others']} others{gone}: {each['reasons'][0]}")
        lines += ["checks"] if document["checks"] else []
        for check in sorted(document["checks"], key=lambda each: each["outcome"] in ("passed", "skipped")):
            lines.append(f"  {check['outcome']:<8} {check['message']}")
            for row in check["failing_sample"]:
                shown = ", ".join(f"{key}={value}" for key, value in row.items() if not key.startswith("_"))
                lines.append(f"             {_cut(shown, 140)}")
    lines.append("events")
    for event in document["events"]:
        lines.append(f"  {event['at'][:19]}  {event['type']:<20} {event['actor']}")
    return "\n".join(lines)


def _tell_refusal(why: str, built_with: str | None) -> str:
    said = f"dbt/ and checks/ as they are now are refused: {why}"
    return said + (f"; built with the code of {built_with}" if built_with else "")


def tell_findings(findings: Sequence[Finding]) -> str:
    """Say what the doctor found."""
    lines = []
    for each in findings:
        lines.append(f"{'ok  ' if each.ok else 'BAD '} {each.what}: {each.found}")
        if not each.ok:
            lines.append(f"      try: {each.advice}")
    return "\n".join(lines)


def _result(stack: Stack, run: Run, result: Result) -> Document:
    sample: Sequence[Document] = ()
    if result.outcome is Outcome.FAILED and result.condition:
        sample = [
            {key: _plain(value) for key, value in row.items()}
            for row in read_failing_rows(stack, run, result, _SHOWN_ROWS)
        ]
    return {
        "check": result.check,
        "outcome": result.outcome.value,
        "message": result.message,
        "column": result.column,
        "measured": result.measured,
        "threshold": result.threshold,
        "failing_rows": result.failing_rows,
        "condition": result.condition,
        "failing_sample": list(sample),
    }


def _event(event: Any) -> Document:
    return {
        "sequence": event.sequence,
        "at": _stamp(event.at),
        "type": event.type,
        "actor": event.actor,
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


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _render(table: Table) -> str:
    buffer = io.StringIO()
    width = Console().width if sys.stdout.isatty() else 200
    Console(file=buffer, width=width).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
