"""The windows in a transaction: claimed for runs, shortened, and accepted as gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.queries import select_last_claim
from dartifact.adapters.ledger.runs import RunTable
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.adapters.ledger.values import FoundRun
from dartifact.domain import errors, runs
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.runs import WINDOW_STATE, Phase, Run
from dartifact.domain.sources import HAND, Source
from dartifact.domain.windows import GAPS


class WindowTable:
    """The windows that runs claim, shorten and leave as gaps; every change comes with its event."""

    def __init__(self, transaction: Transaction, runs: RunTable) -> None:
        self._tx = transaction
        self._runs = runs

    def claim(
        self,
        source: Source,
        ingestor: str,
        lo: datetime,
        hi: datetime,
        *,
        after: datetime | None,
        actor: str,
        clock: datetime | None = None,
    ) -> Run:
        """Claim (lo, hi] for one ingestor: window, run and event.

        `after` is the last claimed hi the decision was made on; Conflict when somebody has claimed since. `clock` is
        how far the source could have been read.
        """
        shard = source.shard(ingestor)
        if self._tx.execute(select_last_claim(source.name, shard)).scalar() != after:
            raise errors.Conflict(f"another run of {source.name} claimed a window meanwhile", hint="run again")
        return self._add_run(source, ingestor, lo, hi, EventType.WINDOW_CLAIMED, actor, clock=clock)

    def claim_backfill(self, source: Source, ingestor: str, lo: datetime, hi: datetime, *, actor: str) -> Run:
        """Claim (lo, hi] once more, without moving the fetch cursor; it repairs what is a gap now and overlaps it."""
        w = t.windows.c
        query = sa.select(w.seq).where(w.source == source.name, w.shard == source.shard(ingestor), w.hi > lo, w.lo < hi)
        query = query.where(w.state.in_([state.value for state in GAPS])).order_by(w.seq)
        repairs = list(self._tx.execute(query).scalars())
        return self._add_run(
            source, ingestor, lo, hi, EventType.BACKFILL_CLAIMED, actor, backfill=True, repairs=repairs
        )

    def claim_by_hand(self, source: Source, now: datetime, reason: str, actor: str) -> Run:
        """Make a run of HAND over no stretch at all: it leaves no gap and moves no cursor."""
        return self._add_run(source, HAND, now, now, EventType.CHANGE_OPENED, actor, backfill=True, reason=reason)

    def shorten(self, run_id: str, hi: datetime, actor: str) -> None:
        """End the window of a run earlier: the next one starts there. Nothing when it ends there already.

        Conflict when it cannot: the run is no longer extracting, or a later claim has started at its old end.
        """
        run = self._runs.get(run_id)
        window = run.window
        if window.hi == hi:
            return
        last = self._tx.execute(select_last_claim(run.source, window.shard)).scalar()
        is_last = window.backfill or last == window.hi
        if run.phase is not Phase.EXTRACTING or not is_last or not window.lo < hi < window.hi:
            message = f"the window of {run_id} can no longer end at {hi.isoformat()}"
            raise errors.Conflict(message, hint="run again")
        self._tx.execute(t.windows.update().where(t.windows.c.seq == window.seq).values(hi=hi))
        self._tx.append(EventType.WINDOW_SHORTENED, actor, run=run_id, hi=hi.isoformat(), was=window.hi.isoformat())

    def accept_gap(self, run_id: str, reason: str, actor: str) -> Run:
        """Write down that the rows of a gap are missing for good; UsageError when the run left no gap."""
        run = self._runs.get(run_id)
        if run.window.state not in GAPS:
            message = f"the window of {run_id} is {run.window.state}: it is not a gap"
            raise errors.UsageError(message, hint=Command("status"))
        self._tx.execute(t.windows.update().where(t.windows.c.seq == run.window.seq).values(gap_reason=reason))
        self._tx.append(EventType.GAP_ACCEPTED, actor, run=run_id, reason=reason)
        return self._runs.get(run_id)

    def take_in(self, found: FoundRun, actor: str) -> None:
        """Add a run that the lake holds, with its window, in the phase that the lake shows."""
        w = t.windows.c
        taken = found.seq is not None and self._tx.execute(sa.select(w.seq).where(w.seq == found.seq)).first()
        same = sa.select(w.seq).where(
            w.source == found.source, w.shard == found.shard, w.hi == found.hi, w.backfill.is_(sa.false())
        )
        window = t.windows.insert().values(
            **({"seq": found.seq} if found.seq is not None and not taken else {}),
            source=found.source,
            shard=found.shard,
            lo=found.lo,
            hi=found.hi,
            state=WINDOW_STATE[found.phase].value,
            # one stretch is claimed once; what came twice was a backfill
            backfill=self._tx.execute(same).first() is not None or found.lo == found.hi,
            repairs=[],
        )
        seq = self._tx.execute(window.returning(w.seq)).scalar_one()
        if self._tx.connection.dialect.name == "postgresql":  # its counter does not see a number that it was given
            count = sa.func.setval(sa.func.pg_get_serial_sequence("windows", "seq"), sa.func.max(w.seq))
            self._tx.execute(sa.select(count))
        self._tx.execute(
            t.runs.insert().values(
                run_id=found.run_id,
                source=found.source,
                ingestor=found.ingestor,
                number=found.number,
                seq=seq,
                phase=found.phase.value,
                created_at=self._tx.now,
                commit_id=found.commit,
                rows=found.rows,
                reasons=list(found.reasons),
                attempts=0,
            )
        )
        span = {"lo": found.lo.isoformat(), "hi": found.hi.isoformat()}
        self._tx.append(EventType.RUN_ADOPTED, actor, run=found.run_id, seq=seq, **span, commit=found.commit)

    def _add_run(
        self,
        source: Source,
        ingestor: str,
        lo: datetime,
        hi: datetime,
        event: EventType,
        actor: str,
        *,
        clock: datetime | None = None,
        backfill: bool = False,
        repairs: Sequence[int] = (),
        **payload: Any,
    ) -> Run:
        window = t.windows.insert().values(
            source=source.name,
            shard=source.shard(ingestor),
            lo=lo,
            hi=hi,
            state=WINDOW_STATE[Phase.EXTRACTING].value,
            clock=clock,
            backfill=backfill,
            repairs=list(repairs),
        )
        seq = self._tx.execute(window.returning(t.windows.c.seq)).scalar_one()
        last = sa.select(sa.func.max(t.runs.c.number)).where(t.runs.c.ingestor == ingestor)
        number = self._tx.execute(last).scalar()
        number = runs.FIRST_NUMBER if number is None else number + 1
        run_id = runs.run_id(source.name, ingestor, hi, number)
        self._tx.execute(
            t.runs.insert().values(
                run_id=run_id,
                source=source.name,
                ingestor=ingestor,
                number=number,
                seq=seq,
                phase=Phase.EXTRACTING.value,
                created_at=self._tx.now,
                reasons=[],
                attempts=0,
            )
        )
        self._tx.append(event, actor, run=run_id, seq=seq, lo=lo.isoformat(), hi=hi.isoformat(), **payload)
        return self._runs.get(run_id)
