"""Diffs of files: Parquet and CSV, single ones, globs or folders of tables."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import duckdb

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.tables.csv_files import AS_WRITTEN, ENDINGS, CsvFile, CsvOptions, copy_csv
from dartifact.adapters.tables.csv_text import refuse
from dartifact.adapters.tables.text_types import guess_types
from dartifact.commands.diffs.engine import open_engine, spell_options
from dartifact.commands.diffs.planned import PlannedDiffs
from dartifact.commands.diffs.sides import TableFiles, find_files, find_tables
from dartifact.commands.diffs.store import DiffStore, StoredDiff
from dartifact.compare.diff.plan import Options, Side
from dartifact.compare.diff.report import LoneTables
from dartifact.compare.diff.table import Diff, compare
from dartifact.domain.errors import UsageError
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.sql_text import literal, quote
from dartifact.domain.texts import fit_line

_NOWHERE = LakeAccess("http://127.0.0.1:9", "none", "none")  # files are read without any lake
_MAGIC = b"PAR1"
_MOST_REASON = 400


def plan_files(
    home: Path,
    base: str,
    candidate: str,
    table: str,
    options: Options,
    csv: CsvOptions = AS_WRITTEN,
    progress: Progress = keep_quiet,
) -> PlannedDiffs:
    """Return what is to be compared of two files or globs, or of two folders: the tables of one name, or this one.

    NotFound and UsageError as `sides.find_tables`; what compares a table raises as `diff_files`.
    """
    tables = find_tables(base, candidate, table)
    planned = [
        (name, partial(_diff_table, home, name, *sides, options, csv, progress))
        for name, sides in tables.shared.items()
    ]
    return PlannedDiffs(tuple(planned), LoneTables(tables.added, tables.removed))


def diff_files(home: Path, base: str, candidate: str, options: Options, csv: CsvOptions = AS_WRITTEN) -> StoredDiff:
    """Compare two files or globs, Parquet or CSV.

    NotFound: nothing matches. UsageError: a file cannot be read as what it is named, or an option does not fit it.
    """
    return _diff_table(home, "", find_files(base), find_files(candidate), options, csv)


def _diff_table(
    home: Path,
    name: str,
    base: TableFiles,
    candidate: TableFiles,
    options: Options,
    csv: CsvOptions,
    progress: Progress = keep_quiet,
) -> StoredDiff:
    try:
        return _compare_table(home, name, (base, candidate), options, csv, progress)
    except UsageError as error:
        if not name:
            raise
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from error


def _compare_table(
    home: Path,
    name: str,
    sides: tuple[TableFiles, TableFiles],
    options: Options,
    csv: CsvOptions,
    progress: Progress,
) -> StoredDiff:
    base, candidate = sides
    _require_fit(sides, options, csv)
    stamps = [[_stamp(*each) for each in zip(side.files, side.folders, strict=True)] for side in sides]
    identity = ["files", name, stamps, spell_options(options), asdict(csv)]

    def make(work: Path) -> Diff:
        with open_engine(_NOWHERE, work) as connection:
            try:
                mine, theirs = (
                    _view_csv(connection, view, side, csv, work) if side.are_csv else _view(connection, view, side)
                    for view, side in (("base", base), ("candidate", candidate))
                )
                rows_file = work / "rows.parquet"
                return compare(connection, mine, theirs, options, rows_file, table=name, progress=progress)
            except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
                reason = fit_line(str(error), _MOST_REASON)
                raise UsageError(f"{base.label} and {candidate.label} cannot be compared: {reason}") from error

    stored = DiffStore(home).find_or_make(identity, make)
    report = replace(stored.diff.report, base=base.label, candidate=candidate.label)
    return replace(stored, diff=replace(stored.diff, report=report))


def _require_fit(sides: tuple[TableFiles, TableFiles], options: Options, csv: CsvOptions) -> None:
    """Refuse options that would be without effect, and files that are not what they are named."""
    if csv != AS_WRITTEN and not any(side.are_csv for side in sides):
        raise UsageError("--null-token, --infer-types, --delimiter and --encoding are for CSV files")
    if options.tolerance and not csv.infer_types and any(side.are_csv for side in sides):
        raise UsageError("--tolerance is for numbers, and a CSV holds texts", hint="add --infer-types")
    for path in (path for side in sides if not side.are_csv for path in side.files):
        with Path(path).open("rb") as file:
            is_parquet = file.read(len(_MAGIC)) == _MAGIC and file.seek(-len(_MAGIC), 2) and file.read() == _MAGIC
        if not is_parquet:
            raise refuse(path, "is no Parquet file, or not a whole one", hint=f"a CSV ends in {', '.join(ENDINGS)}")


def _stamp(path: str, folders: Mapping[str, str | None]) -> tuple[object, ...]:
    found = Path(path).stat()
    place = str(Path(path).resolve())
    return place, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, dict(folders)


def _view_csv(connection: duckdb.DuckDBPyConnection, view: str, side: TableFiles, csv: CsvOptions, work: Path) -> Side:
    """Define a view over a copy of CSV files: a CSV is parsed once, what follows reads it several times."""
    files = [CsvFile(*each) for each in zip(side.files, side.folders, strict=True)]
    copies = copy_csv(files, work / view, csv)
    if csv.infer_types:
        texts = _read_parquet(copies)
        types = guess_types(connection, f"(SELECT * FROM {texts})")
        columns = ", ".join(f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in types.items())
        typed = str(work / view / "typed.parquet")
        connection.execute(
            f"COPY (SELECT {columns} FROM {texts}) TO {literal(typed)} (FORMAT parquet, COMPRESSION snappy)"
        )
        copies = (typed,)
    connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {_read_parquet(copies)}")
    return Side(view, side.label, copies, untyped=not csv.infer_types)


def _view(connection: duckdb.DuckDBPyConnection, view: str, side: TableFiles) -> Side:
    """Define a view over Parquet files, with the columns that their folders add and no file has."""
    files = tuple(glob.escape(path) for path in side.files)
    rows = _read_parquet(files)
    own = {row[0].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}
    added = sorted({name for folders in side.folders for name in folders if name.lower() not in own})
    if not added:
        connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {rows}")
        return Side(view, side.label, files)
    path = "path"
    while path in {*own, *map(str.lower, added)}:
        path += "_"
    columns = ", ".join(_folder_columns(connection, side, added, path))
    rows = _read_parquet(files, f", filename = {literal(path)}")
    connection.execute(f"CREATE VIEW {view} AS SELECT * EXCLUDE ({path}), {columns} FROM {rows}")
    return Side(view, side.label)


def _folder_columns(
    connection: duckdb.DuckDBPyConnection, side: TableFiles, names: Sequence[str], path: str
) -> list[str]:
    """Return what folders add as columns, by the file's path, each of the type that its values are written in."""
    columns = []
    for name in names:
        values = [_literal_or_null(folders.get(name)) for folders in side.folders]
        rows = ", ".join(f"({value})" for value in values)
        kind = guess_types(connection, f"(SELECT value::VARCHAR AS value FROM (VALUES {rows}) AS folders(value))")
        pairs = ", ".join(f"{literal(file)}: {value}" for file, value in zip(side.files, values, strict=True))
        columns.append(f"CAST(MAP {{{pairs}}}[{path}] AS {kind['value']}) AS {quote(name)}")
    return columns


def _literal_or_null(text: str | None) -> str:
    return "NULL" if text is None else literal(text)


def _read_parquet(files: Sequence[str], more: str = "") -> str:
    listed = ", ".join(map(literal, files))
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{more})"
