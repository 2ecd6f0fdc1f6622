"""Diffs of files: Parquet and CSV, single ones or globs."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.commands.diffs.engine import open_engine, spell_options
from dartifact.commands.diffs.store import DiffStore, StoredDiff
from dartifact.compare.diff.plan import Options, Side
from dartifact.compare.diff.table import Diff, compare
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.sql_text import literal
from dartifact.domain.texts import first_line

_TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
_NOWHERE = LakeAccess("http://127.0.0.1:9", "none", "none")  # files are read without any lake


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV is read: as written, unless tokens stand for null or its types are to be guessed."""

    null_tokens: tuple[str, ...] = ()
    infer_types: bool = False


AS_WRITTEN = CsvOptions()


def diff_files(home: Path, base: str, candidate: str, options: Options, csv: CsvOptions = AS_WRITTEN) -> StoredDiff:
    """Compare two files or globs, Parquet or CSV.

    NotFound: nothing matches; UsageError: a file cannot be read as what it is named.
    """
    sides = [_find_files(each) for each in (base, candidate)]
    identity = ["files", [[_stamp(path) for path in side] for side in sides], spell_options(options), asdict(csv)]

    def make(work: Path) -> Diff:
        with open_engine(_NOWHERE, work) as connection:
            try:
                found = [
                    _read_files(connection, name, label, files, csv, work)
                    for name, label, files in (("base", base, sides[0]), ("candidate", candidate, sides[1]))
                ]
                return compare(connection, found[0], found[1], options, work / "rows.parquet")
            except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
                raise UsageError(f"the files cannot be compared: {first_line(error)}") from error

    stored = DiffStore(home).find_or_make(identity, make)
    named = replace(stored.diff.report, base=base, candidate=candidate)
    return replace(stored, diff=replace(stored.diff, report=named))


def is_file(name: str) -> bool:
    """Tell whether a side is named as a file or glob, not as a reference of the lake."""
    return name.lower().endswith((".parquet", *_TEXT)) or any(each in name for each in "*?[") or Path(name).is_file()


def _find_files(pattern: str) -> tuple[str, ...]:
    found = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
    files = tuple(str(Path(each).resolve()) for each in found if Path(each).is_file())
    if not files:
        raise NotFound(f"there is no file {pattern}", hint="quote a glob so that the shell leaves it alone")
    if len({_is_text(each) for each in files}) > 1:
        raise UsageError(f"{pattern} names both CSV and Parquet files", hint="compare one kind at a time")
    return files


def _is_text(path: str) -> bool:
    return path.lower().endswith(_TEXT)


def _stamp(path: str) -> tuple[object, ...]:
    found = Path(path).stat()
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read_files(
    connection: duckdb.DuckDBPyConnection, name: str, label: str, files: Sequence[str], csv: CsvOptions, work: Path
) -> Side:
    listed = ", ".join(literal(each) for each in files)
    untyped = False
    if _is_text(files[0]):
        # A CSV is parsed once; what follows reads it several times.
        copy = str(work / f"{name}.parquet")
        rows = _read_csv(listed, csv)
        connection.execute(f"COPY (SELECT * FROM {rows}) TO {literal(copy)} (FORMAT parquet, COMPRESSION snappy)")
        files, listed, untyped = (copy,), literal(copy), not csv.infer_types
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")
    return Side(name, label, tuple(files), untyped)


def _read_csv(listed: str, csv: CsvOptions) -> str:
    nulls = ", ".join(literal(each) for each in ("", *csv.null_tokens))
    types = "sample_size = -1" if csv.infer_types else "all_varchar = true"
    return (
        f"read_csv([{listed}], header = true, quote = '\"', escape = '\"', allow_quoted_nulls = false, "
        f"nullstr = [{nulls}], union_by_name = true, {types})"
    )
