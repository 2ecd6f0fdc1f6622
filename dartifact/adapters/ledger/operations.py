"""What stations keep in a transaction to work side by side: intents, leases, cursors, stops and reports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.domain.checks import Report, Verdict
from dartifact.domain.events import EventType


class IntentTable:
    """What is about to be written to the lake."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def open(self, operation: str, kind: str, payload: dict[str, Any]) -> None:
        """Write down what is about to be written to the lake."""
        self._tx.execute(t.intents.insert().values(operation=operation, kind=kind, at=self._tx.now, payload=payload))

    def close(self, operation: str, outcome: str) -> bool:
        """Close an intent; False when it was closed before: then its facts are in the ledger already."""
        open_ = (t.intents.c.operation == operation) & t.intents.c.outcome.is_(None)
        update = t.intents.update().where(open_).values(outcome=outcome)
        return self._tx.execute(update).rowcount == 1


class LeaseTable:
    """Who may do what only one may do at a time, on the database's clock."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def take(self, name: str, holder: str, seconds: float) -> str | None:
        """Take or renew a lease on the database's clock; return None, or who holds it."""
        now = self._tx.execute(sa.select(self._database_clock())).scalar_one()
        other = self.find_holder(name)
        if other not in (None, holder):
            return other
        self._tx.execute(t.leases.delete().where(t.leases.c.name == name))
        self._tx.execute(t.leases.insert().values(name=name, holder=holder, until=now + seconds))
        return None

    def find_holder(self, name: str) -> str | None:
        """Return who holds a lease that has not run out."""
        row = self._tx.execute(sa.select(t.leases).where(t.leases.c.name == name)).mappings().first()
        now = self._tx.execute(sa.select(self._database_clock())).scalar_one()
        return str(row["holder"]) if row is not None and row["until"] > now else None

    def drop(self, name: str, holder: str) -> None:
        """Give a lease back if it is still ours."""
        self._tx.execute(t.leases.delete().where((t.leases.c.name == name) & (t.leases.c.holder == holder)))

    def _database_clock(self) -> sa.ColumnElement[float]:
        if self._tx.connection.dialect.name == "sqlite":
            return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Float)
        # now() would be the transaction's begin, before it waited for other writers
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)


class CursorTable:
    """How far somebody has read the events."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def start(self, name: str) -> None:
        """Create a cursor behind the newest event, so that it sees what comes from now on; nothing if it exists."""
        if self._tx.execute(sa.select(t.cursors).where(t.cursors.c.name == name)).first() is None:
            newest = self._tx.execute(sa.select(sa.func.max(t.events.c.sequence))).scalar()
            self._tx.execute(t.cursors.insert().values(name=name, sequence=newest or 0))

    def advance(self, name: str, to: int) -> None:
        """Move a cursor behind the event of that sequence; never back."""
        behind = (t.cursors.c.name == name) & (t.cursors.c.sequence < to)
        self._tx.execute(t.cursors.update().where(behind).values(sequence=to))


class StopTable:
    """What people have stopped: the line, or one ingestor."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def add(self, name: str, reason: str, event: EventType, actor: str) -> None:
        """Write down that the line, or one ingestor, is stopped; who stopped it first stays who did it."""
        if self._tx.execute(sa.select(t.stops).where(t.stops.c.name == name)).first() is None:
            values = {"name": name, "at": self._tx.now, "actor": actor, "reason": reason}
            self._tx.execute(t.stops.insert().values(**values))
        self._tx.append(event, actor, name=name, reason=reason)

    def remove(self, name: str, event: EventType, actor: str) -> bool:
        """Let what was stopped go on; False when it was not stopped."""
        if self._tx.execute(t.stops.delete().where(t.stops.c.name == name)).rowcount == 0:
            return False
        self._tx.append(event, actor, name=name)
        return True


class ReportTable:
    """The reports, each under its digest."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def save(self, report: Report, verdict: Verdict) -> str:
        """Keep a report under its digest; the same report again is fine."""
        digest = report.digest
        known = sa.select(t.reports.c.digest).where(t.reports.c.digest == digest)
        if self._tx.execute(known).first() is None:
            self._tx.execute(
                t.reports.insert().values(
                    digest=digest,
                    at=self._tx.now,
                    gate=report.gate.value,
                    commit_id=report.commit,
                    meta_range=report.meta_range,
                    verdict=verdict.kind.value,
                    body=report.to_json(),
                )
            )
        return digest
