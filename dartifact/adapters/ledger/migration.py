"""Brings the tables of an older ledger to today's schema, in place, with everything that is in them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import chain
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.kinds import Texts

_KEPT = ("seq", "source", "shard", "lo", "hi", "state")


def migrate(connection: sa.Connection) -> None:
    """Add what an older ledger lacks, inside the caller's transaction; on SQLite its foreign keys have to be off."""
    t.metadata.create_all(connection)
    if connection.dialect.name == "postgresql":  # SQLite has no lengths
        _widen(connection)
    if "backfill" not in _column_names(connection, t.windows):
        (_rebuild_windows if connection.dialect.name == "sqlite" else _alter_windows)(connection)
    if "place" not in _column_names(connection, t.events):
        _add_column(connection, t.events, "place")
    _add_indexes(connection, t.events)
    if "seal" not in _column_names(connection, t.events):
        _add_column(connection, t.events, "seal")
        chain.seal_all(connection)
    chain.refuse_changes(connection)
    connection.execute(t.schema_version.update().values(version=t.VERSION))


def _column_names(connection: sa.Connection, table: sa.Table) -> set[str]:
    return {column["name"] for column in sa.inspect(connection).get_columns(table.name)}


def _widen(connection: sa.Connection) -> None:
    """Let each column of text have the length that it has today."""
    for table in t.metadata.sorted_tables:
        wanted = {column.name: column.type for column in table.columns if isinstance(column.type, sa.String | Texts)}
        for found in sa.inspect(connection).get_columns(table.name):
            kind = wanted.get(found["name"])
            if kind is not None and (now := kind.compile(connection.dialect)) != str(found["type"]):
                connection.exec_driver_sql(f'ALTER TABLE {table.name} ALTER COLUMN "{found["name"]}" TYPE {now}')


def _add_column(connection: sa.Connection, table: sa.Table, name: str) -> None:
    column: Any = sa.schema.CreateColumn(table.c[name]).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")


def _add_indexes(connection: sa.Connection, table: sa.Table) -> None:
    known = {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in known:
            index.create(connection)


def _rebuild_windows(connection: sa.Connection) -> None:
    # SQLite drops a constraint only with its table. The name of the new one changes last: references to `windows` in
    # other tables then mean it.
    new = t.windows.to_metadata(sa.MetaData(), name="windows_new")
    new.indexes.clear()
    new.create(connection)
    columns = ", ".join(_KEPT)
    connection.exec_driver_sql(f"INSERT INTO windows_new ({columns}) SELECT {columns} FROM windows")
    connection.exec_driver_sql("DROP TABLE windows")
    connection.exec_driver_sql("ALTER TABLE windows_new RENAME TO windows")
    for index in t.windows.indexes:
        index.create(connection)
    if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        raise sa.exc.DatabaseError("PRAGMA foreign_key_check", None, ValueError(f"{len(broken)} runs lack a window"))


def _alter_windows(connection: sa.Connection) -> None:
    for constraint in sa.inspect(connection).get_unique_constraints(t.windows.name):
        connection.exec_driver_sql(f'ALTER TABLE windows DROP CONSTRAINT "{constraint["name"]}"')
    for name in [column.name for column in t.windows.columns if column.name not in _KEPT]:
        _add_column(connection, t.windows, name)
    _add_indexes(connection, t.windows)
