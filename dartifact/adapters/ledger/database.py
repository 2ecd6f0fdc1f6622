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
from dartifact.adapters.ledger.connections import explain_opening, is_sealed, name_url, open_engine, read_url, translate
from dartifact.adapters.ledger.migration import migrate
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer


class Database:
    """The connections to one ledger database, SQLite or PostgreSQL by its URL.

    With `only_reads`, or where a SQLite file lies in a folder that cannot be written, it is neither created nor
    migrated, and refuses writes: NotFound where there is no ledger yet.

    Raises UsageError where it cannot be opened or has another schema version, later LedgerUnavailable where it cannot
    be used and LedgerRefused where it refuses a value.
    """

    def __init__(self, url: str, *, only_reads: bool = False) -> None:
        self.url = read_url(url)
        path = self.url.database if self.url.get_backend_name() == "sqlite" else None
        only_reads = only_reads or bool(path and is_sealed(Path(path)))
        try:
            self.engine = open_engine(self.url, only_reads=only_reads)
            if only_reads:
                self._require()
            else:
                self._create()
        except (sa.exc.ArgumentError, sa.exc.DatabaseError, ImportError, OSError) as error:
            raise explain_opening(self.url, error) from error
        sa.event.listen(self.engine, "handle_error", translate)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def write(self, patience: float) -> Iterator[sa.Connection]:
        """Open one transaction that no other writer is in; LedgerUnavailable after `patience` seconds of waiting."""
        with self.engine.execution_options(writes=True, patience=patience).connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except errors.LedgerUnavailable as error:
                if connection.invalidated:  # cut off in between: it may have been heard
                    raise errors.OutcomeUnknown(error.message, hint=error.hint) from error
                raise

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a connection that reads."""
        with self.engine.connect() as connection:
            yield connection

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        """Return the rows of a query, by column."""
        with self.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _require(self) -> None:
        path = self.url.database
        if self.url.get_backend_name() == "sqlite" and path and not Path(path).exists():
            found = None
        else:
            found = self._find_version()
        if found is None:
            raise errors.NotFound(f"there is no ledger in {name_url(self.url)} yet", hint=Command("status"))
        self._check_version(found)

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
        self._check_version(found)

    def _check_version(self, found: int | None) -> None:
        if found in t.OLDER:
            hint = (Command("status"), ", which brings it to this version")
            raise errors.UsageError(f"the ledger has the older schema version {found}", hint=hint)
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
