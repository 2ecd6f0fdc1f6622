"""How a ledger database is reached: its driver, the limits of a connection, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.texts import first_line

PATIENCE = 30.0
"""Seconds that a writer waits for others."""

_WRITERS = 7_465_697  # the advisory lock of PostgreSQL that writers of the ledger take
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "postgres": "psycopg"}
# Who is suspended inside a transaction loses it, and what it has locked; the same for a statement that never ends.
_SESSION = "SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = '300s'"
# A machine that is gone is noticed in about a minute. What the URL says itself, it says.
_WIRE = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "dartifact",
}
# Classes and codes of SQLSTATE that are no OperationalError to psycopg: read-only (a standby), idle for too long,
# no permission, damage.
_UNUSABLE = ("25006", "25P03", "42501", "XX")
_INSTALL = "pip install 'dartifact[postgres]'"


def read_url(text: str) -> sa.URL:
    """Read the URL of a ledger, with the driver that it is used with; UsageError for what is no ledger of ours."""
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise errors.UsageError("the URL of the ledger cannot be read", hint="set DARTIFACT_LEDGER_URL") from error
    backend, _, driver = url.drivername.partition("+")
    wanted = _DRIVERS.get(backend)
    if wanted is None or driver not in ("", wanted):
        raise errors.UsageError(
            f"a ledger cannot be kept in {url.drivername}: it is SQLite, or PostgreSQL by psycopg",
            hint="DARTIFACT_LEDGER_URL=postgresql://user:secret@host/database",
        )
    return url.set(drivername=f"{'sqlite' if backend == 'sqlite' else 'postgresql'}+{wanted}")


def name_url(url: sa.URL) -> str:
    """Name a ledger for people, without what is secret in its URL."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string()


def open_engine(url: sa.URL, *, only_reads: bool) -> sa.Engine:
    """Make the connections to a ledger database.

    With `only_reads` the database refuses what would change it, and a SQLite file is not created.
    """
    if url.get_backend_name() != "sqlite":
        return _open_postgresql(url, only_reads=only_reads)
    path = Path(url.database) if url.database else None
    if only_reads and path:

        def connect() -> sqlite3.Connection:
            file = f"file:{quote(str(path.resolve()))}?mode=ro{'&immutable=1' if is_sealed(path) else ''}"
            return sqlite3.connect(file, uri=True, timeout=PATIENCE, check_same_thread=False)

        engine = sa.create_engine(url, creator=connect)
    else:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
    sa.event.listen(engine, "begin", _begin_sqlite)
    sa.event.listen(engine, "connect", _prepare_reader if only_reads else _prepare_sqlite)
    return engine


def is_sealed(path: Path) -> bool:
    """Say whether a SQLite file lies where nothing can be written, and nobody left anything unwritten in it."""
    return path.is_file() and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()


def translate(context: sa.engine.ExceptionContext) -> BaseException | None:
    """Return what an error of the database means to us; None for a bug, which keeps its traceback."""
    if context.is_pre_ping:  # it is replaced, and nobody has to know
        return None
    cause, found = context.original_exception, context.sqlalchemy_exception
    if isinstance(cause, errors.DartifactError):
        return cause
    where = name_url(context.engine.url) if context.engine else ""
    # A number or a character that the driver cannot even send is refused like one that the database refuses.
    if isinstance(found, sa.exc.DataError | sa.exc.IntegrityError) or isinstance(cause, OverflowError | UnicodeError):
        return errors.LedgerRefused(f"the ledger {where} refuses this: {first_line(cause)}")
    code = str(getattr(cause, "sqlstate", "") or "")
    is_unusable = type(found) in (sa.exc.OperationalError, sa.exc.DatabaseError) or code.startswith(_UNUSABLE)
    if not is_unusable and not context.is_disconnect:
        return None
    return errors.LedgerUnavailable(f"the ledger {where} cannot be used: {first_line(cause)}", hint=Command("doctor"))


def explain_opening(url: sa.URL, error: BaseException) -> errors.UsageError:
    """Return the error of a ledger that cannot be opened."""
    if isinstance(error, ImportError) and url.get_backend_name() == "postgresql":
        return errors.UsageError("the driver for PostgreSQL, psycopg, is not installed", hint=_INSTALL)
    cause = getattr(error, "orig", None) or error  # the driver's own, whose text is without the statement
    return errors.UsageError(
        f"the ledger {name_url(url)} cannot be opened: {first_line(cause)}",
        hint="repair what the message names, or set DARTIFACT_LEDGER_URL",
    )


def _open_postgresql(url: sa.URL, *, only_reads: bool) -> sa.Engine:
    wire = {name: value for name, value in _WIRE.items() if name not in url.query}
    # A connection that a restart of the database has cut is replaced before it is used.
    engine = sa.create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=wire)

    def prepare(connection: Any, _: Any) -> None:
        connection.execute(f"{_SESSION}{'; SET default_transaction_read_only = on' if only_reads else ''}")
        connection.commit()

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    _prepare_reader(connection, _)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reader(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    connection.execute(f"PRAGMA busy_timeout={PATIENCE * 1000:.0f}")


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
        patience = max(1, round(options.get("patience", PATIENCE) * 1000))  # 0 would be for ever
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience}ms'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
