"""The verb `diff`: sides in, one document out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import typer

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.cli.exit_codes import DIFFERENT
from dartifact.cli.frame import opened, print_progress
from dartifact.cli.options import DiffOutput
from dartifact.cli.text.diff import render_document, show_table, stream_documents
from dartifact.commands.diffs import files as file_diffs
from dartifact.commands.diffs import run as diffs
from dartifact.commands.diffs.cell_files import require_cells_file, write_cells
from dartifact.commands.diffs.store import StoredDiff
from dartifact.commands.stack import Stack
from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.rendering.html import render_html
from dartifact.compare.diff.rendering.markdown import render_markdown
from dartifact.compare.diff.rendering.text import render_text
from dartifact.compare.diff.report import DiffReport
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.hints import Command
from dartifact.domain.runs import read_run_id
from dartifact.settings import read_settings
from dartifact.wiring import prepare_home

_Comparison = tuple[str, Callable[[], StoredDiff]]


def diff(
    what: str,
    base: str,
    candidate: str,
    table: str,
    key: list[str] | None,
    ignore: list[str] | None,
    tolerance: str,
    null_token: list[str] | None,
    infer_types: bool,
    rows: Path | None,
    output: DiffOutput,
) -> None:
    """Compare files, or tables in the lake."""
    if bool(what) == bool(base or candidate) or bool(base) != bool(candidate):
        raise UsageError(
            "a diff needs a run or a dartifact, or both --base and --candidate", hint=Command("diff", "RUN")
        )
    if rows is not None:
        require_cells_file(rows)
    options = Options(_split(key), _split(ignore), Tolerance.parse(tolerance) if tolerance else None)
    if base and file_diffs.is_file(base) and file_diffs.is_file(candidate):
        csv = file_diffs.CsvOptions(tuple(null_token or ()), infer_types)
        same = _answer([("", partial(_diff_files, base, candidate, options, csv))], rows, output)
    elif null_token or infer_types:
        raise UsageError("--null-token and --infer-types are for CSV files")
    else:
        with opened() as (_, stack):
            same = _answer(plan_in_lake(stack, what, base, candidate, table, options), rows, output)
    if not same:
        raise typer.Exit(DIFFERENT)


def _diff_files(base: str, candidate: str, options: Options, csv: file_diffs.CsvOptions) -> StoredDiff:
    home = read_settings().home
    prepare_home(home)
    return file_diffs.diff_files(home, base, candidate, options, csv)


def plan_in_lake(stack: Stack, what: str, base: str, candidate: str, table: str, options: Options) -> list[_Comparison]:
    """Return what is to be compared: names of tables, and what compares each."""
    if what:
        try:
            run = stack.ledger.run(read_run_id(what))
        except NotFound:
            base, candidate = PRODUCTION, what
        else:
            return [(run.source, partial(diffs.diff_run, stack, run, options))]
    sides = diffs.resolve_ref(stack, base), diffs.resolve_ref(stack, candidate)
    if table in stack.sources:
        return [(table, partial(diffs.diff_dataset, stack, table, *sides, options))]
    names = [table] if table else list(diffs.list_marts(stack, *sides))
    if not names:
        raise UsageError(f"{base} and {candidate} hold no marts", hint="name a dataset with --table")
    return [(name, partial(diffs.diff_mart, stack, name, *sides, options)) for name in names]


def _split(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for name in names or () for part in name.split(",") if part.strip())


def _answer(planned: Sequence[_Comparison], rows: Path | None, output: DiffOutput) -> bool:
    """Compare, print the answer and tell whether all tables are the same."""
    if rows is not None and len(planned) != 1:
        raise UsageError("--rows is for one table", hint="name it with --table")
    found = _compare_each(planned, rows)
    if output is DiffOutput.JSON:
        return _print_documents((stored.diff.report for stored in found), many=len(planned) > 1)
    if output is DiffOutput.HTML:
        # read at once: the store may drop what it holds of one table while others are compared
        tables = [show_table(stored, len(planned)) for stored in found]
        print(render_html(tables))
        return all(table.report.same for table in tables)
    reports = [stored.diff.report for stored in found]
    print(render_text(reports) if output is DiffOutput.TEXT else render_markdown(reports))
    return all(report.same for report in reports)


def _compare_each(planned: Sequence[_Comparison], rows: Path | None) -> Iterator[StoredDiff]:
    for number, (name, compare) in enumerate(planned, start=1):
        if len(planned) > 1:
            print_progress(f"comparing {name}, table {number:,} of {len(planned):,}")
        stored = compare()
        if rows is not None:
            write_cells(stored, rows)
        yield stored


def _print_documents(reports: Iterator[DiffReport], *, many: bool) -> bool:
    if not many:
        report = next(reports)
        print(render_document(report))
        return report.same
    same = True

    def note_verdicts() -> Iterator[DiffReport]:
        nonlocal same
        for report in reports:
            same = same and report.same
            yield report

    for text in stream_documents(note_verdicts()):
        print(text, flush=True)
    return same
