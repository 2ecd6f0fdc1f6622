"""Writers that do not let go, connections that are cut, servers that refuse; and who only looks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from dartifact.adapters.ledger import connections
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.kinds import Texts
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.writer import Writer
from dartifact.domain import errors
from dartifact.domain.plans import LivePointer
from tests.adapters.test_ledger import ACTOR, NOON, append_some
from tests.support.postgres import empty_schema

pytestmark = pytest.mark.both_databases


def test_a_writer_that_is_not_let_in_gives_up_after_its_patience(ledger: Ledger, ledger_url: str) -> None:
    one, other = ledger, Ledger(ledger_url)
    for patience in (0.3, 0.0):
        with one.write():
            with pytest.raises(errors.LedgerUnavailable) as caught, other.write(patience=patience):
                pass
            assert caught.value.hint
    append_some(other)
    other.close()


@pytest.fixture
def postgresql_url(postgres: str) -> Iterator[str]:
    with empty_schema(postgres) as url:
        yield url


@contextlib.contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def opened(url: str) -> contextlib.closing[Ledger]:
    return contextlib.closing(Ledger(url, lambda: NOON))


def end(other: psycopg.Connection, tx: Writer) -> None:
    """End the server's side of the connection that a transaction is on."""
    other.execute("SELECT pg_terminate_backend(%s)", (pid_of(tx.runs._tx.connection),))


def pid_of(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_way_to_write_the_url_means_our_driver_with_all_its_limits(postgresql_url: str, scheme: str) -> None:
    url = scheme + postgresql_url.removeprefix("postgresql")
    with opened(url) as ledger, ledger.write() as tx:
        shown = {
            name: tx.runs._tx.execute(sa.text(f"SHOW {name}")).scalar()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout", "application_name")
        }
        info = tx.runs._tx.connection.connection.driver_connection.info.get_parameters()
    assert shown == {
        "lock_timeout": "30s",
        "idle_in_transaction_session_timeout": "1min",
        "statement_timeout": "5min",
        "application_name": "dartifact",
    }
    assert {name: info[name] for name in ("keepalives_idle", "tcp_user_timeout")} == {
        "keepalives_idle": "30",
        "tcp_user_timeout": "60000",
    }


def test_what_the_url_says_of_the_wire_wins(postgresql_url: str) -> None:
    with opened(f"{postgresql_url}&keepalives_idle=7") as ledger, ledger.write() as tx:
        assert tx.runs._tx.connection.connection.driver_connection.info.get_parameters()["keepalives_idle"] == "7"


def test_a_missing_driver_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.UsageError, match="psycopg, is not installed") as caught:
        Ledger("postgresql://user:secret@127.0.0.1:9/db")
    assert str(caught.value.hint) == "pip install 'dartifact[postgres]'"


def test_connections_that_were_cut_while_idle_are_not_noticed(postgresql_url: str) -> None:
    with opened(postgresql_url) as ledger, connected(postgresql_url) as other:
        append_some(ledger)
        with ledger._database.read() as connection:
            pid = pid_of(connection)
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        time.sleep(0.2)
        assert len(ledger.events()) == 3
        append_some(ledger)


def test_a_connection_that_is_cut_inside_a_write_is_said_and_the_next_write_works(postgresql_url: str) -> None:
    with opened(postgresql_url) as ledger, connected(postgresql_url) as other:

        def write() -> None:
            with ledger.write() as tx:
                end(other, tx)
                tx.append("PromotionsFrozen", ACTOR, reason="none")

        with pytest.raises(errors.LedgerUnavailable, match="cannot be used") as caught:
            write()
        assert caught.value.hint
        assert ledger.events() == ()
        append_some(ledger)
        assert len(ledger.events()) == 3


def test_a_connection_that_is_cut_at_the_commit_leaves_the_outcome_unknown(postgresql_url: str) -> None:
    with opened(postgresql_url) as ledger, connected(postgresql_url) as other:

        def write() -> None:
            with ledger.write() as tx:
                tx.append("PromotionsFrozen", ACTOR, reason="none")
                end(other, tx)

        with pytest.raises(errors.OutcomeUnknown):
            write()
        append_some(ledger)


def test_a_writer_that_does_nothing_for_too_long_loses_its_place(postgresql_url: str) -> None:
    def sleep(asleep: Ledger, ledger: Ledger) -> None:
        with asleep.write() as tx:
            tx.runs._tx.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
            with ledger.write(patience=10) as other:  # it is let in, without anybody's doing
                other.append("PromotionsFrozen", ACTOR, reason="none")
            tx.append("PromotionsFrozen", ACTOR, reason="too late")

    with opened(postgresql_url) as ledger, opened(postgresql_url) as asleep:
        with pytest.raises(errors.LedgerUnavailable):
            sleep(asleep, ledger)
        assert [event.payload["reason"] for event in ledger.events()] == ["none"]


def test_a_server_that_takes_no_writes_is_unavailable_and_no_bug(postgresql_url: str) -> None:
    with opened(postgresql_url) as ledger:

        def write() -> None:
            with ledger.write() as tx:
                tx.runs._tx.execute(sa.text("SET TRANSACTION READ ONLY"))  # as a standby is
                tx.append("PromotionsFrozen", ACTOR, reason="none")

        with pytest.raises(errors.LedgerUnavailable, match="read-only transaction"):
            write()
        with pytest.raises(sa.exc.ProgrammingError), ledger.write() as tx:
            tx.runs._tx.execute(sa.text("SELECT nonsense"))


def test_the_columns_of_an_older_ledger_get_the_length_of_today(postgresql_url: str) -> None:
    with opened(postgresql_url) as ledger:
        append_some(ledger)
    with connected(postgresql_url) as connection:
        for table, column, kind in (
            ("reports", "meta_range", "varchar(80)"),
            ("events", "actor", "varchar(120)"),
            ("stops", "reason", "varchar(500)"),
            ("leases", "holder", "varchar(120)"),
        ):
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}")
        connection.execute("UPDATE schema_version SET version = 6")
    with opened(postgresql_url) as ledger:
        inspector = sa.inspect(ledger._database.engine)
        for table in t.metadata.sorted_tables:
            for found in inspector.get_columns(table.name):
                declared = table.c[found["name"]].type
                if isinstance(declared, Texts):
                    assert str(found["type"]) == declared.compile(ledger._database.engine.dialect), found["name"]
        assert ledger.find_broken_event() is None
        assert len(ledger.events()) == 3


# Who only looks


def test_who_only_reads_creates_nothing_and_writes_nothing(ledger_url: str) -> None:
    url = ledger_url
    with pytest.raises(errors.NotFound, match="there is no ledger in"):
        Ledger(url, only_reads=True)
    with pytest.raises(errors.NotFound):
        Ledger(url, only_reads=True)
    with opened(url) as ledger:
        append_some(ledger)
    with contextlib.closing(Ledger(url, only_reads=True)) as reader:
        assert len(reader.events()) == 3
        assert reader.pointer() == LivePointer()
        with pytest.raises(errors.LedgerUnavailable), reader.write() as tx:
            tx.append("PromotionsFrozen", ACTOR, reason="none")
        assert len(reader.events()) == 3


def test_who_only_reads_leaves_an_older_ledger_as_it_is(ledger_url: str) -> None:
    url = ledger_url
    with opened(url) as ledger, ledger.write() as tx:
        tx.runs._tx.execute(sa.text("UPDATE schema_version SET version = 6"))
    for _ in range(2):
        with pytest.raises(errors.UsageError, match="the older schema version 6"):
            Ledger(url, only_reads=True)


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_clean: bool
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    first = Ledger(url)
    append_some(first)
    if is_clean:
        first.close()
    monkeypatch.setattr(connections.os, "access", lambda *_: False)  # who runs the tests may be root
    with contextlib.closing(Ledger(url)) as ledger:
        assert len(ledger.events()) == 3
        if is_clean:
            with pytest.raises(errors.LedgerUnavailable, match="readonly"), ledger.write() as tx:
                tx.append("PromotionsFrozen", ACTOR)
    first.close()
