"""The verb `diff`: sides in, one document out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import typer

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.adapters.tables.csv_files import AS_WRITTEN, CsvOptions, read_options
from dartifact.cli.exit_codes import DIFFERENT
from dartifact.cli.frame import opened, print_progress
from dartifact.cli.options import DiffOutput
from dartifact.cli.text.diff import render_document, show_table, stream_documents
from dartifact.commands.diffs import run as diffs
from dartifact.commands.diffs.cell_files import require_cells_file, write_cells
from dartifact.commands.diffs.files import plan_files
from dartifact.commands.diffs.planned import PlannedDiffs
from dartifact.commands.diffs.refs import resolve_ref
from dartifact.commands.diffs.sides import are_files
from dartifact.commands.diffs.store import StoredDiff
from dartifact.commands.stack import Stack
from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.rendering.html import render_html
from dartifact.compare.diff.rendering.markdown import render_markdown
from dartifact.compare.diff.rendering.text import render_text
from dartifact.compare.diff.report import NO_TABLES, DiffReport, LoneTables
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.hints import Command
from dartifact.domain.runs import read_run_id
from dartifact.settings import read_settings
from dartifact.wiring import prepare_home


def diff(
    what: str,
    base: str,
    candidate: str,
    table: str,
    key: list[str] | None,
    ignore: list[str] | None,
    rename: list[str] | None,
    where: str,
    sample: str,
    tolerance: str,
    null_token: list[str] | None,
    infer_types: bool,
    delimiter: str,
    encoding: str,
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
    options = Options(
        _split(key),
        _split(ignore),
        Tolerance.parse(tolerance) if tolerance else None,
        tuple(_read_rename(pair) for pair in rename or ()),
        where,
        _read_share(sample) if sample else None,
    )
    csv = read_options(null_token or (), infer_types, delimiter, encoding)
    if base and are_files(base, candidate):
        same = _answer(_plan_files(base, candidate, table, options, csv), rows, output)
    elif csv != AS_WRITTEN:
        raise UsageError("--null-token, --infer-types, --delimiter and --encoding are for CSV files")
    else:
        with opened() as (_, stack):
            same = _answer(plan_in_lake(stack, what, base, candidate, table, options), rows, output)
    if not same:
        raise typer.Exit(DIFFERENT)


def _plan_files(base: str, candidate: str, table: str, options: Options, csv: CsvOptions) -> PlannedDiffs:
    home = read_settings().home
    prepare_home(home)
    return plan_files(home, base, candidate, table, options, csv, print_progress)


def plan_in_lake(stack: Stack, what: str, base: str, candidate: str, table: str, options: Options) -> PlannedDiffs:
    """Return what is to be compared of a run, a dartifact or two references."""
    if what:
        try:
            run = stack.ledger.run(read_run_id(what))
        except NotFound:
            base, candidate = PRODUCTION, what
        else:
            return PlannedDiffs(((run.source, partial(diffs.diff_run, stack, run, options)),))
    sides = resolve_ref(stack, base), resolve_ref(stack, candidate)
    if table in stack.sources:
        return PlannedDiffs(((table, partial(diffs.diff_dataset, stack, table, *sides, options)),))
    names, lone = ([table], NO_TABLES) if table else _pair_marts(stack, *sides)
    if not names and not lone:
        raise UsageError(f"{base} and {candidate} hold no marts", hint="name a dataset with --table")
    marts = ((name, partial(diffs.diff_mart, stack, name, *sides, options, print_progress)) for name in names)
    return PlannedDiffs(tuple(marts), lone)


def _pair_marts(stack: Stack, base: str, candidate: str) -> tuple[list[str], LoneTables]:
    """Return the marts that both references show, and those that only one does."""
    mine, theirs = ({*diffs.list_marts(stack, side)} for side in (base, candidate))
    return sorted(mine & theirs), LoneTables(tuple(sorted(theirs - mine)), tuple(sorted(mine - theirs)))


def _split(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for name in names or () for part in name.split(",") if part.strip())


def _read_rename(pair: str) -> tuple[str, str]:
    old, is_pair, new = pair.partition("=")
    if not is_pair or not old or not new:
        raise UsageError(f"{pair!r} renames nothing", hint="--rename OLD=NEW")
    return old, new


def _read_share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{text!r} is no share of the keys", hint="1% or 0.01")
    return share


def _answer(planned: PlannedDiffs, rows: Path | None, output: DiffOutput) -> bool:
    """Compare, print the answer and tell whether all tables are the same."""
    if rows is not None and len(planned.tables) != 1:
        raise UsageError("--rows is for one table", hint="name it with --table")
    found = _compare_each(planned, rows)
    if output is DiffOutput.JSON:
        return _print_documents((stored.diff.report for stored in found), planned)
    if output is DiffOutput.HTML:
        # read at once: the store may drop what it holds of one table while others are compared
        tables = [show_table(stored, len(planned.tables)) for stored in found]
        print(render_html(tables, planned.lone))
        return not planned.lone and all(table.report.same for table in tables)
    reports = [stored.diff.report for stored in found]
    render = render_text if output is DiffOutput.TEXT else render_markdown
    print(render(reports, planned.lone))
    return not planned.lone and all(report.same for report in reports)


def _compare_each(planned: PlannedDiffs, rows: Path | None) -> Iterator[StoredDiff]:
    count = len(planned.tables)
    for number, (name, compare) in enumerate(planned.tables, start=1):
        if count > 1:
            print_progress(f"comparing {name}, table {number:,} of {count:,}")
        stored = compare()
        if rows is not None:
            write_cells(stored, rows)
        yield stored


def _print_documents(reports: Iterator[DiffReport], planned: PlannedDiffs) -> bool:
    if len(planned.tables) == 1 and not planned.lone:
        report = next(reports)
        print(render_document(report))
        return report.same
    same = not planned.lone

    def note_verdicts() -> Iterator[DiffReport]:
        nonlocal same
        for report in reports:
            same = same and report.same
            yield report

    for text in stream_documents(note_verdicts(), planned.lone):
        print(text, flush=True)
    return same
