"""The tables of the ledger. State tables change only together with an event, in one transaction."""

from __future__ import annotations

import sqlalchemy as sa

from dartifact.adapters.ledger.kinds import Id, Json, Name, UtcTime, Words

VERSION = 7
OLDER = frozenset({1, 2, 3, 4, 5, 6})
"""The versions that `migration.migrate` brings to this one when such a ledger is opened."""

metadata = sa.MetaData()


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
