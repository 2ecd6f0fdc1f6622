"""Rows that people bring in files or frames, as the JSON rows that a source would bring."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dartifact.domain.errors import UsageError
from dartifact.domain.sources import SYSTEM_COLUMNS
from dartifact.domain.sql_text import literal
from dartifact.domain.texts import first_line

if TYPE_CHECKING:
    import pyarrow as pa

_OURS = {*SYSTEM_COLUMNS, "_row", "_reason", "file_row_number"} - {"_deleted"}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a Parquet file, or a CSV file: every field of it as text, an empty one (not `""`) as null.

    Columns that the system adds are left out, `_deleted` is kept. UsageError: it cannot be read.
    """
    import duckdb  # noqa: PLC0415

    file = literal(str(path))
    readers = {
        ".parquet": f"read_parquet({file})",
        ".csv": f"read_csv({file}, header = true, all_varchar = true, nullstr = '', allow_quoted_nulls = false)",
    }
    if path.suffix not in readers:
        raise UsageError(f"{path} is neither a .parquet nor a .csv file")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            return to_rows(connection.execute(f"SELECT * FROM {readers[path.suffix]}").to_arrow_table())
        except duckdb.Error as error:
            raise UsageError(f"{path} cannot be read: {first_line(error)}") from error


def write_csv(table: pa.Table, path: Path) -> None:
    """Write rows as a CSV file that `read_rows` reads back as they are: null is an empty field, empty text is `""`.

    Columns that the system adds are left out, `_deleted` is kept where a row is.
    """
    import duckdb  # noqa: PLC0415

    kept = [name for name in table.column_names if name not in _OURS]
    if "_deleted" in kept and not any(table["_deleted"].to_pylist()):
        kept.remove("_deleted")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("batch", table.select(kept))
        file = literal(str(path))
        connection.execute(f"COPY batch TO {file} (FORMAT csv, HEADER)")


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Turn an Arrow table into rows; times become ISO text, with an offset where they have a zone."""
    kept = table.select([name for name in table.column_names if name not in _OURS])
    return [{name: _plain(value) for name, value in row.items()} for row in kept.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
