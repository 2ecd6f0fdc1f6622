"""Production in a transaction: the live pointer, promotions with their soaks, and consumers."""

from __future__ import annotations

from typing import Any

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan, PromotionState
from dartifact.domain.traffic import Consumer, Soak


class ProductionTables:
    """The live pointer, the promotions that move it, and who reads what."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def swap_pointer(
        self, old: LivePointer, new: LivePointer, event: EventType, actor: str, **payload: Any
    ) -> LivePointer:
        """Replace the live pointer if its generation still is the old one; StalePointer otherwise."""
        where = t.live_pointer.c.generation == old.generation
        update = t.live_pointer.update().where(where).values(generation=new.generation, body=new.to_json())
        if self._tx.execute(update).rowcount != 1:
            raise errors.StalePointer(
                f"the live pointer moved past generation {old.generation}", hint=Command("status")
            )
        self._tx.append(event, actor, dartifact=new.live, generation=new.generation, pointer=new.to_json(), **payload)
        return new

    def start_promotion(self, plan: Plan) -> None:
        """Write down a plan as it claims its slot: nothing is left of one that dies before."""
        self._tx.execute(
            t.promotions.insert().values(
                plan_id=plan.plan_id,
                dartifact_id=plan.dartifact,
                plan=plan.to_json(),
                done=0,
                state=PromotionState.RUNNING.value,
                started_at=self._tx.now,
            )
        )

    def move_promotion(self, plan_id: str, *, done: int | None = None, state: PromotionState | None = None) -> bool:
        """Count a promotion's finished steps, or end it as done or aborted; False when it has ended."""
        values: dict[str, Any] = {}
        if done is not None:
            values["done"] = done
        if state is not None:
            values |= {"state": state.value, "ended_at": self._tx.now}
        runs = (t.promotions.c.plan_id == plan_id) & (t.promotions.c.state == PromotionState.RUNNING.value)
        return self._tx.execute(t.promotions.update().where(runs).values(**values)).rowcount == 1

    def keep_soak(self, plan_id: str, number: int, soak: Soak) -> None:
        """Write down how long a step of a plan was watched."""
        where = (t.soaks.c.plan_id == plan_id) & (t.soaks.c.number == number)
        self._tx.execute(t.soaks.delete().where(where))
        values = {"plan_id": plan_id, "number": number, "seconds": soak.seconds, "looked_at": soak.looked_at}
        self._tx.execute(t.soaks.insert().values(**values))

    def note_consumer(self, consumer: Consumer) -> None:
        """Write down what a named consumer was told to read."""
        self._tx.execute(t.consumers.delete().where(t.consumers.c.name == consumer.name))
        self._tx.execute(
            t.consumers.insert().values(
                name=consumer.name,
                slot=consumer.slot,
                dartifact_id=consumer.dartifact,
                commit_id=consumer.commit,
                plan_id=consumer.plan,
                asked_at=consumer.asked_at,
            )
        )
