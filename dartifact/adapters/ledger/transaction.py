"""One transaction of the ledger: what the tables share that are written in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import chain
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.kinds import store_as
from dartifact.domain.events import EventType


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction; all that is written in it is written at `now`, from `place`."""

    connection: sa.Connection
    now: datetime
    place: str = ""

    def execute(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        """Execute one statement."""
        return self.connection.execute(statement)

    def append(
        self,
        type: EventType,
        actor: str,
        *,
        run: str | None = None,
        dartifact: str | None = None,
        operation: str | None = None,
        **payload: Any,
    ) -> None:
        """Append one event; ValueError when its name is not one of `EventType`."""
        event = {
            "at": self.now,
            "type": EventType(type).value,
            "actor": actor,
            "place": self.place,
            "run_id": run,
            "dartifact_id": dartifact,
            "operation": operation,
            "payload": payload,
        }
        stored = store_as(t.events, event)
        sealed = chain.seal(chain.read_last_seal(self.connection), stored)
        self.execute(t.events.insert().values(seal=sealed, **stored))
