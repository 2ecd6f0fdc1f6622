"""The database of the ledger: opened, created, migrated. One writer at a time; readers wait for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from dartifact.adapters.ledger import chain
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.migration import migrate
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer
from dartifact.domain.texts import first_line

PATIENCE = 30.0
"""Seconds that a writer waits for others."""

_WRITERS = 7_465_697  # the advisory lock of PostgreSQL that writers of the ledger take


class Database:
    """The connections to one ledger database, SQLite or PostgreSQL by its URL.

    Raises UsageError where it cannot be opened or has another schema version, later LedgerUnavailable where it cannot
    be used.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise errors.UsageError("the URL of the ledger cannot be read", hint="set DARTIFACT_LEDGER_URL") from error
        try:
            self.engine = _connect(parsed)
            self._create()
        except (sa.exc.ArgumentError, sa.exc.DatabaseError, ModuleNotFoundError, OSError) as error:
            raise errors.UsageError(
                f"the ledger {parsed.render_as_string()} cannot be opened: {first_line(_cause(error))}",
                hint="repair what the message names, or set DARTIFACT_LEDGER_URL",
            ) from error
        sa.event.listen(self.engine, "handle_error", _translate)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def write(self, patience: float) -> Iterator[sa.Connection]:
        """Open one transaction that no other writer is in; LedgerUnavailable after `patience` seconds of waiting."""
        with self.engine.execution_options(writes=True, patience=patience).begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a connection that reads."""
        with self.engine.connect() as connection:
            yield connection

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        """Return the rows of a query, by column."""
        with self.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _create(self) -> None:
        found = self._find_version()
        if found is None:
            with self.engine.execution_options(writes=True).begin() as connection:
                t.metadata.create_all(connection)
                # Whoever was first has written these.
                if connection.execute(sa.select(t.schema_version.c.version)).first() is None:
                    connection.execute(t.schema_version.insert().values(version=t.VERSION))
                    body = LivePointer().to_json()
                    connection.execute(t.live_pointer.insert().values(one=1, generation=0, body=body))
                    chain.refuse_changes(connection)
                    name_ledger(connection)
            found = self._find_version()
        if found in t.OLDER:
            self._migrate()
            found = self._find_version()
        if found != t.VERSION:
            raise errors.UsageError(
                f"the ledger has schema version {found}, this dartifact needs {t.VERSION}",
                hint="use the dartifact version that wrote it, or another ledger",
            )

    def _migrate(self) -> None:
        with self.engine.execution_options(writes=True).connect() as connection:
            driver = connection.connection.driver_connection
            is_sqlite = connection.dialect.name == "sqlite"
            if is_sqlite and driver:  # has no effect inside a transaction
                driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    # Whoever was first has done it.
                    if connection.execute(sa.select(t.schema_version.c.version)).scalar() in t.OLDER:
                        migrate(connection)
                        name_ledger(connection)
            finally:
                if is_sqlite and driver:
                    driver.execute("PRAGMA foreign_keys=ON")

    def _find_version(self) -> int | None:
        # A ledger that is there is opened without writing: readers wait for nobody.
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(t.schema_version.name):
                return None
            version: int | None = connection.execute(sa.select(t.schema_version.c.version)).scalar()
            return version


def name_ledger(connection: sa.Connection) -> None:
    """Give a ledger that has none an id, inside the caller's transaction."""
    if connection.execute(sa.select(t.identity.c.ledger_id)).first() is None:
        connection.execute(t.identity.insert().values(one=1, ledger_id=uuid4().hex))


def _connect(url: sa.URL) -> sa.Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"connect_args": {"timeout": 30}} if is_sqlite else {"isolation_level": "READ COMMITTED"}
    engine = sa.create_engine(url, **options)
    sa.event.listen(engine, "begin", _begin_sqlite if is_sqlite else _begin_postgresql)
    if is_sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    busy = f"busy_timeout={PATIENCE * 1000:.0f}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", busy):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that turns into a write can fail with "database is locked" without waiting.
    options = connection.get_execution_options()
    writes = options.get("writes", False)
    if writes:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={options.get('patience', PATIENCE) * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    # One writer at a time, as in SQLite: what a transaction has read stands until it commits.
    options = connection.get_execution_options()
    if options.get("writes", False):
        if options.get("patience", PATIENCE) < PATIENCE:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{options['patience'] * 1000:.0f}ms'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _translate(context: sa.engine.ExceptionContext) -> errors.LedgerUnavailable | None:
    # Their children (a constraint violated, wrong SQL) are bugs and keep their traceback.
    if type(context.sqlalchemy_exception) not in (sa.exc.OperationalError, sa.exc.DatabaseError):
        return None
    where = context.engine.url.render_as_string() if context.engine else ""
    reason = first_line(_cause(context.original_exception))
    return errors.LedgerUnavailable(f"the ledger {where} cannot be used: {reason}", hint=Command("doctor"))


def _cause(error: BaseException) -> BaseException:
    """Return the driver's own error, whose text is without the statement."""
    return getattr(error, "orig", None) or error
