"""The ledger: what happened and what stands, in SQLite or PostgreSQL. Writes go through `Ledger.write()`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.migration import migrate
from dartifact.adapters.ledger.rows import (
    RUN_QUERY,
    select_last_claim,
    to_consumer,
    to_dartifact,
    to_run,
    to_waiver,
    to_window,
)
from dartifact.adapters.ledger.writer import Writer
from dartifact.domain import errors
from dartifact.domain.checks import Report
from dartifact.domain.dartifacts import Blame, Dartifact, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, Plan
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import Phase, Run
from dartifact.domain.traffic import Consumer, Soak
from dartifact.domain.waivers import Waiver
from dartifact.domain.windows import HOLES, Window, find_holes

_WRITERS = 7_465_697  # the advisory lock of PostgreSQL that writers of the ledger take

_PATIENCE = 30.0  # seconds that a writer waits for others


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of the past; `place` is where the actor was: the browser, the command line, Prefect, and the machine."""

    sequence: int
    at: datetime
    type: str
    actor: str
    place: str
    run_id: str | None
    dartifact_id: str | None
    operation: str | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """What a person has stopped: the line, or one ingestor."""

    name: str
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What was about to be written to the lake; `outcome` is None while nobody has closed it."""

    operation: str
    kind: str
    at: datetime
    outcome: str | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One plan under execution or executed: `done` steps of it; state is running, done, aborted or superseded."""

    plan: Plan
    done: int
    state: str
    started_at: datetime
    ended_at: datetime | None


class Ledger:
    """One ledger database; safe to use from several processes at once. What it writes, it writes from `place`.

    Raises UsageError where the database cannot be opened or has another schema version.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, place: str = "") -> None:
        self.url = url
        self._clock = clock
        self._place = place
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise errors.UsageError("the URL of the ledger cannot be read", hint="set DARTIFACT_LEDGER_URL") from error
        is_sqlite = parsed.get_backend_name() == "sqlite"
        try:
            if is_sqlite and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = (
                {"connect_args": {"timeout": 30}} if is_sqlite else {"isolation_level": "READ COMMITTED"}
            )
            self._engine = sa.create_engine(url, **options)
            sa.event.listen(self._engine, "begin", _begin_sqlite if is_sqlite else _begin_postgresql)
            if is_sqlite:
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
            self._create()
        except (sa.exc.ArgumentError, sa.exc.DatabaseError, ModuleNotFoundError, OSError) as error:
            raise errors.UsageError(
                f"the ledger {parsed.render_as_string()} cannot be opened: {_first_line(error)}",
                hint="repair what the message names, or set DARTIFACT_LEDGER_URL",
            ) from error
        sa.event.listen(self._engine, "handle_error", _translate)

    def _create(self) -> None:
        found = self._find_version()
        if found is None:
            with self._engine.execution_options(writes=True).begin() as connection:
                t.metadata.create_all(connection)
                # Whoever was first has written these.
                if connection.execute(sa.select(t.schema_version.c.version)).first() is None:
                    connection.execute(t.schema_version.insert().values(version=t.VERSION))
                    body = LivePointer().to_json()
                    connection.execute(t.live_pointer.insert().values(one=1, generation=0, body=body))
            found = self._find_version()
        if found in t.OLDER:
            self._migrate()
            found = self._find_version()
        if found != t.VERSION:
            raise errors.UsageError(
                f"the ledger has schema version {found}, this dartifact needs {t.VERSION}",
                hint="use the dartifact version that wrote it, or another ledger",
            )

    def _migrate(self) -> None:
        with self._engine.execution_options(writes=True).connect() as connection:
            driver = connection.connection.driver_connection
            is_sqlite = connection.dialect.name == "sqlite"
            if is_sqlite and driver:  # has no effect inside a transaction
                driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    # Whoever was first has done it.
                    if connection.execute(sa.select(t.schema_version.c.version)).scalar() in t.OLDER:
                        migrate(connection)
            finally:
                if is_sqlite and driver:
                    driver.execute("PRAGMA foreign_keys=ON")

    def _find_version(self) -> int | None:
        # A ledger that is there is opened without writing: readers wait for nobody.
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table(t.schema_version.name):
                return None
            version: int | None = connection.execute(sa.select(t.schema_version.c.version)).scalar()
            return version

    def used_from(self, place: str) -> Ledger:
        """Return this ledger, with the same connections, as it is written from another place."""
        other = copy.copy(self)
        other._place = place
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def write(self, *, patience: float = _PATIENCE) -> Iterator[Writer]:
        """Open one transaction: everything in the block happens, or nothing.

        LedgerUnavailable when other writers do not let it in within `patience` seconds.
        """
        with self._engine.execution_options(writes=True, patience=patience).begin() as connection:
            yield Writer(connection, self._clock(), self._place)

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    # Runs and windows

    def run(self, run_id: str) -> Run:
        """Return one run; NotFound names the verb that lists them."""
        rows = self._rows(RUN_QUERY.where(t.runs.c.run_id == run_id))
        if not rows:
            raise errors.NotFound(f"there is no run {run_id}", hint="dartifact runs")
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
        query = RUN_QUERY.order_by(t.runs.c.seq.desc())
        if names is not None:
            query = query.where(t.runs.c.run_id.in_(names))
        if phases is not None:
            query = query.where(t.runs.c.phase.in_([phase.value for phase in phases]))
        if ingestor is not None:
            query = query.where(t.runs.c.ingestor == ingestor)
        if source is not None:
            query = query.where(t.runs.c.source == source)
        if before is not None:
            query = query.where(t.runs.c.seq < before)
        return tuple(to_run(row) for row in self._rows(query.limit(most)))

    def count_runs(self) -> dict[Phase, int]:
        """Return how many runs are in each phase."""
        query = sa.select(t.runs.c.phase, sa.func.count().label("runs")).group_by(t.runs.c.phase)
        return {Phase(row["phase"]): row["runs"] for row in self._rows(query)}

    def pending_reverts(self) -> tuple[Run, ...]:
        """Return the runs that wait to be taken out of `main`."""
        query = RUN_QUERY.where(t.runs.c.revert_reason.is_not(None))
        return tuple(to_run(row) for row in self._rows(query))

    def holes(self) -> tuple[tuple[Window, str], ...]:
        """Return each open hole with the id of the run that left it, in claiming order."""
        query = RUN_QUERY.where(t.windows.c.state.in_([state.value for state in HOLES]) | t.windows.c.backfill)
        known = [(to_window(row), row["run_id"]) for row in self._rows(query.order_by(t.runs.c.seq))]
        shards: dict[tuple[str, int], list[Window]] = {}
        for window, _ in known:
            shards.setdefault((window.source, window.shard), []).append(window)
        open_ = {window.seq for windows in shards.values() for window in find_holes(windows)}
        return tuple((window, run_id) for window, run_id in known if window.seq in open_)

    def runs_over(self, source: str, shard: int, lo: datetime, hi: datetime) -> tuple[Run, ...]:
        """Return the runs of one shard whose windows overlap (lo, hi], in claiming order."""
        w = t.windows.c
        query = RUN_QUERY.where(w.source == source, w.shard == shard, w.hi > lo, w.lo < hi)
        return tuple(to_run(row) for row in self._rows(query.order_by(w.seq)))

    def last_claim(self, source: str, shard: int, *, before: int | None = None) -> datetime | None:
        """Return the end of the last window that was claimed of one shard, before a seq if given: the fetch cursor."""
        rows = self._rows(select_last_claim(source, shard, before))
        last: datetime | None = rows[0]["hi"]
        return last

    def newest_claims(self) -> tuple[Window, ...]:
        """Return the newest ordinary window of each shard of each source."""
        w, is_claim = t.windows.c, t.windows.c.backfill.is_(sa.false())
        newest = sa.select(w.source, w.shard, sa.func.max(w.hi)).where(is_claim).group_by(w.source, w.shard)
        query = sa.select(t.windows, w.state.label("window"))
        query = query.where(is_claim, sa.tuple_(w.source, w.shard, w.hi).in_(newest))
        return tuple(to_window(row) for row in self._rows(query.order_by(w.source, w.shard)))

    def windows(self, source: str, shard: int) -> tuple[Window, ...]:
        """Return all windows of one shard in claiming order."""
        query = sa.select(t.windows, t.windows.c.state.label("window"))
        query = query.where(t.windows.c.source == source, t.windows.c.shard == shard).order_by(t.windows.c.seq)
        return tuple(to_window(row) for row in self._rows(query))

    def stops(self) -> tuple[Stop, ...]:
        """Return what people have stopped, the oldest first."""
        return tuple(Stop(**row) for row in self._rows(sa.select(t.stops).order_by(t.stops.c.at)))

    def waivers(
        self, *, run_ids: Collection[str] = (), datasets: Collection[str] = (), everything: bool = False
    ) -> tuple[Waiver, ...]:
        """Return the waivers of these runs and of these datasets, ended ones too, the newest first.

        Where neither is named those of all datasets that have not ended; `everything` is every waiver there ever was.
        """
        w = t.waivers.c
        query = sa.select(t.waivers).order_by(w.waiver_id.desc())
        if run_ids or datasets:
            query = query.where((w.run_id.is_(None) & w.dataset.in_(datasets)) | w.run_id.in_(run_ids))
        elif not everything:
            query = query.where(w.run_id.is_(None), w.ended_at.is_(None))
        return tuple(to_waiver(row) for row in self._rows(query))

    # Reports, events, intents

    def report(self, digest: str) -> Report | None:
        """Return one report by its digest."""
        rows = self._rows(sa.select(t.reports.c.body).where(t.reports.c.digest == digest))
        return Report.from_json(rows[0]["body"]) if rows else None

    def profiles(self, ingestor: str, *, before: int, most: int) -> tuple[Profile, ...]:
        """Return the profiles of an ingestor's runs in `main`, as they were merged, newest claim first.

        `before` is the sequence number of a window; `most` is how many are returned.
        """
        r, p = t.runs.c, t.profiles.c
        query = sa.select(p.body).select_from(t.profiles.join(t.runs, p.run_id == r.run_id))
        query = query.where(r.ingestor == ingestor, r.seq < before, p.commit_id == r.commit_id)
        query = query.where(r.phase.in_([Phase.MERGED.value, Phase.LIVE.value])).order_by(r.seq.desc()).limit(most)
        return tuple(Profile.from_json(row["body"]) for row in self._rows(query))

    def has_green_report(self, meta_range: str) -> bool:
        """Say whether the integration gate has passed exactly this content of `main`."""
        query = sa.select(t.reports.c.digest).where(
            t.reports.c.meta_range == meta_range, t.reports.c.gate == "integration", t.reports.c.verdict == "pass"
        )
        return bool(self._rows(query.limit(1)))

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
        e = t.events.c
        query = sa.select(t.events).order_by(e.sequence.desc()).limit(most)
        for column, value in ((e.run_id, run_id), (e.dartifact_id, dartifact_id), (e.actor, actor)):
            query = query.where(column == value) if value is not None else query
        if before is not None:
            query = query.where(e.sequence < before)
        if type is not None:
            query = query.where(t.events.c.type == type)
        return tuple(Event(**row) for row in reversed(self._rows(query)))

    def actors(self, types: Collection[str], run_ids: Collection[str]) -> frozenset[str]:
        """Name who has done something of these types to any of these runs."""
        e, names = t.events.c, list(run_ids)
        found: set[str] = set()
        for start in range(0, len(names), 10_000):  # databases limit the parameters of a statement
            query = sa.select(e.actor).where(e.run_id.in_(names[start : start + 10_000]), e.type.in_(types)).distinct()
            found.update(row["actor"] for row in self._rows(query))
        return frozenset(found)

    def event_names(self, column: Literal["type", "actor"]) -> list[str]:
        """Return the types of events, or the actors, that there are, in the order of the alphabet."""
        names: list[str] = []
        column_ = t.events.c[column]
        with self._engine.connect() as connection:
            # each is one look into the index; a DISTINCT would read all of it
            while (found := connection.execute(
                sa.select(sa.func.min(column_)).where(column_ > (names[-1] if names else ""))
            ).scalar()) is not None:  # fmt: skip
                names.append(found)
        return names

    def last_event(self) -> int:
        """Return the sequence of the newest event, 0 before the first."""
        return next((each.sequence for each in self.events(most=1)), 0)

    def events_after(self, sequence: int, types: Collection[str], most: int) -> tuple[Event, ...]:
        """Return the oldest events of these types that come after a sequence, oldest first."""
        query = sa.select(t.events).where(t.events.c.sequence > sequence, t.events.c.type.in_(types))
        return tuple(Event(**row) for row in self._rows(query.order_by(t.events.c.sequence).limit(most)))

    def refusals(self, run_id: str, most: int = 10) -> tuple[Event, ...]:
        """Return the newest events of refused candidates that a run was part of, oldest of them first."""
        names = sa.cast(t.events.c.payload, sa.String).contains(f'"{run_id}"', autoescape=True)
        query = sa.select(t.events).where(t.events.c.type == EventType.CANDIDATE_REFUSED, names)
        query = query.order_by(t.events.c.sequence.desc()).limit(most)
        return tuple(Event(**row) for row in reversed(self._rows(query)))

    def first_times(self, type: str, operations: Collection[str]) -> dict[str, datetime]:
        """Return operation → time of its first event of a type; operations without one are missing."""
        query = sa.select(t.events.c.operation, sa.func.min(t.events.c.at).label("at")).group_by(t.events.c.operation)
        query = query.where(t.events.c.operation.in_(operations), t.events.c.type == type)
        return {row["operation"]: row["at"] for row in self._rows(query)}

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        """Return how far each of the named cursors is; those that do not exist are missing."""
        rows = self._rows(sa.select(t.cursors).where(t.cursors.c.name.in_(names)))
        return {row["name"]: row["sequence"] for row in rows}

    def open_intents(self) -> tuple[Intent, ...]:
        """Return the intents nobody has closed, oldest first."""
        query = sa.select(t.intents).where(t.intents.c.outcome.is_(None)).order_by(t.intents.c.at)
        return tuple(Intent(**row) for row in self._rows(query))

    # Dartifacts and production

    def dartifact(self, dartifact_id: str) -> Dartifact:
        """Return one dartifact."""
        rows = self._rows(sa.select(t.dartifacts).where(t.dartifacts.c.dartifact_id == dartifact_id))
        if not rows:
            raise errors.NotFound(f"there is no dartifact {dartifact_id}", hint="dartifact status")
        return to_dartifact(rows[0])

    def has_dartifact(self, name: str) -> bool:
        """Say whether a name is that of a dartifact."""
        return bool(self._rows(sa.select(t.dartifacts.c.created).where(t.dartifacts.c.dartifact_id == name)))

    def dartifacts(
        self, *, states: Collection[DartifactState] | None = None, most: int | None = None
    ) -> tuple[Dartifact, ...]:
        """Return dartifacts, the newest first."""
        query = sa.select(t.dartifacts).order_by(t.dartifacts.c.created.desc()).limit(most)
        if states is not None:
            query = query.where(t.dartifacts.c.state.in_([state.value for state in states]))
        return tuple(to_dartifact(row) for row in self._rows(query))

    def pointer(self) -> LivePointer:
        """Return the live pointer."""
        return LivePointer.from_json(self._rows(sa.select(t.live_pointer.c.body))[0]["body"])

    def blames(self) -> tuple[Blame, ...]:
        """Return what rollbacks found guilty."""
        return tuple(Blame(row["kind"], row["value"]) for row in self._rows(sa.select(t.blames)))

    def promotions(self, *, state: str | None = None, most: int = 50) -> tuple[Promotion, ...]:
        """Return promotions and rollbacks, the newest first."""
        query = sa.select(t.promotions).order_by(t.promotions.c.number.desc()).limit(most)
        if state is not None:
            query = query.where(t.promotions.c.state == state)
        return tuple(
            Promotion(Plan.from_json(row["plan"]), row["done"], row["state"], row["started_at"], row["ended_at"])
            for row in self._rows(query)
        )

    def soak(self, plan_id: str, number: int) -> Soak | None:
        """Return how long the soak that is a plan's step of that number has lasted, None before it has begun."""
        where = (t.soaks.c.plan_id == plan_id) & (t.soaks.c.number == number)
        rows = self._rows(sa.select(t.soaks.c.seconds, t.soaks.c.looked_at).where(where))
        return Soak(**rows[0]) if rows else None

    def consumer(self, name: str) -> Consumer | None:
        """Return what a named consumer was told last, None if it never asked."""
        rows = self._rows(sa.select(t.consumers).where(t.consumers.c.name == name))
        return to_consumer(rows[0]) if rows else None

    def consumers(self, *, plan: str, slot: str) -> tuple[Consumer, ...]:
        """Return the consumers that were told to read a slot while a plan held it."""
        query = sa.select(t.consumers).where(t.consumers.c.plan_id == plan, t.consumers.c.slot == slot)
        return tuple(to_consumer(row) for row in self._rows(query.order_by(t.consumers.c.name)))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    busy = f"busy_timeout={_PATIENCE * 1000:.0f}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", busy):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that turns into a write can fail with "database is locked" without waiting.
    options = connection.get_execution_options()
    writes = options.get("writes", False)
    if writes:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={options.get('patience', _PATIENCE) * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    # One writer at a time, as in SQLite: what a transaction has read stands until it commits.
    options = connection.get_execution_options()
    if options.get("writes", False):
        if options.get("patience", _PATIENCE) < _PATIENCE:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{options['patience'] * 1000:.0f}ms'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _translate(context: sa.engine.ExceptionContext) -> errors.LedgerUnavailable | None:
    # Their children (a constraint violated, wrong SQL) are bugs and keep their traceback.
    if type(context.sqlalchemy_exception) not in (sa.exc.OperationalError, sa.exc.DatabaseError):
        return None
    where = context.engine.url.render_as_string() if context.engine else ""
    reason = _first_line(context.original_exception)
    return errors.LedgerUnavailable(f"the ledger {where} cannot be used: {reason}", hint="dartifact doctor")


def _first_line(error: BaseException) -> str:
    reason = getattr(error, "orig", None) or error
    return str(reason).strip().partition("\n")[0]
