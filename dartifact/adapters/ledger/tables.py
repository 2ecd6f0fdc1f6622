"""The tables of the ledger. State tables change only together with an event, in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dartifact.domain import errors
from dartifact.domain.storable import clean_json, clean_text, cut_text, shorten_name

VERSION = 7
OLDER = frozenset({1, 2, 3, 4, 5, 6})
"""The versions that `migration.migrate` brings to this one when such a ledger is opened."""

metadata = sa.MetaData()


class UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC times with microseconds on every database (SQLite drops the zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse naive times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time cannot be stored: {value}")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(sa.types.TypeDecorator[str]):
    """A text that people or programs write: any length is taken, what is beyond `most` is cut off."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, most: int = 10_000) -> None:
        super().__init__()
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Clean and cut."""
        return None if value is None else cut_text(value, self.most)


class Name(sa.types.TypeDecorator[str]):
    """A name that people or other programs choose: a long one is shortened, so that it stays another one.

    Who looks for it by its whole name finds it.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Clean and shorten."""
        return None if value is None else shorten_name(value, self.most)


class Id(sa.types.TypeDecorator[str]):
    """An id: others are told it, so it is kept as it is or refused, on every database."""

    impl = sa.String
    cache_ok = True

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Refuse what is too long or cannot be stored."""
        if value is not None and (len(value) > self.most or clean_text(value) != value):
            why = f"longer than {self.most} characters" if len(value) > self.most else "not a text that can be stored"
            raise errors.LedgerRefused(f"the id {cut_text(value, 60)} is {why}", hint="use shorter names")
        return value

    def coerce_compared_value(self, op: Any, value: Any) -> sa.types.TypeEngine[Any]:
        """Let whoever looks for an id that cannot be find nothing."""
        return Words()


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value that every database takes: `domain.storable.clean_json`."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Clean."""
        return clean_json(value)

    def coerce_compared_value(self, op: Any, value: Any) -> sa.types.TypeEngine[Any]:
        """Compare as JSON does."""
        return self.impl_instance.coerce_compared_value(op, value)


Texts = Words | Name | Id


def store_as(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    """Return values of a table's columns as the table will give them back: to be sealed, say."""
    stored = dict(values)
    for name, value in values.items():
        kind = table.c[name].type
        if isinstance(kind, Texts | Json):
            stored[name] = kind.process_bind_param(value, None)
    return stored


_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

# Who this ledger is: the lake that it goes with carries the same id.
identity = sa.Table(
    "identity",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("ledger_id", sa.String(40), nullable=False),
    sa.Column("is_bound", sa.Boolean, nullable=False, server_default=sa.false()),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("type", Id(60), nullable=False),
    sa.Column("actor", Name(300), nullable=False),
    sa.Column("place", Name(300), nullable=False, server_default=""),
    sa.Column("run_id", Id(200)),
    sa.Column("dartifact_id", Id(60)),
    sa.Column("operation", Id(80)),
    sa.Column("payload", Json, nullable=False),
    # Each event seals all before it (`adapters.ledger.chain`).
    sa.Column("seal", sa.String(64), nullable=False, server_default=""),
    sa.Index("events_run", "run_id", "type"),
    sa.Index("events_dartifact", "dartifact_id", "type"),
    sa.Index("events_type", "type", "sequence"),
    sa.Index("events_actor", "actor", "sequence"),
    # A lake fact is adopted once, whoever adopts it.
    sa.Index("events_once", "operation", "type", "run_id", unique=True),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("source", Id(80), nullable=False),
    sa.Column("shard", sa.Integer, nullable=False),
    sa.Column("lo", UtcTime, nullable=False),
    sa.Column("hi", UtcTime, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("clock", UtcTime),
    sa.Column("backfill", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("repairs", Json, nullable=False, server_default="[]"),
    sa.Column("gap_reason", Words(500)),
    sa.Index("windows_state", "state"),
    sa.Index("windows_hi", "source", "shard", "hi"),
    sqlite_autoincrement=True,
)
# A stretch is claimed once; backfills go over it as often as it takes.
sa.Index(
    "windows_once",
    windows.c.source,
    windows.c.shard,
    windows.c.hi,
    unique=True,
    sqlite_where=windows.c.backfill.is_(sa.false()),
    postgresql_where=windows.c.backfill.is_(sa.false()),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", Id(200), primary_key=True),
    sa.Column("source", Id(80), nullable=False),
    sa.Column("ingestor", Id(80), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("seq", _NUMBER, sa.ForeignKey("windows.seq"), nullable=False, unique=True),
    sa.Column("phase", sa.String(12), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("gate", sa.String(12)),
    sa.Column("commit_id", Id(80)),
    sa.Column("rows", _NUMBER),
    sa.Column("report", Id(80)),
    sa.Column("reasons", Json, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("held_until", UtcTime),
    sa.Column("revert_reason", Words(500)),
    sa.UniqueConstraint("ingestor", "number"),
    sa.Index("runs_phase", "phase", "seq"),
    sa.Index("runs_ingestor", "ingestor", "seq"),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("digest", Id(80), primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("gate", sa.String(12), nullable=False),
    sa.Column("commit_id", Id(80), nullable=False),
    sa.Column("meta_range", Id(300), nullable=False),
    sa.Column("verdict", sa.String(8), nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Index("reports_meta_range", "meta_range"),
)

dartifacts = sa.Table(
    "dartifacts",
    metadata,
    sa.Column("created", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("dartifact_id", Id(60), nullable=False, unique=True),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("code_digest", Id(80), nullable=False),
    sa.Column("main_commit", Id(80), nullable=False),
    sa.Column("runs", Json, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("commit_id", Id(80)),
    sa.Column("meta_range", Id(300)),
    sa.Column("reasons", Json, nullable=False),
    sa.Column("passport", Json),
    sa.Index("dartifacts_state", "state"),
)

promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("plan_id", Id(80), nullable=False, unique=True),
    sa.Column("dartifact_id", Id(60), nullable=False),
    sa.Column("plan", Json, nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
)

soaks = sa.Table(
    "soaks",
    metadata,
    sa.Column("plan_id", Id(80), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("looked_at", UtcTime, nullable=False),
)

consumers = sa.Table(
    "consumers",
    metadata,
    sa.Column("name", Name(200), primary_key=True),
    sa.Column("slot", sa.String(8), nullable=False),
    sa.Column("dartifact_id", Id(60), nullable=False),
    sa.Column("commit_id", Id(80), nullable=False),
    sa.Column("plan_id", Id(80)),
    sa.Column("asked_at", UtcTime, nullable=False),
)

live_pointer = sa.Table(
    "live_pointer",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("generation", _NUMBER, nullable=False),
    sa.Column("body", Json, nullable=False),
)

blames = sa.Table(
    "blames",
    metadata,
    sa.Column("kind", sa.String(12), primary_key=True),
    sa.Column("value", Id(200), primary_key=True),
)

intents = sa.Table(
    "intents",
    metadata,
    sa.Column("operation", Id(80), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("outcome", sa.String(12)),
    sa.Column("payload", Json, nullable=False),
    sa.Index("intents_outcome", "outcome"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", Name(200), primary_key=True),
    sa.Column("holder", Name(300), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", Name(200), primary_key=True),
    sa.Column("sequence", _NUMBER, nullable=False),
)

stops = sa.Table(
    "stops",
    metadata,
    sa.Column("name", Name(200), primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("actor", Name(300), nullable=False),
    sa.Column("reason", Words(500), nullable=False),
)

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("run_id", Id(200), sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("commit_id", Id(80), nullable=False),
    sa.Column("body", Json, nullable=False),
)

waivers = sa.Table(
    "waivers",
    metadata,
    sa.Column("waiver_id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("dataset", Name(200), nullable=False),
    sa.Column("check", Name(500), nullable=False),
    sa.Column("rows", _NUMBER, nullable=False),
    sa.Column("actor", Name(300), nullable=False),
    sa.Column("reason", Words(500), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("run_id", Id(200)),
    sa.Column("commit_id", Id(80)),
    sa.Column("report", Id(80)),
    sa.Column("until", UtcTime),
    sa.Column("ended_at", UtcTime),
    sa.Index("waivers_run", "run_id"),
    sa.Index("waivers_dataset", "dataset", "ended_at"),
)
