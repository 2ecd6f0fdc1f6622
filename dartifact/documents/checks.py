"""Checks of a run as documents: what each answered, and the rows that fail one."""

from __future__ import annotations

from typing import TypedDict

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.gates.failing_rows import find_check, look_at_failing, read_failing_rows
from dartifact.commands.stack import Stack
from dartifact.documents.values import Row, plain_row
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.runs import Run

_SHOWN_ROWS = 5


class CheckDocument(TypedDict):
    """What one check answered."""

    check: str
    outcome: str
    message: str
    column: str | None
    measured: float | None
    threshold: str | None
    failing_rows: int
    known_rows: int | None
    waiver: int | None
    condition: str | None


class SampledCheck(CheckDocument):
    """A check with the first of the rows that fail it."""

    failing_sample: list[Row]


class FailingDocument(TypedDict):
    """The failing rows of one check: `failing_rows` there are, `kept` of them can be had, `rows` are shown."""

    run_id: str
    check: str
    message: str
    failing_rows: int
    known_rows: int | None
    kept: int
    rows: list[Row]


def list_results(ledger: Ledger, run: Run) -> list[Result]:
    """Return the results on a run of the gate that saw it last, without those on other runs of its candidate."""
    report = ledger.report(run.report) if run.report else None
    return [result for result in report.results if result.run_id in (None, run.run_id)] if report else []


def describe_check(result: Result) -> CheckDocument:
    """Return the answer of a check as a document."""
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


def describe_with_sample(stack: Stack, run: Run, result: Result) -> SampledCheck:
    """Return the answer of a check with the first of its failing rows, from the lake."""
    is_about_rows = result.outcome is Outcome.FAILED and result.condition
    rows = read_failing_rows(stack, run, result, _SHOWN_ROWS) if is_about_rows else ()
    return {**describe_check(result), "failing_sample": [plain_row(row) for row in rows]}


def describe_failing(stack: Stack, run: Run, check: str, most: int) -> FailingDocument:
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
        "rows": [plain_row(row) for row in rows],
    }
