"""All differing cells of a stored diff as one file: Parquet, CSV or JSON lines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import duckdb

from dartifact.commands.diffs.cells import EVERY_CELL, connect, select_cells_of
from dartifact.commands.diffs.store import StoredDiff
from dartifact.domain.errors import UsageError
from dartifact.domain.marks import HIDDEN
from dartifact.domain.sql_text import literal, quote
from dartifact.domain.texts import first_line

_FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".jsonl": "FORMAT json",
    ".ndjson": "FORMAT json",
}
_PLAIN = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN")
"""Types that JSON writes exactly; a key of any other type is text in it."""


def require_cells_file(out: Path) -> None:
    """Raise UsageError unless cells can be written to a file: its ending is known and its folder takes new files."""
    _format_of(out)
    if out.is_dir():
        raise UsageError(f"{out} is a folder", hint="name a file")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{out} cannot be written: {reason}", hint="name a folder that takes new files") from error


def write_cells(stored: StoredDiff, out: Path, hidden: Collection[str] = ()) -> None:
    """Write every differing cell, by key: key, column, base, candidate, kind; all of the file or nothing of it.

    The ending names the format. The key of several columns is a struct in Parquet, an object in JSON lines and JSON
    text in CSV. HIDDEN stands for the values of `hidden` columns. UsageError: the file cannot be written.
    """
    options = _format_of(out)
    with connect(stored) as connection:
        query = _select_visible(connection, stored, hidden, typed=out.suffix.lower() == ".parquet")
        beside = out.with_name(f".{out.name}.{os.getpid()}")
        try:
            connection.execute(f"COPY ({query}) TO {literal(str(beside))} ({options})")
            beside.replace(out)
        except (duckdb.IOException, OSError) as error:
            raise UsageError(f"{out} cannot be written: {first_line(error)}") from error
        finally:
            beside.unlink(missing_ok=True)


def _format_of(out: Path) -> str:
    if (options := _FORMATS.get(out.suffix.lower())) is None:
        raise UsageError(f"{out} is neither Parquet, CSV nor JSON lines", hint="end it in .parquet, .csv or .jsonl")
    return options


def _select_visible(connection: Any, stored: StoredDiff, hidden: Collection[str], *, typed: bool) -> str:
    masked = ", ".join(literal(name) for name in hidden) or "NULL"
    base, candidate = (
        f'CASE WHEN "column" IN ({masked}) THEN {literal(HIDDEN)} ELSE {side} END AS {side}'
        for side in ("base", "candidate")
    )
    cells, key, shown = select_cells_of(stored, EVERY_CELL), stored.diff.stored.key, "key"
    if {*key} & {*hidden}:
        shown = literal(HIDDEN)
    elif key and not typed:
        shown = _spell_key(connection, cells, key)
    return f'SELECT {shown} AS key, "column", {base}, {candidate}, kind FROM ({cells}) ORDER BY "row", place'


def _spell_key(connection: Any, cells: str, key: Sequence[str]) -> str:
    """Return the expression of a key as JSON has it: whole numbers of 64 bits and truth values, all others as text."""
    parts = ["key"] if len(key) == 1 else [f"key.{quote(name)}" for name in key]
    types = [row[1] for row in connection.execute(f"DESCRIBE SELECT {', '.join(parts)} FROM ({cells})").fetchall()]
    plain = [part if kind in _PLAIN else f"CAST({part} AS VARCHAR)" for part, kind in zip(parts, types, strict=True)]
    if len(key) == 1:
        return plain[0]
    fields = ", ".join(f"{literal(name)}: {part}" for name, part in zip(key, plain, strict=True))
    return f"to_json({{{fields}}})"
