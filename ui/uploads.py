"""Files that people upload: looked at before they are read, so that a small one cannot fill the memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb

from dartifact.adapters.tables.row_files import read_rows
from dartifact.domain.errors import UsageError
from dartifact.domain.sql_text import literal, quote
from dartifact.domain.texts import first_line
from ui.exports import restore_rows

MOST_BYTES = 200 * 1024**2
MOST_ROWS = 1_000_000
MOST_DECODED = 1024**3
"""Bytes of all its values as text."""
_MEMORY = "700MB"


def read_upload(name: str, content: bytes, home: Path) -> list[dict[str, Any]]:
    """Return the rows of an uploaded file; UsageError where it cannot be read, or is larger than people upload."""
    if len(content) > MOST_BYTES:
        raise UsageError(f"{name} is larger than {MOST_BYTES // 1024**2} MB")
    with tempfile.TemporaryDirectory(prefix="upload-", dir=home) as folder:
        file = Path(folder) / f"upload{Path(name).suffix}"
        file.write_bytes(content)
        try:
            if file.suffix in (".parquet", ".csv"):
                _refuse_large(file, name)
            rows = read_rows(file)
        except UsageError as error:  # the file is called otherwise where the person has it
            raise UsageError(error.message.replace(str(file), name), hint=error.hint) from error
    return restore_rows(rows) if file.suffix == ".csv" else rows


def _refuse_large(file: Path, name: str) -> None:
    """Raise UsageError where the rows of a file are too many, or too large once they are decoded.

    Counted row by row in bounded memory: neither the size of a file nor what it says of itself tells.
    """
    reader = "read_parquet" if file.suffix == ".parquet" else "read_csv"
    options = "" if file.suffix == ".parquet" else ", header = true, all_varchar = true"
    source = f"{reader}({literal(str(file))}{options})"
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute("SET max_temp_directory_size = '0B'")
        connection.execute("SET threads = 1")
        try:
            [[rows]] = connection.execute(f"SELECT count(*) FROM {source}").fetchall()
            if rows > MOST_ROWS:
                raise UsageError(f"{name} has {rows:,} rows; at most {MOST_ROWS:,} can be uploaded")
            columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
            sizes = " + ".join(f"coalesce(strlen(CAST({quote(column)} AS VARCHAR)), 0)" for column in columns) or "0"
            [[decoded]] = connection.execute(f"SELECT coalesce(sum({sizes}), 0) FROM {source}").fetchall()
        except duckdb.OutOfMemoryException as error:
            raise UsageError(f"{name} is too large once it is decoded") from error
        except duckdb.Error as error:
            raise UsageError(f"{name} cannot be read: {first_line(error)}") from error
    if decoded > MOST_DECODED:
        raise UsageError(f"{name} is too large once it is decoded: {decoded:,} bytes; at most {MOST_DECODED:,}")
