"""A world to play in: a complete stack, its sources and clock, and the moves that tests make over and over."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from dartifact.adapters.lakefs.lake import MAIN, Lake
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.values import Event
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import add_system_columns, write_parquet
from dartifact.adapters.tables.batches import build_batch
from dartifact.commands.ingest.ingest import ingest, request_merge
from dartifact.commands.queue import candidates
from dartifact.commands.queue.integrate import Integration, integrate
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_current
from dartifact.domain.checks import Gate, Outcome, Report, Result, judge
from dartifact.domain.errors import NotFound
from dartifact.domain.queue import HEAD_FENCE, CandidatePlan, runs_in
from dartifact.domain.runs import Phase, Run
from dartifact.domain.windows import next_window
from tests.support.sources import START, RememberingSource, Row, stamp

TICK = timedelta(minutes=5)
ACTOR = "test"


@dataclass
class Clock:
    """A clock that stands still until it is moved; given to stack and ledger alike."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta = TICK) -> datetime:
        """Move forward and return the new time."""
        self.now += by
        return self.now


@dataclass
class World:
    """One fresh repository and ledger, with the sources `orders` (ingestor dan) and `customers` (dana).

    Time moves by `tick` only; `bring` ticks by itself, so that each run has a window of five minutes. Everything goes
    through the real commands. `at` and `ref` arguments take any reference: a branch, a commit id.
    """

    stack: Stack
    clock: Clock
    sources: dict[str, RememberingSource] = field(default_factory=dict)

    # Moving

    def tick(self, by: timedelta = TICK) -> None:
        """Move our clock and that of all sources."""
        now = self.clock.advance(by)
        for source in self.sources.values():
            source.now = now

    def bring(self, dataset: str, *rows: Row, ingestor: str | None = None) -> Run:
        """Let five minutes pass, publish the rows and ingest them; return the run as it stands then.

        With good rows it is queued; with bad ones failed, unless the local gate is left out. Rows of another shard
        than the ingestor's are not brought.
        """
        self.tick()
        self.sources[dataset].add(*rows)
        return self.ingest(dataset, ingestor)[-1]

    def ingest(self, dataset: str, ingestor: str | None = None) -> tuple[Run, ...]:
        """Run the real ingest command once, as time and rows stand."""
        source = self.stack.source(dataset)
        name = ingestor or source.ingestors[0].name
        return ingest(self.stack, source, self.sources[dataset], name, actor=f"ingestor:{name}")

    def integrate(self) -> Integration:
        """Run the real integrate command once."""
        return integrate(self.stack, actor=ACTOR)

    def land(self, dataset: str, *rows: Row) -> Run:
        """Bring rows and integrate; return the run, which has to be in `main` then."""
        run = self.bring(dataset, *rows)
        done = self.integrate()
        assert run.run_id in done.merged, f"{run.run_id} did not merge: {done}"
        return self.run(run)

    def queue(self, dataset: str, *rows: Row, ingestor: str | None = None) -> Run:
        """Do as `bring` does with good rows, at a third of its cost: nothing is fetched and no gate is asked.

        Branch, commit and ledger are as the real road leaves them where the local gate is left out; the source has the
        rows, too. For tests that begin at the queue.
        """
        self.tick()
        self.sources[dataset].add(*rows)
        source = self.stack.source(dataset)
        name = ingestor or source.ingestors[0].name
        actor, ledger = f"ingestor:{name}", self.stack.ledger
        last = ledger.last_claim(source.name, source.shard(name))
        claim = next_window(
            last, self.clock(), start=source.start, overlap=source.overlap, max_window=source.max_window
        )
        assert claim is not None
        with ledger.write() as tx:
            run = tx.windows.claim(source, name, *claim, after=last, actor=actor, clock=self.clock())
        self.lake.create_branch(run.branch, self.head.commit_id)
        self.write_batch(run, run.branch, *rows)
        figures = {"rows": str(len(rows)), "repeated": "0", "outdated": "0", "seq": str(run.window.seq)}
        window = {"lo": run.window.lo.isoformat(), "hi": run.window.hi.isoformat()}
        metadata = {"run": run.run_id, "actor": actor, **figures, **window}
        commit = self.lake.commit(run.branch, f"bring {len(rows)} rows of {source.name}", metadata)
        changes = {"commit_id": commit.commit_id, "rows": len(rows), "attempts": 0, "reasons": []}
        with ledger.write() as tx:
            run = tx.runs.move(run.run_id, Phase.CHECKING, "BatchCommitted", actor, expect=Phase.EXTRACTING,
                              changes=changes, commit=commit.commit_id, rows=len(rows))  # fmt: skip
            tx.append("LocalGateLeftOut", actor, run=run.run_id)
            return request_merge(tx, run, actor, None)

    def place(self, dataset: str, *rows: Row, ingestor: str | None = None) -> Run:
        """Do as `land` does, at a third of its cost: no gate is asked, `main` moves as the real protocol moves it."""
        run = self.queue(dataset, *rows, ingestor=ingestor)
        candidate = candidates.build_candidate(self.stack, CandidatePlan((run,)), self.head)
        report = green(candidate.commit)
        with self.stack.ledger.write() as tx:
            tx.reports.save(report, judge(report.results))
        candidates.advance(self.stack, candidate, report, ACTOR)
        return self.run(run)

    def leave_out_local_gate(self, dataset: str) -> None:
        """Switch the local gate off for all ingestors of a dataset."""
        source = self.stack.source(dataset)
        ingestors = tuple(replace(each, local_gate=False) for each in source.ingestors)
        self.stack.sources[dataset] = replace(source, ingestors=ingestors)  # type: ignore[index]

    @contextmanager
    def without_local_gate(self, dataset: str) -> Iterator[None]:
        """Leave out the local gate of a dataset inside the block; what is brought there is queued, good or bad."""
        source = self.stack.sources[dataset]
        self.leave_out_local_gate(dataset)
        try:
            yield
        finally:
            self.stack.sources[dataset] = source  # type: ignore[index]

    def through(self, url: str, *, timeout: tuple[float, float] = (3.0, 30.0)) -> Stack:
        """Return the same stack with a lake that is reached at another address, of a proxy say."""
        access = replace(self.stack.lake.access, url=url)
        return replace(self.stack, lake=Lake(access, self.stack.lake.repository, timeout=timeout))

    def with_policy(self, **changes: Any) -> None:
        """Change the policy of the stack."""
        self.stack = replace(self.stack, policy=replace(self.stack.policy, **changes))

    def write_batch(self, run: Run, branch: str, *rows: Row, name: str = "part-0.parquet") -> None:
        """Stage rows as the batch of a run on a branch, the way the ingest command does."""
        source = self.stack.source(run.source)
        stamped = [{"updated_at": stamp(run.window.hi)} | row for row in rows]
        table = build_batch(stamped, self.stack.contract(run.source).columns, zone=source.zone)
        table = add_system_columns(table, run_id=run.run_id, seq=run.window.seq, extracted_at=self.clock())
        with tempfile.TemporaryDirectory(dir=self.stack.home) as folder:
            path = Path(folder) / name
            write_parquet(table, path)
            self.lake.upload(branch, f"{run.folder}{name}", path)

    def amend(self, run: Run, edit: Callable[[str], object]) -> Run:
        """Commit an edit on a run's branch and bring that commit through the local gate again, as a person's fix does.

        `edit` is given the branch and stages what it likes. Return the run as it stands: queued, or stopped again.
        """
        edit(run.branch)
        commit = self.lake.commit(run.branch, "fix", {"run": run.run_id, "actor": ACTOR})
        with self.stack.ledger.write() as tx:
            tx.runs.move(
                run.run_id, Phase.CHECKING, "RunFixed", ACTOR, adopt=True, changes={"commit_id": commit.commit_id}
            )
        self.ingest(run.source, run.ingestor)
        return self.run(run)

    def fix(self, run: Run, *rows: Row) -> Run:
        """Replace the rows of a run on its branch and bring it through the local gate again."""
        return self.amend(run, lambda branch: self.write_batch(run, branch, *rows))

    def request_revert(self, run: Run, reason: str = "it was wrong") -> None:
        """Put a run that is in `main` into the queue to be taken out."""
        with self.stack.ledger.write() as tx:
            tx.runs.request_revert(run.run_id, reason, ACTOR)

    # Looking

    @property
    def lake(self) -> Lake:
        """Return the lake."""
        return self.stack.lake

    @property
    def head(self) -> Commit:
        """Return the head of `main`."""
        return self.lake.head(MAIN)

    def run(self, run: Run | str) -> Run:
        """Return a run as the ledger knows it now."""
        return self.stack.ledger.run(run if isinstance(run, str) else run.run_id)

    def runs_in_main(self, at: str = f"{MAIN}@") -> frozenset[str]:
        """Name the runs that a commit contains."""
        return runs_in(each.path for each in self.lake.list_objects(at))

    def content(self, at: str = f"{MAIN}@", prefix: str = "") -> dict[str, str]:
        """Return path → checksum of everything a commit holds below a prefix, fences left out."""
        fences = (HEAD_FENCE, "_dartifact/published.json")
        objects = self.lake.list_objects(at, prefix)
        return {each.path: each.checksum for each in objects if each.path not in fences}

    def rows(self, dataset: str, at: str = f"{MAIN}@") -> list[Row]:
        """Return the current rows of a dataset at a commit, by key, without the system columns."""
        source = self.stack.source(dataset)
        objects = self.lake.list_objects(at, f"raw/{dataset}/")
        if not objects:
            return []
        with duck.connect() as connection:
            duck.create_view(connection, "records", self.lake.locate(at, objects), self.lake.access)
            query = select_current("records", source.key, source.updated_at)
            cursor = connection.execute(f"SELECT * FROM ({query}) ORDER BY {', '.join(source.key)}")
            names = [column[0] for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]

    def keys(self, dataset: str, at: str = f"{MAIN}@") -> list[Any]:
        """Return the first key column of the current rows of a dataset."""
        return [row[self.stack.source(dataset).key[0]] for row in self.rows(dataset, at)]

    def events(self, *types: str, run: Run | str | None = None) -> list[Event]:
        """Return the events, oldest first, of these types if any are named, of this run if one is named."""
        run_id = run.run_id if isinstance(run, Run) else run
        found = self.stack.ledger.events(run_id=run_id, most=10_000)
        return [each for each in found if not types or each.type in types]

    def intent_outcomes(self) -> dict[str, str | None]:
        """Return operation → outcome of all intents, None for the open ones."""
        return all_intents(self.stack)


def green(commit: Commit, name: str = "test.green") -> Report:
    """Make a green integration report of a commit, for tests that drive `candidates` without the gate."""
    result = Result(name, "main", Outcome.PASSED, "as good as it gets")
    return Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, (result,))


def all_intents(stack: Stack) -> dict[str, str | None]:
    """Return operation → outcome of all intents of a ledger; the ledger itself lists open ones only."""
    import sqlalchemy as sa  # noqa: PLC0415

    from dartifact.adapters.ledger import tables as t  # noqa: PLC0415

    engine = sa.create_engine(stack.ledger.url)
    try:
        with engine.connect() as connection:
            found = connection.execute(sa.select(t.intents.c.operation, t.intents.c.outcome)).all()
    finally:
        engine.dispose()
    return {row.operation: row.outcome for row in found}


def edit_by_hand(lake: Lake, into: str, edit: Callable[[str], None], message: str = "by hand") -> str:
    """Do what somebody with the key can do: edit a branch made from `into` and merge it there; return the merge.

    `edit` is given the name of the branch and stages what it likes.
    """
    head = lake.head(into)
    branch = f"hand-{uuid4().hex[:12]}"
    lake.create_branch(branch, head.commit_id)
    try:
        edit(branch)
        commit = lake.commit(branch, message, {})
        return lake.merge(commit.commit_id, into, message)
    finally:
        lake.delete_branch(branch)


def has_object(lake: Lake, ref: str, path: str) -> bool:
    """Say whether a commit holds an object."""
    try:
        lake.read_bytes(ref, path)
    except NotFound:
        return False
    return True
