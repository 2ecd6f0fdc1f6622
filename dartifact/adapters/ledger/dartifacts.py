"""The dartifacts in a transaction: in which state they are, and what later ones must not contain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.adapters.ledger.values import FoundDartifact
from dartifact.domain import errors
from dartifact.domain.dartifacts import TRANSITIONS, Blame, DartifactState, check_transition
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command


class DartifactTable:
    """The dartifacts, and what later ones must not contain; every change of a dartifact comes with its event."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def add(self, dartifact_id: str, *, code_digest: str, main_commit: str, runs: Iterable[str], actor: str) -> None:
        """Start a dartifact in state `building`; Conflict when somebody has started it meanwhile."""
        known = sa.select(t.dartifacts.c.created).where(t.dartifacts.c.dartifact_id == dartifact_id)
        if self._tx.execute(known).first() is not None:
            raise errors.Conflict(f"dartifact {dartifact_id} was started meanwhile", hint=Command("stage"))
        self._tx.execute(
            t.dartifacts.insert().values(
                dartifact_id=dartifact_id,
                state=DartifactState.BUILDING.value,
                code_digest=code_digest,
                main_commit=main_commit,
                runs=sorted(runs),
                created_at=self._tx.now,
                reasons=[],
            )
        )
        self._tx.append(EventType.DARTIFACT_STARTED, actor, dartifact=dartifact_id, main_commit=main_commit)

    def take_in(self, found: FoundDartifact, actor: str) -> None:
        """Add a dartifact that the lake keeps."""
        self._tx.execute(
            t.dartifacts.insert().values(
                dartifact_id=found.dartifact_id,
                state=found.state.value,
                code_digest=found.code_digest,
                main_commit=found.main_commit,
                runs=sorted(found.runs),
                created_at=found.built_at,
                commit_id=found.commit,
                meta_range=found.meta_range,
                reasons=[],
                passport=found.passport,
            )
        )
        self._tx.append(EventType.DARTIFACT_ADOPTED, actor, dartifact=found.dartifact_id, commit=found.commit)

    def show_live(self, dartifact_id: str, actor: str) -> None:
        """Write down which dartifact is live, whatever the ledger said: what the lake shows is a fact."""
        d = t.dartifacts.c
        others = (d.state == DartifactState.LIVE.value) & (d.dartifact_id != dartifact_id)
        self._tx.execute(t.dartifacts.update().where(others).values(state=DartifactState.SUPERSEDED.value))
        this = (d.dartifact_id == dartifact_id) & (d.state != DartifactState.LIVE.value)
        live = t.dartifacts.update().where(this).values(state=DartifactState.LIVE.value)
        if self._tx.execute(live).rowcount:
            self._tx.append(EventType.DARTIFACT_LIVE, actor, dartifact=dartifact_id)

    def move(
        self,
        dartifact_id: str,
        to: DartifactState,
        event: EventType,
        actor: str,
        *,
        operation: str | None = None,
        changes: dict[str, Any] | None = None,
        **payload: Any,
    ) -> None:
        """Bring a dartifact into a state and append the event."""
        query = sa.select(t.dartifacts.c.state).where(t.dartifacts.c.dartifact_id == dartifact_id)
        old = self._tx.execute(query).scalar()
        if old is None:
            raise errors.NotFound(f"there is no dartifact {dartifact_id}", hint=Command("status"))
        check_transition(dartifact_id, DartifactState(old), to)
        where = t.dartifacts.c.dartifact_id == dartifact_id
        self._tx.execute(t.dartifacts.update().where(where).values(state=to.value, **(changes or {})))
        self._tx.append(event, actor, dartifact=dartifact_id, operation=operation, **{"from": old}, **payload)

    def mark_bad(self, run_id: str, actor: str, reason: str) -> None:
        """Make all dartifacts that hold a run's old rows bad, for good."""
        built = sa.select(t.dartifacts.c.dartifact_id, t.dartifacts.c.state, t.dartifacts.c.runs)
        for name, state, held in self._tx.execute(built).all():
            if run_id in held and DartifactState.BAD in TRANSITIONS[DartifactState(state)]:
                self.move(
                    name,
                    DartifactState.BAD,
                    EventType.DARTIFACT_BAD,
                    actor,
                    changes={"reasons": [reason]},
                    reason=reason,
                )

    def add_blame(self, blame: Blame) -> None:
        """Remember what later dartifacts must not contain."""
        where = (t.blames.c.kind == blame.kind.value) & (t.blames.c.value == blame.value)
        if self._tx.execute(sa.select(t.blames).where(where)).first() is None:
            self._tx.execute(t.blames.insert().values(kind=blame.kind.value, value=blame.value))

    def drop_blame(self, blame: Blame) -> bool:
        """Forget a blame: a fixed run may land again. False when there was none."""
        where = (t.blames.c.kind == blame.kind.value) & (t.blames.c.value == blame.value)
        return self._tx.execute(t.blames.delete().where(where)).rowcount == 1
