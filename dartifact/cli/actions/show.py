"""The verb `show`."""

from __future__ import annotations

from pathlib import Path

from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.show import format_failing, format_record
from dartifact.commands.gates.failing_rows import find_check, write_failing_rows
from dartifact.documents.checks import describe_failing
from dartifact.documents.records import describe_one
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.runs import read_run_id


def show(id: str, failing: str, most: int, rows: Path | None, output: Output) -> None:
    """Answer with a run or a dartifact, or with the failing rows of one check."""
    if failing:
        _show_failing(read_run_id(id), failing, most, rows, output)
        return
    if rows:
        hint = Command("show", f"{id} --failing CHECK")
        raise errors.UsageError("--rows writes the failing rows of one check", hint=hint)
    with opened(sources=False) as (_, stack):
        document = describe_one(stack, id)
    answer(document, output, lambda: format_record(document))


def _show_failing(run_id: str, check: str, most: int, rows: Path | None, output: Output) -> None:
    with opened(sources=False) as (_, stack):
        run = stack.ledger.run(run_id)
        document = describe_failing(stack, run, check, most)
        if rows:
            written = write_failing_rows(stack, run, find_check(stack, run, check), rows)
            print_progress(f"{written:,} rows are in {rows}")
    answer(document, output, lambda: format_failing(document))
