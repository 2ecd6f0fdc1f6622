"""The waivers in a transaction: added and ended."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.domain import errors
from dartifact.domain.checks import Result
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.runs import Run


class WaiverTable:
    """The waivers; every change comes with its event."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def approve_failure(self, run: Run, result: Result, reason: str, actor: str) -> int:
        """Waive a failing check of one run, as it is now; return the waiver's number. The caller appends the event."""
        return self._insert(
            result.dataset,
            result.check,
            result.failing_rows,
            reason,
            actor,
            run_id=run.run_id,
            commit_id=run.commit,
            report=run.report,
        )

    def add(self, dataset: str, check: str, rows: int, until: datetime, reason: str, actor: str) -> int:
        """Waive a check of a dataset up to a date; return the waiver's number."""
        number = self._insert(dataset, check, rows, reason, actor, until=until)
        self._tx.append(
            EventType.CHECK_WAIVED,
            actor,
            waiver=number,
            dataset=dataset,
            check=check,
            rows=rows,
            until=until.isoformat(),
            reason=reason,
        )
        return number

    def end(self, number: int, event: EventType, actor: str, **payload: str) -> bool:
        """End a waiver; False when it had ended, NotFound when there is none of that number."""
        w = t.waivers.c
        found = self._tx.execute(sa.select(t.waivers).where(w.waiver_id == number)).mappings().first()
        if found is None:
            raise errors.NotFound(f"there is no waiver {number}", hint=Command("waivers"))
        update = t.waivers.update().where(w.waiver_id == number, w.ended_at.is_(None)).values(ended_at=self._tx.now)
        if self._tx.execute(update).rowcount == 0:
            return False
        self._tx.append(
            event, actor, run=found["run_id"], waiver=number, dataset=found["dataset"], check=found["check"], **payload
        )
        return True

    def _insert(
        self,
        dataset: str,
        check: str,
        rows: int,
        reason: str,
        actor: str,
        *,
        until: datetime | None = None,
        run_id: str | None = None,
        commit_id: str | None = None,
        report: str | None = None,
    ) -> int:
        values = {
            "dataset": dataset,
            "check": check,
            "rows": rows,
            "reason": reason,
            "actor": actor,
            "at": self._tx.now,
            "until": until,
            "run_id": run_id,
            "commit_id": commit_id,
            "report": report,
        }
        insert = t.waivers.insert().values(**values).returning(t.waivers.c.waiver_id)
        return int(self._tx.execute(insert).scalar_one())
