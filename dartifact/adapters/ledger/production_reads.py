"""What the ledger tells of dartifacts, production and its consumers."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.database import Database
from dartifact.adapters.ledger.rows import to_consumer, to_dartifact
from dartifact.adapters.ledger.values import Promotion
from dartifact.domain import errors
from dartifact.domain.dartifacts import Blame, BlameKind, Dartifact, DartifactState
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan, PromotionState
from dartifact.domain.traffic import Consumer, Soak


class ProductionReads:
    """The part of `Ledger` that reads dartifacts, the live pointer, promotions, blames, soaks and consumers."""

    _database: Database

    def dartifact(self, dartifact_id: str) -> Dartifact:
        """Return one dartifact."""
        rows = self._database.rows(sa.select(t.dartifacts).where(t.dartifacts.c.dartifact_id == dartifact_id))
        if not rows:
            raise errors.NotFound(f"there is no dartifact {dartifact_id}", hint=Command("status"))
        return to_dartifact(rows[0])

    def has_dartifact(self, name: str) -> bool:
        """Say whether a name is that of a dartifact."""
        return bool(self._database.rows(sa.select(t.dartifacts.c.created).where(t.dartifacts.c.dartifact_id == name)))

    def dartifacts(
        self, *, states: Collection[DartifactState] | None = None, most: int | None = None
    ) -> tuple[Dartifact, ...]:
        """Return dartifacts, the newest first."""
        query = sa.select(t.dartifacts).order_by(t.dartifacts.c.created.desc()).limit(most)
        if states is not None:
            query = query.where(t.dartifacts.c.state.in_([state.value for state in states]))
        return tuple(to_dartifact(row) for row in self._database.rows(query))

    def pointer(self) -> LivePointer:
        """Return the live pointer."""
        return LivePointer.from_json(self._database.rows(sa.select(t.live_pointer.c.body))[0]["body"])

    def blames(self) -> tuple[Blame, ...]:
        """Return what rollbacks found guilty."""
        return tuple(Blame(BlameKind(row["kind"]), row["value"]) for row in self._database.rows(sa.select(t.blames)))

    def promotions(self, *, state: PromotionState | None = None, most: int = 50) -> tuple[Promotion, ...]:
        """Return promotions and rollbacks, the newest first."""
        query = sa.select(t.promotions).order_by(t.promotions.c.number.desc()).limit(most)
        if state is not None:
            query = query.where(t.promotions.c.state == state.value)
        return tuple(
            Promotion(
                Plan.from_json(row["plan"]),
                row["done"],
                PromotionState(row["state"]),
                row["started_at"],
                row["ended_at"],
            )
            for row in self._database.rows(query)
        )

    def soak(self, plan_id: str, number: int) -> Soak | None:
        """Return how long the soak that is a plan's step of that number has lasted, None before it has begun."""
        where = (t.soaks.c.plan_id == plan_id) & (t.soaks.c.number == number)
        rows = self._database.rows(sa.select(t.soaks.c.seconds, t.soaks.c.looked_at).where(where))
        return Soak(**rows[0]) if rows else None

    def consumer(self, name: str) -> Consumer | None:
        """Return what a named consumer was told last, None if it never asked."""
        rows = self._database.rows(sa.select(t.consumers).where(t.consumers.c.name == name))
        return to_consumer(rows[0]) if rows else None

    def consumers(self, *, plan: str, slot: str) -> tuple[Consumer, ...]:
        """Return the consumers that were told to read a slot while a plan held it."""
        query = sa.select(t.consumers).where(t.consumers.c.plan_id == plan, t.consumers.c.slot == slot)
        return tuple(to_consumer(row) for row in self._database.rows(query.order_by(t.consumers.c.name)))
