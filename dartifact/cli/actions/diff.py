"""The verb `diff`: sides in, one document out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.adapters.tables.csv_files import AS_WRITTEN, CsvOptions, read_options
from dartifact.cli.exit_codes import DIFFERENT
from dartifact.cli.frame import opened
from dartifact.cli.options import DiffOutput
from dartifact.commands.diffs import run as diffs
from dartifact.commands.diffs.cells import write_cells
from dartifact.commands.diffs.files import TableDiffs, diff_paths
from dartifact.commands.diffs.sides import are_files
from dartifact.commands.diffs.store import StoredDiff
from dartifact.commands.stack import Stack
from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.plan import Options
from dartifact.compare.diff.rendering import tell_diff, write_markdown
from dartifact.compare.diff.report import SCHEMA_VERSION
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.hints import Command
from dartifact.domain.runs import read_run_id
from dartifact.domain.storable import clean_json
from dartifact.settings import read_settings
from dartifact.wiring import prepare_home


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
    options = Options(_split(key), _split(ignore), Tolerance.parse(tolerance) if tolerance else None)
    csv = read_options(null_token or (), infer_types, delimiter, encoding)
    if base and are_files(base, candidate):
        found = _diff_files(base, candidate, table, options, csv)
    elif csv != AS_WRITTEN:
        raise UsageError("--null-token, --infer-types, --delimiter and --encoding are for CSV files")
    else:
        with opened() as (_, stack):
            found = TableDiffs(tuple(_diff_in_lake(stack, what, base, candidate, table, options)))
    if rows is not None:
        if len(found.stored) != 1:
            raise UsageError("--rows is for one table", hint="name it with --table")
        write_cells(found.stored[0], rows)
    print(_render(found, output))
    if not found.same:
        raise typer.Exit(DIFFERENT)


def _diff_files(base: str, candidate: str, table: str, options: Options, csv: CsvOptions) -> TableDiffs:
    home = read_settings().home
    prepare_home(home)
    return diff_paths(home, base, candidate, table, options, csv)


def _diff_in_lake(stack: Stack, what: str, base: str, candidate: str, table: str, options: Options) -> list[StoredDiff]:
    if what:
        try:
            run = stack.ledger.run(read_run_id(what))
        except NotFound:
            base, candidate = PRODUCTION, what
        else:
            return [diffs.diff_run(stack, run, options)]
    sides = diffs.resolve_ref(stack, base), diffs.resolve_ref(stack, candidate)
    if table in stack.sources:
        return [diffs.diff_dataset(stack, table, *sides, options)]
    names = [table] if table else list(diffs.list_marts(stack, *sides))
    if not names:
        raise UsageError(f"{base} and {candidate} hold no marts", hint="name a dataset with --table")
    return [diffs.diff_mart(stack, name, *sides, options) for name in names]


def _split(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for name in names or () for part in name.split(",") if part.strip())


def _render(found: TableDiffs, output: DiffOutput) -> str:
    reports = [stored.diff.report for stored in found.stored]
    alone = [("added", name) for name in found.added] + [("removed", name) for name in found.removed]
    if output is DiffOutput.MARKDOWN:
        notes = [f"### {name}: table {kind}" for kind, name in alone]
        return "\n\n".join([*(write_markdown(report) for report in reports), *notes])
    if output is DiffOutput.TEXT:
        notes = ["\n".join(f"{name}: table {kind}" for kind, name in alone)] if alone else []
        return "\n\n".join([*(tell_diff(report) for report in reports), *notes])
    documents = [report.to_json() for report in reports]
    many = {
        "schema_version": SCHEMA_VERSION,
        "same": found.same,
        "tables": documents,
        "tables_added": list(found.added),
        "tables_removed": list(found.removed),
    }
    is_one = len(documents) == 1 and not alone
    return json.dumps(clean_json(documents[0] if is_one else many), indent=2, default=str)
