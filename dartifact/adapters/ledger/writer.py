"""One transaction of the ledger: a state change and its event are one call, so that neither exists alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.waivers import WaiverWriter
from dartifact.domain import errors, runs
from dartifact.domain.checks import Gate, Report, Verdict
from dartifact.domain.dartifacts import TRANSITIONS as DARTIFACT_TRANSITIONS
from dartifact.domain.dartifacts import Blame, DartifactState
from dartifact.domain.dartifacts import check_transition as check_dartifact_transition
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, Plan
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import WINDOW_STATE, Phase, Run
from dartifact.domain.traffic import Consumer, Soak
from dartifact.domain.windows import DONE


class Writer(WaiverWriter):
    """The writing side of one transaction; made by `Ledger.write()`."""

    # Runs

    def move_run(
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
        old = self.run(run_id)
        if expect is not None and old.phase is not expect:
            raise errors.Conflict(f"run {run_id} is {old.phase} by now, not {expect}", hint=f"dartifact show {run_id}")
        if not adopt:
            runs.check_transition(run_id, old.phase, to)
            self.refuse_while_merging(run_id)
        values: dict[str, Any] = {"phase": to.value, **(changes or {})}
        if gate is not None:
            values["gate"] = gate.value
        self._connection.execute(t.runs.update().where(t.runs.c.run_id == run_id).values(**values))
        state = WINDOW_STATE[to]
        window: dict[str, Any] = {"state": state.value}
        if state in DONE:
            window["gap_reason"] = None  # were it taken out again, nobody has accepted that
        self._connection.execute(t.windows.update().where(t.windows.c.seq == old.window.seq).values(**window))
        if gate is not None:
            payload["gate"] = gate.value
        self.append(event, actor, run=run_id, operation=operation, **{"from": old.phase.value}, **payload)
        return self.run(run_id)

    def refuse_while_merging(self, run_id: str) -> None:
        """Raise Locked while a merge of the run may be under way."""
        # The merge may be in the lake already, or come true after whoever asked for it has died.
        query = sa.select(t.intents.c.payload).where(t.intents.c.outcome.is_(None), t.intents.c.kind == "advance")
        if any(run_id in payload["lands"] for payload in self._connection.execute(query).scalars()):
            raise errors.Locked(f"run {run_id} is being merged right now", hint="dartifact integrate")

    def note_attempt(self, run_id: str, actor: str, reason: str) -> int:
        """Count one attempt of a run that could not be finished and return how many there were."""
        attempts = self.run(run_id).attempts + 1
        update = t.runs.update().where(t.runs.c.run_id == run_id).values(attempts=attempts, reasons=[reason])
        self._connection.execute(update)
        self.append(EventType.RUN_ERRORED, actor, run=run_id, reason=reason, attempt=attempts)
        return attempts

    def note_waiting(self, run_id: str, blocker: str | None, reasons: Iterable[str], actor: str) -> None:
        """Say on a queued run which earlier run it waits for, None when it waits no longer."""
        update = t.runs.update().where(t.runs.c.run_id == run_id).values(reasons=list(reasons))
        self._connection.execute(update)
        self.append(
            EventType.RUN_KEPT_WAITING if blocker else EventType.RUN_FREED, actor, run=run_id, waits_for=blocker
        )

    def request_revert(self, run_id: str, reason: str, actor: str) -> None:
        """Put a run that is in `main` into the merge queue to be taken out."""
        run = self.run(run_id)
        runs.check_transition(run_id, run.phase, Phase.REVERTED)
        self._connection.execute(t.runs.update().where(t.runs.c.run_id == run_id).values(revert_reason=reason[:500]))
        self.append(EventType.REVERT_REQUESTED, actor, run=run_id, reason=reason)

    def mark_served(self, served: Iterable[str], before: Iterable[str]) -> None:
        """Turn `merged` runs that production now shows into `live` ones, and back those it no longer shows.

        Silent about single runs: the event of the settled dartifact, whose passport names its runs, says it for all.
        """
        now, then = set(served), set(before)
        for names, old, new in ((now - then, Phase.MERGED, Phase.LIVE), (then - now, Phase.LIVE, Phase.MERGED)):
            for run_id in names:
                where = (t.runs.c.run_id == run_id) & (t.runs.c.phase == old.value)
                self._connection.execute(t.runs.update().where(where).values(phase=new.value))

    def save_report(self, report: Report, verdict: Verdict) -> str:
        """Keep a report under its digest; the same report again is fine."""
        digest = report.digest
        known = sa.select(t.reports.c.digest).where(t.reports.c.digest == digest)
        if self._connection.execute(known).first() is None:
            self._connection.execute(
                t.reports.insert().values(
                    digest=digest,
                    at=self._now,
                    gate=report.gate.value,
                    commit_id=report.commit,
                    meta_range=report.meta_range,
                    verdict=verdict.kind.value,
                    body=report.to_json(),
                )
            )
        return digest

    def save_profile(self, run_id: str, commit: str, profile: Profile | None) -> None:
        """Keep what a run's rows look like at a commit, in place of what was kept before."""
        self._connection.execute(t.profiles.delete().where(t.profiles.c.run_id == run_id))
        if profile is not None:
            values = {"run_id": run_id, "commit_id": commit, "body": profile.to_json()}
            self._connection.execute(t.profiles.insert().values(**values))

    # Intents

    def open_intent(self, operation: str, kind: str, payload: dict[str, Any]) -> None:
        """Write down what is about to be written to the lake."""
        self._connection.execute(
            t.intents.insert().values(operation=operation, kind=kind, at=self._now, payload=payload)
        )

    def close_intent(self, operation: str, outcome: str) -> bool:
        """Close an intent; False when it was closed before: then its facts are in the ledger already."""
        open_ = (t.intents.c.operation == operation) & t.intents.c.outcome.is_(None)
        update = t.intents.update().where(open_).values(outcome=outcome)
        return self._connection.execute(update).rowcount == 1

    # Dartifacts and production

    def add_dartifact(
        self, dartifact_id: str, *, code_digest: str, main_commit: str, runs: Iterable[str], actor: str
    ) -> None:
        """Start a dartifact in state `building`; Conflict when somebody has started it meanwhile."""
        known = sa.select(t.dartifacts.c.created).where(t.dartifacts.c.dartifact_id == dartifact_id)
        if self._connection.execute(known).first() is not None:
            raise errors.Conflict(f"dartifact {dartifact_id} was started meanwhile", hint="dartifact stage")
        self._connection.execute(
            t.dartifacts.insert().values(
                dartifact_id=dartifact_id,
                state=DartifactState.BUILDING.value,
                code_digest=code_digest,
                main_commit=main_commit,
                runs=sorted(runs),
                created_at=self._now,
                reasons=[],
            )
        )
        self.append(EventType.DARTIFACT_STARTED, actor, dartifact=dartifact_id, main_commit=main_commit)

    def move_dartifact(
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
        old = self._connection.execute(query).scalar()
        if old is None:
            raise errors.NotFound(f"there is no dartifact {dartifact_id}", hint="dartifact status")
        check_dartifact_transition(dartifact_id, DartifactState(old), to)
        where = t.dartifacts.c.dartifact_id == dartifact_id
        self._connection.execute(t.dartifacts.update().where(where).values(state=to.value, **(changes or {})))
        self.append(event, actor, dartifact=dartifact_id, operation=operation, **{"from": old}, **payload)

    def swap_pointer(
        self, old: LivePointer, new: LivePointer, event: EventType, actor: str, **payload: Any
    ) -> LivePointer:
        """Replace the live pointer if its generation still is the old one; StalePointer otherwise."""
        where = t.live_pointer.c.generation == old.generation
        update = t.live_pointer.update().where(where).values(generation=new.generation, body=new.to_json())
        if self._connection.execute(update).rowcount != 1:
            raise errors.StalePointer(
                f"the live pointer moved past generation {old.generation}", hint="dartifact status"
            )
        self.append(event, actor, dartifact=new.live, generation=new.generation, pointer=new.to_json(), **payload)
        return new

    def start_promotion(self, plan: Plan) -> None:
        """Write down a plan as it claims its slot: nothing is left of one that dies before."""
        self._connection.execute(
            t.promotions.insert().values(
                plan_id=plan.plan_id,
                dartifact_id=plan.dartifact,
                plan=plan.to_json(),
                done=0,
                state="running",
                started_at=self._now,
            )
        )

    def move_promotion(self, plan_id: str, *, done: int | None = None, state: str | None = None) -> bool:
        """Count a promotion's finished steps, or end it as done, aborted or superseded; False when it has ended."""
        values: dict[str, Any] = {}
        if done is not None:
            values["done"] = done
        if state is not None:
            values |= {"state": state, "ended_at": self._now}
        runs = (t.promotions.c.plan_id == plan_id) & (t.promotions.c.state == "running")
        return self._connection.execute(t.promotions.update().where(runs).values(**values)).rowcount == 1

    def keep_soak(self, plan_id: str, number: int, soak: Soak) -> None:
        """Write down how long a step of a plan was watched."""
        where = (t.soaks.c.plan_id == plan_id) & (t.soaks.c.number == number)
        self._connection.execute(t.soaks.delete().where(where))
        values = {"plan_id": plan_id, "number": number, "seconds": soak.seconds, "looked_at": soak.looked_at}
        self._connection.execute(t.soaks.insert().values(**values))

    def note_consumer(self, consumer: Consumer) -> None:
        """Write down what a named consumer was told to read."""
        self._connection.execute(t.consumers.delete().where(t.consumers.c.name == consumer.name))
        self._connection.execute(
            t.consumers.insert().values(
                name=consumer.name,
                slot=consumer.slot,
                dartifact_id=consumer.dartifact,
                commit_id=consumer.commit,
                plan_id=consumer.plan,
                asked_at=consumer.asked_at,
            )
        )

    def add_blame(self, blame: Blame) -> None:
        """Remember what later dartifacts must not contain."""
        where = (t.blames.c.kind == blame.kind) & (t.blames.c.value == blame.value)
        if self._connection.execute(sa.select(t.blames).where(where)).first() is None:
            self._connection.execute(t.blames.insert().values(kind=blame.kind, value=blame.value))

    def drop_blame(self, blame: Blame) -> bool:
        """Forget a blame: a fixed run may land again. False when there was none."""
        where = (t.blames.c.kind == blame.kind) & (t.blames.c.value == blame.value)
        return self._connection.execute(t.blames.delete().where(where)).rowcount == 1

    def spoil_dartifacts(self, run_id: str, actor: str, reason: str) -> None:
        """Make all dartifacts that hold a run's old rows bad, for good."""
        built = sa.select(t.dartifacts.c.dartifact_id, t.dartifacts.c.state, t.dartifacts.c.runs)
        for name, state, held in self._connection.execute(built).all():
            if run_id in held and DartifactState.BAD in DARTIFACT_TRANSITIONS[DartifactState(state)]:
                self.move_dartifact(name, DartifactState.BAD, EventType.DARTIFACT_BAD, actor,
                                    changes={"reasons": [reason]}, reason=reason)  # fmt: skip

    # Cursors: how far somebody has read the events

    def start_cursor(self, name: str) -> None:
        """Create a cursor behind the newest event, so that it sees what comes from now on; nothing if it exists."""
        if self._connection.execute(sa.select(t.cursors).where(t.cursors.c.name == name)).first() is None:
            newest = self._connection.execute(sa.select(sa.func.max(t.events.c.sequence))).scalar()
            self._connection.execute(t.cursors.insert().values(name=name, sequence=newest or 0))

    def advance_cursor(self, name: str, to: int) -> None:
        """Move a cursor behind the event of that sequence; never back."""
        behind = (t.cursors.c.name == name) & (t.cursors.c.sequence < to)
        self._connection.execute(t.cursors.update().where(behind).values(sequence=to))

    # What people have stopped

    def stop(self, name: str, reason: str, event: EventType, actor: str) -> None:
        """Write down that the line, or one ingestor, is stopped; who stopped it first stays who did it."""
        if self._connection.execute(sa.select(t.stops).where(t.stops.c.name == name)).first() is None:
            values = {"name": name, "at": self._now, "actor": actor, "reason": reason[:500]}
            self._connection.execute(t.stops.insert().values(**values))
        self.append(event, actor, name=name, reason=reason)

    def start(self, name: str, event: EventType, actor: str) -> bool:
        """Let what was stopped go on; False when it was not stopped."""
        if self._connection.execute(t.stops.delete().where(t.stops.c.name == name)).rowcount == 0:
            return False
        self.append(event, actor, name=name)
        return True

    # Leases

    def take_lease(self, name: str, holder: str, seconds: float) -> str | None:
        """Take or renew a lease on the database's clock; return None, or who holds it."""
        now = self._connection.execute(sa.select(self._database_clock())).scalar_one()
        other = self.find_holder(name)
        if other not in (None, holder):
            return other
        self._connection.execute(t.leases.delete().where(t.leases.c.name == name))
        self._connection.execute(t.leases.insert().values(name=name, holder=holder, until=now + seconds))
        return None

    def find_holder(self, name: str) -> str | None:
        """Return who holds a lease that has not run out."""
        row = self._connection.execute(sa.select(t.leases).where(t.leases.c.name == name)).mappings().first()
        now = self._connection.execute(sa.select(self._database_clock())).scalar_one()
        return str(row["holder"]) if row is not None and row["until"] > now else None

    def drop_lease(self, name: str, holder: str) -> None:
        """Give a lease back if it is still ours."""
        self._connection.execute(t.leases.delete().where((t.leases.c.name == name) & (t.leases.c.holder == holder)))

    def _database_clock(self) -> sa.ColumnElement[float]:
        if self._connection.dialect.name == "sqlite":
            return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Float)
        # now() would be the transaction's begin, before it waited for other writers
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)
