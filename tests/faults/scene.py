"""A small company on the real lake whose commands run in processes that break, and what must hold when all is quiet.

dbt is the one stand-in (`TableBuilder`: a build takes milliseconds), but where a test says otherwise. The scene lives
on from case to case, so that what an earlier fault left would show in a later one.
"""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, SERVED
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.connections import read_url
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.stack import Stack
from dartifact.commands.staging.stage import stage
from dartifact.domain.plans import PromotionState
from dartifact.domain.runs import Phase, Run
from tests.faults.children import Ending, Fault, Kind, Order, Place, Task, run_child
from tests.faults.reader import Reader
from tests.support.books import Files, Publisher, Version, to_version
from tests.support.machine import change_code
from tests.support.proxy import Fault as Cut
from tests.support.proxy import Proxy
from tests.support.sources import Row, stamp
from tests.support.waiting import wait_until
from tests.support.world import Clock

_PASSING = ("candidate-", "publish-", "build-")
_IN_MAIN = (Phase.MERGED, Phase.LIVE)


@dataclass
class Scene:
    """One repository and ledger with two sources, a proxy that its breaking processes go through, and a reader.

    `out` holds the runs whose rows a person has had taken out of `main`.
    """

    place: Place
    proxy: Proxy
    clock: Clock = field(default_factory=Clock)
    out: set[str] = field(default_factory=set)
    cases: int = 0

    def __post_init__(self) -> None:
        self.publishers = {name: Publisher(name) for name in self.place.sources}
        self.stack = self.place.open(self.clock)
        self.files = Files(self.place.access, self.place.repository)
        self.reader = Reader(self.stack, self.files)
        self._numbers = itertools.count(1)
        self._versions = itertools.count(1)

    def close(self) -> None:
        """Give the connections back."""
        self.stack.ledger.close()

    # Moves, in the test's own process

    def publish(self, dataset: str, count: int = 2) -> None:
        """Let five minutes pass and the source publish rows, at its very now, where overlaps reach them again."""
        now = self.clock.advance()
        for publisher in self.publishers.values():
            publisher.now = now
        for _ in range(count):
            self.publishers[dataset].add({"updated_at": stamp(now)} | self._new_row(dataset))
        orders = self.publishers["orders"].rows
        if dataset == "orders" and len(orders) > count:
            old = {key: value for key, value in orders[0].items() if key != "updated_at"}
            self.publishers["orders"].add({"updated_at": stamp(now)} | old | {"note": f"changed at {now}"})

    def _new_row(self, dataset: str) -> Row:
        number = next(self._numbers)
        if dataset == "customers":
            return {"customer_id": f"C{number:06}", "segment": "consumer", "note": None}
        first = self.publishers["customers"].rows[0]["customer_id"]  # it is never taken out
        return {"order_id": number, "customer_id": first, "amount": Decimal(number), "note": None}

    def bring(self, dataset: str) -> Run:
        """Publish rows and bring them into the queue."""
        self.publish(dataset)
        source = self.stack.source(dataset)
        name = source.ingestors[0].name
        return ingest(self.stack, source, self.publishers[dataset], name, actor=f"ingestor:{name}")[-1]

    def land(self, dataset: str) -> Run:
        """Publish rows and bring them into `main`."""
        run = self.bring(dataset)
        integrate(self.stack, actor="policy:integrate")
        return run

    def change_code(self) -> None:
        """Change the dbt project; every stage makes something new then."""
        change_code(self.place.project, next(self._versions))

    def deliver_code(self) -> str:
        """Change the code and bring it all the way; return the dartifact."""
        self.change_code()
        name = stage(self.stack, actor="policy:stage").dartifact_id
        while promote(self.stack, actor="policy:promote"):
            pass
        return name

    def open_stage(self) -> None:
        """Bring the first rows live."""
        self.bring("customers")
        self.land("orders")
        self.deliver_code()

    # Processes

    def run(self, order: Order, fault: Fault | None = None, again: Order | None = None) -> Ending:
        """Run an order in a process of its own, through the proxy, and do what its fault needs from outside.

        `again` is what another process does while the first one stands still.
        """
        task = Task(self.place, self.proxy.url, self.clock, self.publishers, order, fault)

        is_down = False

        def meanwhile() -> None:
            nonlocal is_down
            match fault.kind if fault else None:
                case Kind.DOWN:
                    self.proxy.refuse()
                    is_down = True
                case Kind.CUT:
                    self.proxy.add(r"^(?!GET|HEAD|OPTIONS)", Cut.CUT_AFTER)
                case Kind.PAUSE if again is not None:
                    self._run_out_leases()
                    self.recover(again)

        try:
            return run_child(task, meanwhile)
        finally:
            self.proxy.heal()
            if is_down:
                self.proxy.accept()

    def recover(self, again: Order) -> None:
        """Do what the product does after anything: a new process reconciles, and the same command comes again."""
        ending = self.run(partial(reconcile_and, again))
        assert ending.error is None, f"the recovery failed:\n{ending.error}"
        assert ending.exitcode == 0

    def _run_out_leases(self) -> None:
        # The database's clock cannot be moved from here; a lease of long ago is what a long pause makes of it.
        engine = sa.create_engine(read_url(self.stack.ledger.url))
        try:
            with engine.begin() as connection:
                connection.execute(t.leases.update().values(until=0.0))
        finally:
            engine.dispose()

    def count_transactions(self) -> int:
        """Return SQLite's own count of committed transactions: `iChange` in the index of the write-ahead log."""
        # Read by another process: to close the file in this one would drop its SQLite's locks on it.
        command = ["od", "-An", "-tu4", "-j8", "-N4", str(self.place.home / "ledger.db-shm")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def wait_for_reader(self) -> None:
        """Wait until the reader has looked at what is there now."""
        polls = self.reader.polls
        wait_until(lambda: self.reader.polls > polls + 1)

    # What must hold when all is quiet

    def look(self) -> None:
        """Compare what the sources published, the ledger and the lake; nothing lost, nothing twice, nothing open."""
        ledger = self.stack.ledger
        assert not ledger.open_intents(), f"open intents: {ledger.open_intents()}"
        heads = self.files.heads()
        runs = [run for run in ledger.runs() if run.phase is not Phase.EMPTY]
        self._look_at_rows(runs, heads)
        self._look_at_windows(runs)
        self._look_at_production(heads)
        assert not self.reader.faults, f"a reader saw: {self.reader.faults[:3]}"

    def _look_at_rows(self, runs: list[Run], heads: dict[str, str]) -> None:
        batches = {run.run_id: self._batch(run) for run in runs}
        brought = Counter(version for batch in batches.values() for version in batch)
        published = Counter(to_version(name, row) for name, each in self.publishers.items() for row in each.rows)
        assert brought == published, f"lost {published - brought}, twice {brought - published}"
        found = {name: rows for name, (_, rows) in self.files.runs(self.files.objects(heads[MAIN])).items()}
        wanted = {name: rows for name, rows in batches.items() if name not in self.out}
        assert found == wanted, f"main holds {sorted(found)}, not {sorted(wanted)}"
        head = self.stack.lake.commit_of(heads[MAIN])
        assert self.stack.ledger.has_green_report(head.meta_range), "the head of main is untested"
        for run in runs:
            expected = (Phase.REVERTED,) if run.run_id in self.out else _IN_MAIN
            assert run.phase in expected, f"{run.run_id} is {run.phase}"
            assert run.branch in heads, f"the branch of {run.run_id} is gone"
        assert not self.stack.ledger.pending_reverts()

    def _batch(self, run: Run) -> frozenset[Version]:
        assert run.commit is not None, f"{run.run_id} has brought nothing"
        return self.files.read(run.commit, run.source, run.folder)

    def _look_at_windows(self, runs: list[Run]) -> None:
        for name, source in self.place.sources.items():
            windows = self.stack.ledger.windows(name, 0)
            for before, after in itertools.pairwise(windows):
                assert after.lo == before.hi - source.overlap, f"{name}: {before}, then {after}"
        assert {each for _, each in self.stack.ledger.gaps()} == self.out

    def _look_at_production(self, heads: dict[str, str]) -> None:
        ledger = self.stack.ledger
        pointer = ledger.pointer()
        assert (pointer.plan, pointer.frozen) == (None, None)
        running = [each.plan for each in ledger.promotions(state=PromotionState.RUNNING)]
        assert not running, f"promotions under way: {running}"
        shown = self.stack.lake.read_json(heads[PRODUCTION], PUBLISHED_FENCE)
        assert shown["wanted"] == pointer.settled, "production does not show what is settled"
        for branch in SERVED:
            if self.files.objects(heads[branch]):
                self.reader.look(heads[branch])
        for slot in pointer.slots.values():
            if slot.commit is not None:
                assert self.reader.look(slot.commit)[0] == slot.dartifact
        assert sum(pointer.weights.values()) == 100
        live = ledger.dartifact(pointer.live or "")
        assert {run.run_id for run in ledger.runs(phases=(Phase.LIVE,))} <= set(live.runs)
        for each in ledger.dartifacts():
            if each.commit is not None:
                assert heads[f"keep-{each.dartifact_id}"] == each.commit
                assert self.stack.lake.commit_of(f"dartifact-{each.dartifact_id}").commit_id == each.commit

    def count_leftovers(self) -> int:
        """Count the hidden branches of operations that are over."""
        return sum(name.startswith(_PASSING) for name in self.files.heads())


def reconcile_and(again: Order, stack: Stack, publishers: dict[str, Publisher]) -> None:
    """Reconcile, then do something."""
    reconcile(stack)
    again(stack, publishers)
