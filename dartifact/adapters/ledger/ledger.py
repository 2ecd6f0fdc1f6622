"""The ledger: what happened and what stands, in SQLite or PostgreSQL. Writes go through `Ledger.write()`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import sqlalchemy as sa

from dartifact.adapters.ledger import chain, queries
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.connections import PATIENCE
from dartifact.adapters.ledger.database import Database
from dartifact.adapters.ledger.production_reads import ProductionReads
from dartifact.adapters.ledger.rows import to_run, to_waiver, to_window
from dartifact.adapters.ledger.values import Event, Intent, Stop
from dartifact.adapters.ledger.writer import Writer
from dartifact.domain import errors
from dartifact.domain.checks import Report
from dartifact.domain.hints import Command
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import Phase, Run
from dartifact.domain.waivers import Waiver
from dartifact.domain.windows import GAPS, Window, find_gaps


class Ledger(ProductionReads):
    """One ledger database; safe to use from several processes at once. What it writes, it writes from `place`.

    Raises UsageError where the database cannot be opened or has another schema version; with `only_reads` NotFound
    where there is none yet: nothing is created, migrated or written then.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        place: str = "",
        only_reads: bool = False,
    ) -> None:
        self.url = url
        self._clock = clock
        self._place = place
        self._database = Database(url, only_reads=only_reads)
        self._refusal: errors.DartifactError | None = None
        self._until_bound = False

    def used_from(self, place: str) -> Ledger:
        """Return this ledger, with the same connections, as it is written from another place."""
        other = copy.copy(self)
        other._place = place
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    @cached_property
    def ledger_id(self) -> str:
        """Return the id that this ledger and its lake have in common."""
        return str(self._database.rows(sa.select(t.identity.c.ledger_id))[0]["ledger_id"])

    @property
    def is_bound(self) -> bool:
        """Say whether this ledger has met its lake."""
        return bool(self._database.rows(sa.select(t.identity.c.is_bound))[0]["is_bound"])

    def bind(self) -> None:
        """Write down that this ledger has met its lake, if it is not."""
        if self.is_bound:
            return
        with self._database.write(PATIENCE) as connection:
            connection.execute(t.identity.update().values(is_bound=True))

    def refuse_writes(self, why: errors.DartifactError | None, *, until_bound: bool = False) -> None:
        """Let every write raise this from now on, in this process; None, or its lake, lets them through again."""
        self._refusal, self._until_bound = why, until_bound

    @contextmanager
    def write(self, *, patience: float = PATIENCE) -> Iterator[Writer]:
        """Open one transaction: everything in the block happens, or nothing.

        LedgerUnavailable when other writers do not let it in within `patience` seconds, OutcomeUnknown when the
        connection was cut while it was committed, LedgerRefused for a value that the database refuses; what
        `refuse_writes` was given.
        """
        if self._refusal is not None and not (self._until_bound and self.is_bound):
            raise self._refusal
        with self._database.write(patience) as connection:
            yield Writer(connection, self._clock(), self._place)

    # Runs and windows

    def run(self, run_id: str) -> Run:
        """Return one run; NotFound names the verb that lists them."""
        rows = self._database.rows(queries.RUNS.where(t.runs.c.run_id == run_id))
        if not rows:
            raise errors.NotFound(f"there is no run {run_id}", hint=Command("runs"))
        return to_run(rows[0])

    def runs(
        self,
        *,
        names: Collection[str] | None = None,
        phases: Collection[Phase] | None = None,
        ingestor: str | None = None,
        source: str | None = None,
        before: int | None = None,
        most: int | None = None,
    ) -> tuple[Run, ...]:
        """Return runs, the newest claim first; `before` is a window's sequence number."""
        query = queries.select_runs(names, phases, ingestor, source, before)
        return tuple(to_run(row) for row in self._database.rows(query.limit(most)))

    def count_runs(self) -> dict[Phase, int]:
        """Return how many runs are in each phase."""
        query = sa.select(t.runs.c.phase, sa.func.count().label("runs")).group_by(t.runs.c.phase)
        return {Phase(row["phase"]): row["runs"] for row in self._database.rows(query)}

    def pending_reverts(self) -> tuple[Run, ...]:
        """Return the runs that wait to be taken out of `main`."""
        query = queries.RUNS.where(t.runs.c.revert_reason.is_not(None))
        return tuple(to_run(row) for row in self._database.rows(query))

    def gaps(self) -> tuple[tuple[Window, str], ...]:
        """Return each open gap with the id of the run that left it, in claiming order."""
        query = queries.RUNS.where(t.windows.c.state.in_([state.value for state in GAPS]) | t.windows.c.backfill)
        known = [(to_window(row), row["run_id"]) for row in self._database.rows(query.order_by(t.runs.c.seq))]
        shards: dict[tuple[str, int], list[Window]] = {}
        for window, _ in known:
            shards.setdefault((window.source, window.shard), []).append(window)
        open_ = {window.seq for windows in shards.values() for window in find_gaps(windows)}
        return tuple((window, run_id) for window, run_id in known if window.seq in open_)

    def runs_over(self, source: str, shard: int, lo: datetime, hi: datetime) -> tuple[Run, ...]:
        """Return the runs of one shard whose windows overlap (lo, hi], in claiming order."""
        query = queries.select_runs_over(source, shard, lo, hi)
        return tuple(to_run(row) for row in self._database.rows(query))

    def last_claim(self, source: str, shard: int, *, before: int | None = None) -> datetime | None:
        """Return the end of the last window that was claimed of one shard, before a seq if given: the fetch cursor."""
        rows = self._database.rows(queries.select_last_claim(source, shard, before))
        last: datetime | None = rows[0]["hi"]
        return last

    def newest_claims(self) -> tuple[Window, ...]:
        """Return the newest ordinary window of each shard of each source."""
        return tuple(to_window(row) for row in self._database.rows(queries.select_newest_claims()))

    def windows(self, source: str, shard: int) -> tuple[Window, ...]:
        """Return all windows of one shard in claiming order."""
        query = sa.select(t.windows, t.windows.c.state.label("window"))
        query = query.where(t.windows.c.source == source, t.windows.c.shard == shard).order_by(t.windows.c.seq)
        return tuple(to_window(row) for row in self._database.rows(query))

    def stops(self) -> tuple[Stop, ...]:
        """Return what people have stopped, the oldest first."""
        return tuple(Stop(**row) for row in self._database.rows(sa.select(t.stops).order_by(t.stops.c.at)))

    def waivers(
        self, *, run_ids: Collection[str] = (), datasets: Collection[str] = (), everything: bool = False
    ) -> tuple[Waiver, ...]:
        """Return the waivers of these runs and of these datasets, ended ones too, the newest first.

        Where neither is named those of all datasets that have not ended; `everything` is every waiver there ever was.
        """
        query = queries.select_waivers(run_ids, datasets, everything=everything)
        return tuple(to_waiver(row) for row in self._database.rows(query))

    # Reports, events, intents

    def report(self, digest: str) -> Report | None:
        """Return one report by its digest."""
        rows = self._database.rows(sa.select(t.reports.c.body).where(t.reports.c.digest == digest))
        return Report.from_json(rows[0]["body"]) if rows else None

    def profiles(self, ingestor: str, *, before: int, most: int) -> tuple[Profile, ...]:
        """Return the profiles of an ingestor's runs in `main`, as they were merged, newest claim first.

        `before` is the sequence number of a window; `most` is how many are returned.
        """
        query = queries.select_profiles(ingestor, before).limit(most)
        return tuple(Profile.from_json(row["body"]) for row in self._database.rows(query))

    def has_green_report(self, meta_range: str) -> bool:
        """Say whether the integration gate has passed exactly this content of `main`."""
        query = sa.select(t.reports.c.digest).where(
            t.reports.c.meta_range == meta_range, t.reports.c.gate == "integration", t.reports.c.verdict == "pass"
        )
        return bool(self._database.rows(query.limit(1)))

    def events(
        self,
        *,
        run_id: str | None = None,
        dartifact_id: str | None = None,
        type: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        most: int = 200,
    ) -> tuple[Event, ...]:
        """Return the newest events, of those `before` a sequence number if given; oldest of them first."""
        query = queries.select_newest_events(run_id, dartifact_id, type, actor, before).limit(most)
        return tuple(Event(**row) for row in reversed(self._database.rows(query)))

    def actors(self, types: Collection[str], run_ids: Collection[str]) -> frozenset[str]:
        """Name who has done something of these types to any of these runs."""
        e, names = t.events.c, list(run_ids)
        found: set[str] = set()
        for start in range(0, len(names), 10_000):  # databases limit the parameters of a statement
            query = sa.select(e.actor).where(e.run_id.in_(names[start : start + 10_000]), e.type.in_(types)).distinct()
            found.update(row["actor"] for row in self._database.rows(query))
        return frozenset(found)

    def event_names(self, column: Literal["type", "actor"]) -> list[str]:
        """Return the types of events, or the actors, that there are, in the order of the alphabet."""
        names: list[str] = []
        with self._database.read() as connection:
            # One look into the index for each name; a DISTINCT would read all of it.
            name = connection.execute(queries.select_next_name(column, "")).scalar()
            while name is not None:
                names.append(name)
                name = connection.execute(queries.select_next_name(column, name)).scalar()
        return names

    def last_event(self) -> int:
        """Return the sequence of the newest event, 0 before the first."""
        return next((event.sequence for event in self.events(most=1)), 0)

    def events_after(self, sequence: int, types: Collection[str], most: int) -> tuple[Event, ...]:
        """Return the oldest events of these types that come after a sequence, oldest first."""
        query = sa.select(t.events).where(t.events.c.sequence > sequence, t.events.c.type.in_(types))
        return tuple(Event(**row) for row in self._database.rows(query.order_by(t.events.c.sequence).limit(most)))

    def refusals(self, run_id: str, most: int = 10) -> tuple[Event, ...]:
        """Return the newest events of refused candidates that a run was part of, oldest of them first."""
        query = queries.select_refusals(run_id).limit(most)
        return tuple(Event(**row) for row in reversed(self._database.rows(query)))

    def first_times(self, type: str, operations: Collection[str]) -> dict[str, datetime]:
        """Return operation → time of its first event of a type; operations without one are missing."""
        query = sa.select(t.events.c.operation, sa.func.min(t.events.c.at).label("at")).group_by(t.events.c.operation)
        query = query.where(t.events.c.operation.in_(operations), t.events.c.type == type)
        return {row["operation"]: row["at"] for row in self._database.rows(query)}

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        """Return how far each of the named cursors is; those that do not exist are missing."""
        rows = self._database.rows(sa.select(t.cursors).where(t.cursors.c.name.in_(names)))
        return {row["name"]: row["sequence"] for row in rows}

    def has_operation(self, operation: str) -> bool:
        """Say whether an operation on the lake was this ledger's, whatever came of it."""
        query = sa.select(t.intents.c.operation).where(t.intents.c.operation == operation)
        return bool(self._database.rows(query))

    def find_broken_event(self) -> int | None:
        """Return the first event that was changed or moved after it was written; None when there is none."""
        with self._database.read() as connection:
            return chain.find_break(connection)

    def open_intents(self) -> tuple[Intent, ...]:
        """Return the intents nobody has closed, oldest first."""
        query = sa.select(t.intents).where(t.intents.c.outcome.is_(None)).order_by(t.intents.c.at)
        return tuple(Intent(**row) for row in self._database.rows(query))
