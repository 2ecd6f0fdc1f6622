"""One run or dartifact as text, with its events; and the failing rows of a check."""

from __future__ import annotations

from collections.abc import Iterable

from dartifact.cli.text.dartifacts import format_dartifact_record
from dartifact.cli.text.lines import cut, indent
from dartifact.cli.text.tables import render_table
from dartifact.documents.checks import FailingDocument, SampledCheck
from dartifact.documents.events import EventDocument, RefusalDocument
from dartifact.documents.records import DartifactRecord, SampledRun
from dartifact.documents.values import Row
from dartifact.documents.waivers import WaiverDocument

_SHORT_COMMIT = 12
_SECOND = slice(0, 19)  # of an ISO time: 2021-01-01T00:05:00
_LONGEST_ROW = 140
_LONGEST_CELL = 40
_UNSHOWN_COLUMNS = ("_reason", "_run_id", "_seq", "_extracted_at")


def format_record(document: SampledRun | DartifactRecord) -> str:
    """Return what is known of one run or dartifact."""
    lines = format_dartifact_record(document) if "dartifact" in document else _format_run_record(document)
    return "\n".join([*lines, "events", *_format_events(document["events"])])


def _format_run_record(document: SampledRun) -> list[str]:
    gate = f" at gate {document['gate']}" if document["gate"] else ""
    details = [*_format_origin(document), *(_format_refused(refused) for refused in document["refused_in"])]
    lines = [f"run {document['run_id']}: {document['phase']}{gate}", *indent(details)]
    if document["checks"]:
        lines += ["checks", *_format_checks(document["checks"])]
    return lines + indent(_format_approval(waiver) for waiver in document["waivers"])


def _format_origin(document: SampledRun) -> list[str]:
    window = document["window"]
    lines = [
        f"branch {document['branch']}",
        f"commit {(document['commit'] or 'none')[:_SHORT_COMMIT]}, {document['rows'] or 0:,} rows",
        f"window {window['lo']} to {window['hi']} ({window['state']})",
    ]
    if window["backfill"]:
        lines.append("a backfill")
    if window["gap_reason"]:
        lines.append(f"gap accepted: {window['gap_reason']}")
    lines += [f"why: {reason}" for reason in document["reasons"]]
    if document["revert_requested"]:
        lines.append(f"pending revert: {document['revert_requested']}")
    return lines


def _format_refused(refused: RefusalDocument) -> str:
    deleted = "" if refused["kept"] else ", no longer stored"
    return f"refused in {refused['branch']} with {refused['others']} others{deleted}: {refused['reasons'][0]}"


def _format_checks(checks: Iterable[SampledCheck]) -> list[str]:
    lines = []
    for check in sorted(checks, key=lambda check: check["outcome"] in ("passed", "skipped")):
        lines += indent([f"{check['outcome']:<8} {check['message']}"])
        lines += indent((_format_row(row) for row in check["failing_sample"]), 6)
    return lines


def _format_row(row: Row) -> str:
    return cut(", ".join(f"{name}={value}" for name, value in row.items() if not name.startswith("_")), _LONGEST_ROW)


def _format_approval(waiver: WaiverDocument) -> str:
    return f"approved {waiver['check']}, {waiver['rows']:,} rows, by {waiver['actor']}: {waiver['reason']}"


def _format_events(events: Iterable[EventDocument]) -> list[str]:
    return indent(f"{event['at'][_SECOND]}  {event['type']:<20} {event['actor']}" for event in events)


def format_failing(document: FailingDocument) -> str:
    """Return the failing rows of a check as a table."""
    rows, kept, failing = document["rows"], document["kept"], document["failing_rows"]
    if not rows:
        return f"{document['message']}\nthe failing rows are no longer stored"
    names = [name for name in rows[0] if name not in _UNSHOWN_COLUMNS]
    lines = [document["message"], render_table(names, [[_format_cell(row[name]) for name in names] for row in rows])]
    if kept > len(rows) or failing > kept:
        lines.append(f"{len(rows):,} of {failing:,} failing rows, {kept:,} were kept: --most N, or --rows FILE")
    return "\n".join(lines)


def _format_cell(value: object) -> str:
    return "null" if value is None else cut(str(value), _LONGEST_CELL)
