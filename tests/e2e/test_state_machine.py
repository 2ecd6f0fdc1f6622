"""The crash rule and the accounting of the product, on a real lakeFS server, a real ledger and Soda.

Hypothesis plays sources, people, commands and broken processes against each other; after each command the books
(`tests.support.books`) are compared with what the lake holds. The one stand-in is dbt (`TableBuilder`): a build takes
milliseconds instead of seconds. `DARTIFACT_TEST_EXAMPLES=500` plays that many games instead of the few of every day.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, SERVED, LakeAccess
from dartifact.adapters.tables import duck
from dartifact.commands.gates.traffic import report_error
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.under_way import abort, find_under_way, unfreeze
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.stack import Policy, Stack
from dartifact.commands.staging.assembly import PASSPORT
from dartifact.commands.staging.stage import stage
from dartifact.compare.current import select_current
from dartifact.domain import errors
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.plans import LivePointer
from dartifact.domain.queue import HEAD_FENCE
from dartifact.domain.runs import UNFINISHED, Phase, Run
from dartifact.domain.sources import Ingestor
from tests.support.books import Books, Files, Publisher, Version, to_version
from tests.support.machine import Command, Crash, Fault, Kind, Process, Repositories, Site, change_code
from tests.support.sources import CUSTOMERS, ORDERS, Row, shard_of, stamp
from tests.support.world import Clock

PERSON = "person:tester"
SOURCES = {
    "customers": CUSTOMERS,
    # Dave leaves his local gate out: his bad rows are for the integration gate to find.
    "orders": replace(ORDERS, ingestors=(Ingestor("dan"), Ingestor("dave", local_gate=False))),
}
INGESTORS = {each.name: name for name, source in SOURCES.items() for each in source.ingestors}
POLICY = Policy(candidate_size=4, attempts=2, orphan_grace=timedelta(minutes=10), weights=(50, 100),
                soak=timedelta(seconds=30))  # fmt: skip
OVERLAP = ORDERS.overlap

_HIDDEN = ("candidate-", "publish-", "build-")

STATIONS = {"integrate", "stage", "promote", "reconcile"}

indexes = st.integers(0, 7)
kinds_of_rows = st.sampled_from(["good", "good", "bad", "orphan"])


def faults(most: int) -> st.SearchStrategy[Fault | None]:
    """Break a command that has about `most` points, or, as often, do not."""
    kinds = st.sampled_from([Kind.CRASH, Kind.CRASH, Kind.PAUSE, Kind.LOST])
    broken = st.builds(Fault, kinds, st.sampled_from(range(1, most + 1)))
    return st.none() | broken | broken


@dataclass
class Tally:
    """What the games of a session came to."""

    commands: Counter[str]
    hits: Counter[str]
    leftovers: Counter[str]


TALLY = Tally(Counter(), Counter(), Counter())


class Machine(RuleBasedStateMachine):
    """One game: a fresh repository and ledger, three ingestors, production, and processes that break."""

    def __init__(self, access: LakeAccess, repository: str, home: Path) -> None:
        super().__init__()
        self.clock = Clock()
        self.site = Site(access, repository, home, SOURCES, POLICY, self.clock)
        self.process = self.site.start()
        self.paused: Command | None = None
        self.publishers = {name: Publisher(name) for name in SOURCES}
        self.books = Books(SOURCES, self.publishers)
        self.files = Files(access, repository)
        self.runs: tuple[Run, ...] = ()
        self.pointer = LivePointer()
        self.last_event = 0
        self.settled: set[str] = set()
        self.blamed: list[tuple[str, frozenset[Version]]] = []
        self.code = 0
        self.numbers = itertools.count(1)
        self.micros = itertools.count(1)
        self.heads: dict[str, str] = {}
        self.compared = ""
        self.snapshots: dict[str, str] = {}
        self.undone: set[str] = set()
        self.faults = 0
        self.raced = False
        self.sound = True

    @property
    def stack(self) -> Stack:
        """Return the stack of the process that is at work now."""
        return self.process.stack

    # Time and sources

    @rule(dataset=st.sampled_from(sorted(SOURCES)), what=kinds_of_rows,
          late=st.booleans(), count=st.integers(1, 2), seconds=st.integers(1, 20), index=indexes)  # fmt: skip
    def publish(self, dataset: str, what: str, late: bool, count: int, seconds: int, index: int) -> None:
        """Publish new rows: good ones, ones that break the contract, orders whose customer is to come."""
        self.tick(seconds)
        for _ in range(count):
            self.add(dataset, self.new_row(dataset, what, index), late=late, index=index)

    @precondition(lambda self: any(each.rows for each in self.publishers.values()))
    @rule(dataset=st.sampled_from(sorted(SOURCES)), delete=st.booleans(), late=st.booleans(), index=indexes)
    def update(self, dataset: str, delete: bool, late: bool, index: int) -> None:
        """Publish a newer version of an old key, perhaps its deletion."""
        rows = self.publishers[dataset].rows
        if rows:
            self.tick(1)
            old = {name: value for name, value in rows[index % len(rows)].items() if name != "updated_at"}
            self.add(dataset, old | {"note": f"version {next(self.numbers)}", "_deleted": delete}, late, index)

    @rule()
    def wait(self) -> None:
        """Let more than the orphan grace pass."""
        self.tick(POLICY.orphan_grace.total_seconds() + 1)

    @rule(dataset=st.sampled_from(sorted(SOURCES)))
    def break_source(self, dataset: str) -> None:
        """Let the next fetch fail."""
        self.publishers[dataset].fail_next(errors.SourceUnavailable("told to"))

    # Commands

    @rule(ingestor=st.sampled_from(sorted(INGESTORS)), new=st.lists(kinds_of_rows, max_size=2), index=indexes,
          fault=faults(18))  # fmt: skip
    def ingest(self, ingestor: str, new: list[str], index: int, fault: Fault | None) -> None:
        """Ingest what one ingestor finds; rows are published just before."""
        self.tick(1 + 3 * index)
        for what in new:
            self.add(INGESTORS[ingestor], self.new_row(INGESTORS[ingestor], what, index), late=False, index=index)
        self.command("ingest", lambda stack: self.do_ingest(stack, ingestor), fault, errors.SourceUnavailable)

    @precondition(lambda self: self.list_runs(Phase.QUEUED, Phase.HELD) or self.has_work("integrate"))
    @rule(fault=faults(32))
    def integrate(self, fault: Fault | None) -> None:
        """Bring what waits into main."""
        self.command("integrate", lambda stack: integrate(stack, actor="policy:integrate"), fault)

    @precondition(lambda self: self.has_work("stage"))
    @rule(fault=faults(42))
    def stage(self, fault: Fault | None) -> None:
        """Make a dartifact of main."""
        self.command("stage", lambda stack: stage(stack, actor="policy:stage"), fault, errors.UsageError)

    @precondition(lambda self: self.has_work("promote"))
    @rule(fault=faults(62))
    def promote(self, fault: Fault | None) -> None:
        """Bring the newest dartifact live."""
        self.command("promote", lambda stack: promote(stack, actor="policy:promote"), fault,
                     errors.PolicyRefused, errors.Aborted)  # fmt: skip

    @rule(rows=st.lists(st.sampled_from(sorted(SOURCES)), min_size=1, max_size=2))
    def deliver(self, rows: list[str]) -> None:
        """Let good rows go all the way, nothing breaking."""
        self.tick(5)
        for dataset in rows:
            self.add(dataset, self.new_row(dataset, "good", 0), late=False, index=0)

        def run(stack: Stack) -> None:
            for ingestor in sorted(name for name, dataset in INGESTORS.items() if dataset in rows):
                self.do_ingest(stack, ingestor)
            integrate(stack, actor="policy:integrate")
            stage(stack, actor="policy:stage")
            self.promote_through(stack)

        self.command("deliver", run, None, errors.SourceUnavailable, errors.PolicyRefused, errors.Aborted,
                     errors.UsageError)  # fmt: skip

    @precondition(lambda self: self.pointer.plan is not None)
    @rule()
    def abort(self) -> None:
        """End the promotion under way."""
        self.command("abort", lambda stack: abort(stack, reason="told to", actor=PERSON), None, errors.UsageError)

    @precondition(lambda self: self.pointer.plan is not None)
    @rule(index=indexes)
    def read(self, index: int) -> None:
        """Let a consumer ask, and find an error now and then."""

        def run(stack: Stack) -> None:
            resolve(stack, f"consumer-{index}")
            if index == 0:
                report_error(stack, f"consumer-{index}", "told to", actor=PERSON)

        self.command("read", run, None, errors.NotFound)

    @precondition(lambda self: self.has_work("reconcile"))
    @rule(fault=faults(14))
    def reconcile(self, fault: Fault | None) -> None:
        """Do what happens at each start."""
        self.command("reconcile", reconcile, fault)

    @precondition(lambda self: self.pointer.live is not None)
    @rule(blame=st.sampled_from(["unknown", "run", "runs", "code"]), named=st.booleans(), index=indexes,
          fault=faults(30))  # fmt: skip
    def roll_back(self, blame: str, named: bool, index: int, fault: Fault | None) -> None:
        """Roll production back, blaming a run, the code or nothing known."""
        live = self.stack.ledger.dartifact(self.pointer.live or "")
        served = [each.dartifact_id for each in self.stack.ledger.dartifacts(states=(DartifactState.SUPERSEDED,))]
        to = served[index % len(served)] if named and served else None
        if blame == "run":
            blame = live.runs[index % len(live.runs)] if live.runs else "unknown"
        cause = Cause.parse([blame])
        self.command("roll back", lambda stack: roll_back(stack, to, cause, reason="told to", actor=PERSON), fault,
                     errors.UsageError, errors.PolicyRefused, errors.Aborted)  # fmt: skip

    @precondition(lambda self: self.pointer.frozen)
    @rule()
    def unfreeze(self) -> None:
        """Allow promotions again."""
        self.command("unfreeze", lambda stack: unfreeze(stack, reason="told to", actor=PERSON), None)

    @precondition(lambda self: self.pointer.live is not None)
    @rule()
    def change_code(self) -> None:
        """Change the dbt project."""
        self.code += 1
        change_code(self.site.project, self.code)
        self.undone.add("stage")

    @precondition(lambda self: self.paused is not None)
    @rule()
    def wake(self) -> None:
        """Let the command go on that stood still while others worked."""
        with self.step():
            paused, self.paused = self.paused, None
            assert paused is not None
            paused.wake()
            paused.process.end()
            # It lost every race: it may say so, in words of ours; a bug would show as any other exception.
            if paused.error is not None and not isinstance(paused.error, errors.DartifactError):
                raise paused.error
            TALLY.commands[f"woken: {paused.name}: {type(paused.error).__name__}"] += 1
            self.undone |= STATIONS
            self.look()

    # People

    @precondition(lambda self: self.list_runs(Phase.FAILED, Phase.HELD))
    @rule(index=indexes)
    def reject(self, index: int) -> None:
        """Let a stopped run go."""
        run = self.choose(index, Phase.FAILED, Phase.HELD)
        self.command("reject", lambda stack: _reject(stack, run), None, *self.being_merged())

    @precondition(lambda self: self.list_runs(Phase.MERGED, Phase.LIVE))
    @rule(index=indexes)
    def revert(self, index: int) -> None:
        """Ask for a run to be taken out of main."""
        run = self.choose(index, Phase.MERGED, Phase.LIVE)

        def request(stack: Stack) -> None:
            with stack.ledger.write() as tx:
                tx.runs.request_revert(run.run_id, "told to", PERSON)

        self.command("revert", request, None)
        self.undone.add("integrate")

    @precondition(lambda self: self.list_fixable())
    @rule(index=indexes, drop=st.booleans())
    def fix(self, index: int, drop: bool) -> None:
        """Correct a stopped or reverted run on its branch, or drop what is bad there, and let it land again."""
        runs = self.list_fixable()
        self.command("fix", lambda stack: self.do_fix(stack, runs[index % len(runs)], drop), None, *self.being_merged())

    # How things are done

    def tick(self, seconds: float) -> None:
        """Move all clocks."""
        now = self.clock.advance(timedelta(seconds=seconds))
        for publisher in self.publishers.values():
            publisher.now = now

    def new_row(self, dataset: str, what: str, index: int) -> Row:
        """Make a row of a new key."""
        number = next(self.numbers)
        if dataset == "customers":
            orphans = sorted({row["customer_id"] for row in self.publishers["orders"].rows} - self.customers())
            key = orphans[index % len(orphans)] if orphans and index % 2 else f"C{number:06}"
            return {"customer_id": key, "segment": "martian" if what == "bad" else "consumer", "note": None}
        known = sorted(self.customers())
        customer = known[index % len(known)] if known and what != "orphan" else f"C{number + 500:06}"
        amount = Decimal(-1 if what == "bad" else number)
        return {"order_id": number, "customer_id": customer, "amount": amount, "note": None}

    def customers(self) -> set[str]:
        """Name the customers that were published."""
        return {row["customer_id"] for row in self.publishers["customers"].rows}

    def add(self, dataset: str, row: Row, late: bool, index: int) -> None:
        """Publish a row now, or with a time that windows have passed and the next one's overlap reaches still."""
        source, at = SOURCES[dataset], self.clock.now
        shard = shard_of(row, len(source.ingestors))
        last = max(
            (run.window.hi for run in self.runs if (run.source, run.window.shard) == (dataset, shard)), default=at
        )
        if late:
            at = max(last - OVERLAP * (index + 1) / 10, source.start)
        at = at.replace(microsecond=next(self.micros))
        self.publishers[dataset].add({"updated_at": stamp(at)} | row)

    def has_work(self, station: str) -> bool:
        """Say whether a station may have something to do: its input has changed, or a command broke."""
        return station in self.undone

    def list_runs(self, *phases: Phase) -> list[Run]:
        """Return the runs in some phases, as the last look found them."""
        return [run for run in self.runs if run.phase in phases]

    def choose(self, index: int, *phases: Phase) -> Run:
        """Choose one of these runs."""
        runs = self.list_runs(*phases)
        return runs[index % len(runs)]

    def list_fixable(self) -> list[Run]:
        """Return the runs that a person can correct."""
        return [
            run for run in self.list_runs(Phase.FAILED, Phase.HELD, Phase.REVERTED) if run.run_id in self.books.first
        ]

    def being_merged(self) -> tuple[type[errors.DartifactError], ...]:
        """Return what a person is told while a merge may be under way."""
        return (errors.Locked,) if self.stack.ledger.open_intents() else ()

    def do_ingest(self, stack: Stack, ingestor: str) -> None:
        """Run the ingest command."""
        dataset = INGESTORS[ingestor]
        ingest(stack, SOURCES[dataset], self.publishers[dataset], ingestor, actor=f"ingestor:{ingestor}")

    def do_fix(self, stack: Stack, run: Run, drop: bool) -> None:
        """Commit corrected rows on a run's branch and send it to the checks again."""
        [found] = stack.lake.list_objects(run.commit or "", run.folder)
        rows = pq.read_table(found.physical.removeprefix("local://")).to_pylist()
        schema = pq.read_schema(found.physical.removeprefix("local://"))
        good = [row for row in rows if row.get("segment") != "martian" and row.get("amount", 0) >= 0]
        rows = good if drop and good else rows
        known = sorted(self.customers())
        for row in rows:
            row["note"] = f"fixed {next(self.numbers)}"
            if run.source == "customers":
                row["segment"] = "corporate"
            else:
                row["amount"] = abs(row["amount"])
                row["customer_id"] = row["customer_id"] if row["customer_id"] in known or not known else known[0]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
        stack.lake.upload(run.branch, found.path, sink.getvalue().to_pybytes())
        commit = stack.lake.commit(run.branch, "fix", {"actor": PERSON})
        with stack.ledger.write() as tx:
            tx.runs.move(run.run_id, Phase.CHECKING, "RunFixed", PERSON, expect=run.phase,
                        changes={"commit_id": commit.commit_id, "rows": len(rows), "reasons": []})  # fmt: skip
        self.books.content[run.run_id] = frozenset(to_version(run.source, row) for row in rows)

    def command(
        self, name: str, run: Callable[[Stack], Any], fault: Fault | None, *answers: type[errors.DartifactError]
    ) -> None:
        """Run a command in the process at work, break it where the fault says, then look at everything."""
        with self.step():
            TALLY.commands[name] += 1
            self.undone.discard(name)
            if fault is not None and fault.kind is Kind.PAUSE and self.paused is None:
                self.pause(name, run, fault, answers)
            else:
                plain = fault if fault is None or fault.kind is not Kind.PAUSE else replace(fault, kind=Kind.CRASH)
                self.process.points.arm(plain)
                try:
                    run(self.stack)
                except Crash:
                    self.note_hit(name, self.process)
                    self.start_anew()
                except errors.DartifactError as error:
                    self.judge(name, error, self.process, answers)
                else:
                    self.note_hit(name, self.process)
                self.process.points.arm(None)
            self.look()

    def pause(
        self, name: str, run: Callable[[Stack], Any], fault: Fault, answers: tuple[type[errors.DartifactError], ...]
    ) -> None:
        """Run a command in a process of its own until it stands still, or to its end if it has fewer points."""
        process = self.site.start()
        command = Command(name, process, run, fault)
        if not command.is_over:
            self.note_hit(name, process)
            self.paused, self.raced = command, True
            self.site.run_out_leases()
            return
        process.end()
        if isinstance(command.error, errors.DartifactError):
            self.judge(name, command.error, process, answers)
        elif command.error is not None:
            raise command.error

    def judge(
        self,
        name: str,
        error: errors.DartifactError,
        process: Process,
        answers: tuple[type[errors.DartifactError], ...],
    ) -> None:
        """Accept the answers a command may give; and not to know the outcome, if that is what was broken."""
        self.note_hit(name, process)
        lost = process.points.hit is not None and isinstance(error, errors.OutcomeUnknown)
        if not (lost or isinstance(error, answers)):
            raise error

    def note_hit(self, name: str, process: Process) -> None:
        """Count the fault if the command got as far."""
        points = process.points
        if points.fault is not None and points.hit:
            self.faults += 1
            self.undone |= STATIONS
            TALLY.hits[f"{name}: {points.fault.kind.name} {points.hit}"] += 1

    def promote_through(self, stack: Stack) -> bool:
        """Promote until nothing is under way, time passing; False when there was nothing to promote."""
        found = promote(stack, actor="policy:promote") is not None
        while find_under_way(stack):
            self.tick(30)
            promote(stack, actor="policy:promote")
        return found

    def start_anew(self) -> None:
        """Go on in a new process."""
        self.process.end()
        self.site.run_out_leases()
        self.process = self.site.start()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Remember whether a step ended well: a broken game is not tidied up."""
        self.sound = False
        yield
        self.sound = True

    # What must hold

    def look(self) -> None:
        """Compare the books with the lake and the ledger."""
        self.runs = self.stack.ledger.runs()
        self.heads = self.files.heads()
        self.books.note_runs(self.runs, self.files, raced=self.raced)
        lost = self.books.find_lost(self.runs)
        assert not lost, f"lost: {lost}"
        self.look_at_main()
        self.look_at_branches()
        self.look_at_production()

    def look_at_main(self) -> None:
        """Main holds the merged runs, each as it was tested, and the current table is the one they make."""
        ledger, head = self.stack.ledger, self.heads[MAIN]
        objects = self.files.objects(head)
        found = self.files.runs(objects)
        in_main = {run.run_id for run in self.runs if run.phase in (Phase.MERGED, Phase.LIVE)}
        under_way = {
            run_id
            for intent in ledger.open_intents()
            if intent.kind == "advance"
            for run_id in (*intent.payload["lands"], *intent.payload["reverts"])
        }
        assert set(found) ^ in_main <= under_way, f"main holds {sorted(found)}, merged are {sorted(in_main)}"
        for run_id, (_, versions) in found.items():
            assert versions == self.books.content[run_id], f"{run_id} in main is not what was tested"
        if head == self.compared:
            return
        self.undone.add("stage")
        assert {each.path for each in objects if not each.path.startswith("raw/")} <= {HEAD_FENCE}
        commit = self.files.lake.commit_of(head)
        assert not commit.parents or ledger.has_green_report(commit.meta_range), "the head of main is untested"
        self.compare_current(head, found)
        self.compared = head

    def compare_current(self, head: str, found: dict[str, tuple[str, frozenset[Version]]]) -> None:
        """The product's current tables have each key once, with the row that the books expect."""
        lake = self.files.lake
        with duck.connect() as connection:
            for dataset, source in SOURCES.items():
                objects = [each for each in self.files.objects(head) if each.path.startswith(f"raw/{dataset}/")]
                expected = self.books.expect_current(
                    dataset, [run for run, (name, _) in found.items() if name == dataset]
                )
                if not objects:
                    assert not expected
                    continue
                duck.create_view(connection, "records", lake.locate(head, objects), lake.access)
                query = select_current("records", source.key, source.updated_at)
                rows = connection.execute(query).to_arrow_table().to_pylist()
                keys = Counter(row[source.key[0]] for row in rows)
                assert all(count == 1 for count in keys.values()), f"keys stand twice in {dataset}: {keys}"
                now = {to_version(dataset, row) for row in rows}
                assert now == expected, f"the current rows of {dataset} are {now}, not {expected}"

    def look_at_branches(self) -> None:
        """The branch of a run is there as long as somebody may want to look at it."""
        for run in self.runs:
            if run.commit is not None:
                assert run.branch in self.heads, f"the branch of {run.run_id} ({run.phase}) is gone"

    def look_at_production(self) -> None:
        """Each served branch shows one dartifact whole; production one that was settled; nobody gets a bad one."""
        stack = self.stack
        pointer = stack.ledger.pointer()
        assert pointer.generation >= self.pointer.generation
        for name in ("ProductionSettled", "ProductionRolledBack"):
            self.settled |= {event.payload["pointer"]["settled"] for event in stack.ledger.events(type=name, most=50)}
        for branch in SERVED:
            shown = self.read_snapshot(self.heads[branch])
            if branch == PRODUCTION and shown is not None:
                assert shown in self.settled, f"{branch} shows {shown[:12]}, which was never settled"
        for name, slot in pointer.slots.items():
            if slot.commit is not None:
                built = stack.ledger.dartifact(slot.dartifact or "")
                assert self.read_snapshot(slot.commit) == built.commit, f"slot {name} is not {slot.dartifact}"
            if pointer.weights[name] and slot.dartifact:
                assert stack.ledger.dartifact(slot.dartifact).state is not DartifactState.BAD, f"{name} serves bad"
        self.look_for_blamed(pointer)
        if pointer.generation != self.pointer.generation:
            self.undone |= {"integrate", "promote"}
        if stack.ledger.dartifacts(states=(DartifactState.GREEN,), most=1) or find_under_way(stack):
            self.undone.add("promote")
        frozen = self.pointer.frozen
        for event in stack.ledger.events(most=300):
            if event.sequence > self.last_event and "pointer" in event.payload:
                assert not (frozen and event.type in ("TrafficShifted", "ProductionSettled")), f"{event} while {frozen}"
                frozen = event.payload["pointer"]["frozen"]
            self.last_event = max(self.last_event, event.sequence)
        self.pointer = pointer

    def look_for_blamed(self, pointer: LivePointer) -> None:
        """What a rollback blamed does not come back: neither the run's name nor, after a fix, its old rows."""
        ledger = self.stack.ledger
        for event in ledger.events(type="BlameRecorded", most=1000)[len(self.blamed) :]:
            left = ledger.dartifact(event.dartifact_id or "")
            found = self.files.runs(self.files.objects(left.main_commit)).get(event.payload["value"])
            self.blamed.append((event.payload["value"], found[1] if found else frozenset()))
        if pointer.live is None:
            return
        live = ledger.dartifact(pointer.live)
        blamed = {blame.value for blame in ledger.blames()}
        assert not blamed & {live.code_digest, *live.runs}, f"{pointer.live} is live and contains what is blamed"
        for run_id, (_, versions) in self.files.runs(self.files.objects(live.main_commit)).items():
            assert (run_id, versions) not in self.blamed, f"{pointer.live} is live with the blamed rows of {run_id}"

    def read_snapshot(self, commit: str) -> str | None:
        """Return which build a commit of a served branch shows; AssertionError when it is not exactly one."""
        if commit in self.snapshots:
            return self.snapshots[commit]
        if not self.files.objects(commit):
            return None
        fence = self.files.lake.read_json(commit, PUBLISHED_FENCE)
        objects = self.files.checksums(commit, PUBLISHED_FENCE)
        wanted = self.files.checksums(fence["wanted"], PUBLISHED_FENCE)
        assert objects == wanted, f"{commit[:12]} is not what {fence} says"
        built = self.stack.ledger.dartifact(fence["dartifact"])
        assert built.commit is not None
        assert objects == self.files.checksums(built.commit), f"{commit[:12]} does not show {built.dartifact_id}"
        self.snapshots[commit] = str(fence["wanted"])
        return self.snapshots[commit]

    # The end

    def teardown(self) -> None:
        """Recover everything, as the next start does, and see that nothing is left half-done."""
        try:
            if self.sound:
                self.recover()
        finally:
            if self.paused is not None:
                self.paused.wake(dead=True)
                self.paused.process.end()
            self.process.end()

    def recover(self) -> None:
        """Kill what stands still, start anew, and let every station run."""
        if self.paused is not None:
            self.paused.wake(dead=True)
            self.paused.process.end()
            self.paused = None
        self.process.end()
        self.site.run_out_leases()
        self.process = self.site.start()
        for publisher in self.publishers.values():
            publisher._faults.clear()
        stack = self.stack
        reconcile(stack)
        self.look()
        pointer = stack.ledger.pointer()
        if pointer.settled:
            fence = stack.lake.read_json(f"{PRODUCTION}@", PUBLISHED_FENCE)
            assert fence["wanted"] == pointer.settled, "production does not show what is settled"
        self.tick(60)
        for ingestor in INGESTORS:
            self.do_ingest(stack, ingestor)
        integrate(stack, actor="policy:integrate")
        self.look()
        assert not stack.ledger.open_intents()
        assert not self.list_runs(*UNFINISHED)
        pending = [run.run_id for run in stack.ledger.pending_reverts()]
        assert not pending, f"reverts are still waiting: {pending}"
        self.follow(stack)
        events = stack.ledger.events(type="CandidateRefused", most=10_000)
        refused = {event.payload["branch"] for event in events}
        for prefix in _HIDDEN:
            left = [each for each in stack.lake.list_branches(prefix) if each not in refused]
            TALLY.leftovers[prefix] += len(left)
            assert self.faults or not left, f"nothing broke, and {left} are left"

    def follow(self, stack: Stack) -> None:
        """Production follows main, if nothing forbids it."""
        unfreeze(stack, reason="told to", actor=PERSON)
        if not stack.lake.head(MAIN).parents:
            return
        staged = stage(stack, actor="policy:stage").dartifact_id
        forbidden = False
        try:
            while self.promote_through(stack):
                pass  # the first call may only have finished what was left
        except (errors.PolicyRefused, errors.Aborted):
            forbidden = True
        self.look()
        state = stack.ledger.dartifact(staged).state
        followed = self.pointer.live == staged or forbidden or state is DartifactState.BAD
        assert followed, f"{staged} is {state}, and {self.pointer.live} is live"
        for each in stack.ledger.dartifacts():
            if each.commit is not None:
                keep, tag = (f"keep-{each.dartifact_id}", f"dartifact-{each.dartifact_id}")
                assert self.heads[keep] == each.commit
                assert stack.lake.read_json(each.commit, PASSPORT) == each.passport
                assert stack.lake.commit_of(tag).commit_id == each.commit


def _reject(stack: Stack, run: Run) -> None:
    with stack.ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.REJECTED, "RunRejected", PERSON, expect=run.phase)


@pytest.mark.soak
def test_nothing_is_lost_or_shown_half_whatever_breaks_between_two_steps(lakefs: LakeAccess) -> None:
    examples = int(os.environ.get("DARTIFACT_TEST_EXAMPLES", "0"))
    profile = settings(
        max_examples=examples or 10,
        stateful_step_count=40 if examples else 20,
        derandomize=not examples,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Stage.explicit, Stage.generate, Stage.shrink),
    )
    repositories = Repositories(lakefs, f"machine-{os.getpid()}", ahead=6)
    with TemporaryDirectory(prefix="machine-") as home:
        numbers = itertools.count()

        def play() -> Machine:
            folder = Path(home) / str(next(numbers))
            folder.mkdir()
            return Machine(lakefs, repositories.take(), folder)

        run_state_machine_as_test(play, settings=profile)
    print(f"\ncommands {dict(TALLY.commands)}\nfaults {dict(TALLY.hits)}\nleft over {dict(TALLY.leftovers)}")
