"""The chain of events: each carries a seal over itself and all before it, and the database refuses to change one.

Who holds the database can still rewrite all of it, chain included; what stands elsewhere (an export, a backup) then no
longer fits. The scheme is that of a hash chain: seal(n) = sha256(seal(n-1), event n).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t

_SEALED = ("at", "type", "actor", "place", "run_id", "dartifact_id", "operation", "payload")
_AT_ONCE = 5_000
_FUNCTION = """CREATE OR REPLACE FUNCTION refuse_change_of_events() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'events are append-only'; END $$ LANGUAGE plpgsql"""


def seal(before: str, event: Mapping[str, Any]) -> str:
    """Return the seal of an event, given the seal of the one before it (empty for the first)."""
    sealed = {name: event[name] for name in _SEALED}
    sealed["at"] = event["at"].astimezone(UTC).isoformat(timespec="microseconds")
    # as the database gives it back: keys are texts, tuples are lists
    text = json.dumps(sealed, sort_keys=True, default=str)
    return hashlib.sha256(f"{before}{text}".encode()).hexdigest()


def read_last_seal(connection: sa.Connection) -> str:
    """Return the seal of the newest event, empty before the first."""
    query = sa.select(t.events.c.seal).order_by(t.events.c.sequence.desc()).limit(1)
    return connection.execute(query).scalar() or ""


def find_break(connection: sa.Connection) -> int | None:
    """Return the first event that does not fit its seal; None when all do. Reads every event."""
    before, after = "", 0
    while rows := _read(connection, after):
        for row in rows:
            if row["seal"] != seal(before, row):
                return int(row["sequence"])
            before = row["seal"]
        after = rows[-1]["sequence"]
    return None


def seal_all(connection: sa.Connection) -> None:
    """Seal the events of a ledger that had no seals, inside the caller's transaction."""
    before, after = "", 0
    change = t.events.update().where(t.events.c.sequence == sa.bindparam("of")).values(seal=sa.bindparam("as_is"))
    while rows := _read(connection, after):
        sealed = []
        for row in rows:
            before = seal(before, row)
            sealed.append({"of": row["sequence"], "as_is": before})
        connection.execute(change, sealed)
        after = rows[-1]["sequence"]


def refuse_changes(connection: sa.Connection) -> None:
    """Let the database refuse to change or delete an event."""
    if connection.dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS events_no_{deed.lower()} BEFORE {deed} ON events "
                "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
            )
        return
    connection.exec_driver_sql(_FUNCTION)
    connection.exec_driver_sql("DROP TRIGGER IF EXISTS events_no_change ON events")
    connection.exec_driver_sql(
        "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_events()"
    )


def _read(connection: sa.Connection, after: int) -> list[dict[str, Any]]:
    query = sa.select(t.events).where(t.events.c.sequence > after).order_by(t.events.c.sequence).limit(_AT_ONCE)
    return [dict(row) for row in connection.execute(query).mappings()]
