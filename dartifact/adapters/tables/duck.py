"""DuckDB connections over files of the lake: one runner for the checks' and the comparisons' SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.tables.batch_files import DECLARED, STRANGE, Notes
from dartifact.domain.errors import ChecksErrored
from dartifact.domain.sql_text import literal
from dartifact.domain.texts import first_line


class NotParquet(ChecksErrored):
    """A file can be read, and is no Parquet. Whose file it is tells whether it is a run's fault or a damaged store."""


@contextmanager
def connect(database: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database (in memory without a path) that reads the lake's files, in UTC, and close it afterwards.

    A query that fails raises duckdb.Error: the caller knows whether that is an answer or a bug.
    """
    connection = duckdb.connect(str(database) if database else ":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET threads = 2")
        yield connection
    finally:
        connection.close()


def create_view(connection: duckdb.DuckDBPyConnection, name: str, urls: Sequence[str], access: LakeAccess) -> None:
    """Define a view over Parquet files, with `file_row_number`; `name` may carry a schema and is taken as written.

    ChecksErrored: a file cannot be read; NotParquet: it can, and holds something else.
    """
    if any(url.startswith("s3://") for url in urls):
        _open_gateway(connection, access)
    files = ", ".join(literal(url) for url in urls)
    try:
        connection.execute(
            f"CREATE OR REPLACE VIEW {name} AS "
            f"SELECT * FROM read_parquet([{files}], union_by_name = true, file_row_number = true)"
        )
    except duckdb.IOException as error:
        raise ChecksErrored(f"{name}: a file of the lake cannot be read: {first_line(error)}") from error
    except duckdb.InvalidInputException as error:
        raise NotParquet(f"{name}: a file of the lake is not Parquet: {first_line(error)}") from error


def read_notes(connection: duckdb.DuckDBPyConnection, urls: Sequence[str], access: LakeAccess) -> Notes | None:
    """Return what a batch's files say of themselves, None where one says nothing."""
    if any(url.startswith("s3://") for url in urls):
        _open_gateway(connection, access)
    files = ", ".join(literal(url) for url in urls)
    query = f"SELECT file_name, decode(key), decode(value) FROM parquet_kv_metadata([{files}])"
    told: dict[str, dict[str, Any]] = {}
    for file, key, value in connection.execute(query).fetchall():
        if key in (DECLARED, STRANGE):
            told.setdefault(file, {})[key] = json.loads(value)
    if len(told) < len(urls):
        return None
    declared = {name for file in told.values() for name in file.get(DECLARED, ())}
    strange = {name: why for file in told.values() for name, why in file.get(STRANGE, {}).items()}
    return Notes(tuple(sorted(declared)), strange)


def group_by_columns(
    connection: duckdb.DuckDBPyConnection, urls: Sequence[str], access: LakeAccess
) -> list[tuple[list[str], dict[str, str]]]:
    """Part Parquet files into groups that have the same columns in the same types; return each with its columns."""
    if any(url.startswith("s3://") for url in urls):
        _open_gateway(connection, access)
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for url in urls:
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(url)})").fetchall()
        except duckdb.IOException as error:
            raise ChecksErrored(f"a file of the lake cannot be read: {first_line(error)}") from error
        groups.setdefault(tuple((row[0], row[1]) for row in described), []).append(url)
    return [(alike, dict(columns)) for columns, alike in groups.items()]


def _open_gateway(connection: duckdb.DuckDBPyConnection, access: LakeAccess) -> None:
    folder = resources.files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}"
    extension = folder / "httpfs.duckdb_extension"
    parts = urlsplit(access.url)
    connection.execute(f"LOAD {literal(str(extension))}")
    connection.execute(
        f"CREATE OR REPLACE SECRET lake (TYPE s3, KEY_ID {literal(access.access_key_id)}, "
        f"SECRET {literal(access.secret_access_key)}, REGION 'us-east-1', ENDPOINT {literal(parts.netloc)}, "
        f"URL_STYLE 'path', USE_SSL {'true' if parts.scheme == 'https' else 'false'})"
    )
