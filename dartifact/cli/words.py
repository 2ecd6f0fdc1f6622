"""What the verbs say to a person: documents and results as text."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from dartifact.commands.production.rollback import Rollback
from dartifact.commands.production.under_way import UnderWay
from dartifact.commands.queue.integrate import Integration
from dartifact.commands.upkeep.doctor import Finding
from dartifact.documents import Document
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.plans import LivePointer, Plan
from dartifact.domain.runs import Phase, Run
from dartifact.domain.waivers import Waiver

T = TypeVar("T")


def run_aloud(name: str, step: Callable[[], T], /) -> T:
    """Run a step, named on stderr when it is done."""
    result = step()
    print(f"done: {name}", file=sys.stderr)
    return result


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
    if status["waivers"]:
        lines.append("waivers")
        for each in status["waivers"]:
            lines.append(f"             {each['check']} until {each['until'][:16]}, {each['rows']:,} rows at most: "
                         f"{each['actor']}, {_cut(each['reason'], 60)}")  # fmt: skip
    if status["stopped"]:
        lines.append("stopped runs")
        for run in status["stopped"]:
            lines.append(f"             {run['branch']} ({run['phase']})")
            lines += [f"               why: {_cut(reason, 100)}" for reason in run["reasons"][:2]]
        lines.append("             look: dartifact show RUN; decide: fix, recheck, approve or reject RUN")
    return "\n".join(lines)


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
    for each in document.get("waivers", ()):
        lines.append(f"  approved {each['check']}, {each['rows']:,} rows, by {each['actor']}: {each['reason']}")
    lines.append("events")
    for event in document["events"]:
        lines.append(f"  {event['at'][:19]}  {event['type']:<20} {event['actor']}")
    return "\n".join(lines)


def _tell_refusal(why: str, built_with: str | None) -> str:
    said = f"dbt/ and checks/ as they are now are refused: {why}"
    return said + (f"; built with the code of {built_with}" if built_with else "")


def tell_failing(document: Document) -> str:
    """Show failing rows as a table."""
    rows = document["rows"]
    lines = [document["message"]]
    if not rows:
        return "\n".join([*lines, "none of them can be had any more"])
    names = [name for name in rows[0] if name not in ("_reason", "_run_id", "_seq", "_extracted_at")]
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("null" if row[name] is None else _cut(str(row[name]), 40) for name in names))
    lines.append(_render(table))
    if document["kept"] > len(rows) or document["failing_rows"] > document["kept"]:
        lines.append(f"{len(rows):,} of {document['failing_rows']:,} failing rows, {document['kept']:,} were kept: "
                     f"--most N, or --rows FILE")  # fmt: skip
    return "\n".join(lines)


def tell_waivers(waivers: Sequence[Waiver], now: datetime) -> str:
    """Return waivers as a table."""
    if not waivers:
        return "nothing is waived"
    table = Table(box=None, pad_edge=False)
    for name in ("waiver", "check", "rows", "of", "state", "who", "why"):
        table.add_column(name, justify="right" if name in ("waiver", "rows") else "left", overflow="fold")
    for each in waivers:
        state = f"until {each.until:%Y-%m-%d %H:%M}" if each.until else "approved"
        if each.has_expired(now):
            state = f"EXPIRED {each.until:%Y-%m-%d %H:%M}"
        elif each.ended_at:
            state = f"withdrawn {each.ended_at:%Y-%m-%d %H:%M}"
        table.add_row(str(each.waiver_id), each.check, f"{each.rows:,}", each.run_id or each.dataset, state, each.actor,
                      each.reason)  # fmt: skip
    return _render(table)


def tell_findings(findings: Sequence[Finding]) -> str:
    """Say what the doctor found."""
    lines = []
    for each in findings:
        lines.append(f"{'ok  ' if each.ok else 'BAD '} {each.what}: {each.found}")
        if not each.ok:
            lines.append(f"      try: {each.advice}")
    return "\n".join(lines)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def render_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows of text as a table."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return _render(table)


def _render(table: Table) -> str:
    buffer = io.StringIO()
    width = Console().width if sys.stdout.isatty() else 200
    Console(file=buffer, width=width).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
