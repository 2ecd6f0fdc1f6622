"""The runs in a transaction: in which phase they are, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.queries import RUNS
from dartifact.adapters.ledger.rows import to_run
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.domain import errors, runs
from dartifact.domain.checks import Gate
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import WINDOW_STATE, Phase, Run
from dartifact.domain.windows import DONE


class RunTable:
    """The runs, and the windows that follow them; every change comes with its event."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def get(self, run_id: str) -> Run:
        """Return a run as it stands inside this transaction."""
        found = self._tx.execute(RUNS.where(t.runs.c.run_id == run_id)).mappings().first()
        if found is None:
            raise errors.NotFound(f"there is no run {run_id}", hint=Command("runs"))
        return to_run(dict(found))

    def move(
        self,
        run_id: str,
        to: Phase,
        event: EventType,
        actor: str,
        *,
        expect: Phase | None = None,
        adopt: bool = False,
        gate: Gate | None = None,
        operation: str | None = None,
        changes: dict[str, Any] | None = None,
        **payload: Any,
    ) -> Run:
        """Bring a run into a phase, its window into the state that follows, and append the event.

        `expect` refuses (Conflict) when somebody moved the run meanwhile. `adopt` skips the transition table: what the
        lake shows is a fact. `changes` are further columns of the run.
        """
        old = self.get(run_id)
        if expect is not None and old.phase is not expect:
            raise errors.Conflict(f"run {run_id} is now {old.phase}, not {expect}", hint=Command("show", run_id))
        if not adopt:
            runs.check_transition(run_id, old.phase, to)
            self.refuse_while_merging(run_id)
        values: dict[str, Any] = {"phase": to.value, **(changes or {})}
        if gate is not None:
            values["gate"] = gate.value
        self._tx.execute(t.runs.update().where(t.runs.c.run_id == run_id).values(**values))
        state = WINDOW_STATE[to]
        window: dict[str, Any] = {"state": state.value}
        if state in DONE:
            window["gap_reason"] = None  # were it taken out again, nobody has accepted that
        self._tx.execute(t.windows.update().where(t.windows.c.seq == old.window.seq).values(**window))
        if gate is not None:
            payload["gate"] = gate.value
        self._tx.append(event, actor, run=run_id, operation=operation, **{"from": old.phase.value}, **payload)
        return self.get(run_id)

    def refuse_while_merging(self, run_id: str) -> None:
        """Raise Locked while a merge of the run may be under way."""
        # The merge may be in the lake already, or come true after whoever asked for it has died.
        query = sa.select(t.intents.c.payload).where(t.intents.c.outcome.is_(None), t.intents.c.kind == "advance")
        if any(run_id in payload["lands"] for payload in self._tx.execute(query).scalars()):
            raise errors.Locked(f"run {run_id} is being merged right now", hint=Command("integrate"))

    def note_attempt(self, run_id: str, actor: str, reason: str) -> int:
        """Count one attempt of a run that could not be finished and return how many there were."""
        attempts = self.get(run_id).attempts + 1
        update = t.runs.update().where(t.runs.c.run_id == run_id).values(attempts=attempts, reasons=[reason])
        self._tx.execute(update)
        self._tx.append(EventType.RUN_ERRORED, actor, run=run_id, reason=reason, attempt=attempts)
        return attempts

    def note_waiting(self, run_id: str, blocker: str | None, reasons: Iterable[str], actor: str) -> None:
        """Say on a queued run which earlier run it waits for, None when it waits no longer."""
        update = t.runs.update().where(t.runs.c.run_id == run_id).values(reasons=list(reasons))
        self._tx.execute(update)
        self._tx.append(
            EventType.RUN_KEPT_WAITING if blocker else EventType.RUN_FREED, actor, run=run_id, waits_for=blocker
        )

    def request_revert(self, run_id: str, reason: str, actor: str) -> None:
        """Put a run that is in `main` into the merge queue to be taken out."""
        run = self.get(run_id)
        runs.check_transition(run_id, run.phase, Phase.REVERTED)
        self._tx.execute(t.runs.update().where(t.runs.c.run_id == run_id).values(revert_reason=reason))
        self._tx.append(EventType.REVERT_REQUESTED, actor, run=run_id, reason=reason)

    def mark_served(self, served: Iterable[str], before: Iterable[str]) -> None:
        """Turn `merged` runs that production now shows into `live` ones, and back those it no longer shows.

        Silent about single runs: the event of the settled dartifact, whose passport names its runs, says it for all.
        """
        now, then = set(served), set(before)
        for names, old, new in ((now - then, Phase.MERGED, Phase.LIVE), (then - now, Phase.LIVE, Phase.MERGED)):
            for run_id in names:
                where = (t.runs.c.run_id == run_id) & (t.runs.c.phase == old.value)
                self._tx.execute(t.runs.update().where(where).values(phase=new.value))

    def save_profile(self, run_id: str, commit: str, profile: Profile | None) -> None:
        """Keep what a run's rows look like at a commit, in place of what was kept before."""
        self._tx.execute(t.profiles.delete().where(t.profiles.c.run_id == run_id))
        if profile is not None:
            values = {"run_id": run_id, "commit_id": commit, "body": profile.to_json()}
            self._tx.execute(t.profiles.insert().values(**values))
