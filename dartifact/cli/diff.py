"""The verb `diff`: sides in, one document out; exit code 2 when there are differences."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dartifact.domain.errors import NotFound, UsageError

if TYPE_CHECKING:
    from dartifact.commands.diffs.store import StoredDiff
    from dartifact.commands.stack import Stack
    from dartifact.compare.diff.plan import Options

DIFFERENT = 2


class DiffOutput(StrEnum):
    """How the diff answers."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(diff)


def diff(
    what: Annotated[str, typer.Argument(help="a run (against main) or a dartifact (against production)")] = "",
    base: Annotated[str, typer.Option(help="a file, glob, branch, commit, dartifact or run")] = "",
    candidate: Annotated[str, typer.Option(help="the same; what is compared with the base")] = "",
    table: Annotated[str, typer.Option(help="a dataset or mart; default all marts of the two sides")] = "",
    key: Annotated[list[str] | None, typer.Option(help="a key column; may be repeated, or a,b")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a column to leave out; may be repeated, or a,b")] = None,
    tolerance: Annotated[str, typer.Option(help="numbers this near are equal: 0.01 absolute, 1% relative")] = "",
    null_token: Annotated[list[str] | None, typer.Option(help="a text that is null in a CSV; may be repeated")] = None,
    infer_types: Annotated[bool, typer.Option("--infer-types", help="guess the types of a CSV's columns")] = False,
    rows: Annotated[Path | None, typer.Option(help="write every differing cell to this Parquet file")] = None,
    output: Annotated[DiffOutput, typer.Option("--output", "-o", help="text, json or markdown")] = DiffOutput.TEXT,
) -> None:
    """Compare two tables row by row and cell by cell: a run, dartifacts, references, files."""
    from dartifact.commands.diffs import files as file_diffs  # noqa: PLC0415
    from dartifact.commands.diffs.cells import write_cells  # noqa: PLC0415
    from dartifact.compare.diff.columns import Tolerance  # noqa: PLC0415
    from dartifact.compare.diff.plan import Options  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_stack, prepare_home  # noqa: PLC0415

    if bool(what) == bool(base or candidate) or bool(base) != bool(candidate):
        raise UsageError("a diff needs a run or a dartifact, or both --base and --candidate", hint="dartifact diff RUN")
    near = Tolerance.parse(tolerance) if tolerance else None
    options = Options(_split(key), _split(ignore), near)
    settings = read_settings()
    if base and file_diffs.is_file(base) and file_diffs.is_file(candidate):
        prepare_home(settings.home)
        csv = file_diffs.CsvOptions(tuple(null_token or ()), infer_types)
        stored = [file_diffs.diff_files(settings.home, base, candidate, options, csv)]
    elif null_token or infer_types:
        raise UsageError("--null-token and --infer-types are for CSV files")
    else:
        with open_stack(settings, lambda line: print(line, file=sys.stderr)) as stack:
            stored = _diff_in_lake(stack, what, base, candidate, table, options)
    if rows is not None:
        if len(stored) != 1:
            raise UsageError("--rows is for one table", hint="name it with --table")
        write_cells(stored[0], rows)
    _answer(stored, output)
    if not all(each.diff.report.same for each in stored):
        raise typer.Exit(DIFFERENT)


def _diff_in_lake(
    stack: Stack, what: str, base: str, candidate: str, table: str, options: Options
) -> list[StoredDiff]:  # fmt: skip
    from dartifact.adapters.lakefs.lake import PRODUCTION  # noqa: PLC0415
    from dartifact.commands.diffs import run as diffs  # noqa: PLC0415

    if what:
        try:
            run = stack.ledger.run(what.removeprefix("run-"))
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


def _answer(stored: Sequence[StoredDiff], output: DiffOutput) -> None:
    from dartifact.compare.diff.rendering import tell_diff, write_markdown  # noqa: PLC0415

    reports = [each.diff.report for each in stored]
    if output is DiffOutput.JSON:
        documents: list[dict[str, Any]] = [report.to_json() for report in reports]
        many = {"schema_version": documents[0]["schema_version"], "same": all(report.same for report in reports),
                "tables": documents}  # fmt: skip
        print(json.dumps(documents[0] if len(documents) == 1 else many, indent=2, default=str))
    elif output is DiffOutput.MARKDOWN:
        print("\n\n".join(write_markdown(report) for report in reports))
    else:
        print("\n\n".join(tell_diff(report) for report in reports))
