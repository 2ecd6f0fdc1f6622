"""What the state machine found, each told as a short story of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dartifact.adapters.lakefs.lake import MAIN, Lake
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.rollback_preview import Rollback
from dartifact.commands.queue.integrate import Integration, integrate
from dartifact.commands.stack import Policy, Stack
from dartifact.commands.staging.stage import stage
from dartifact.domain import errors
from dartifact.domain.dartifacts import Cause, Dartifact
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase, Run
from tests.support.books import to_version
from tests.support.machine import Command, Crash, Fault, Kind, Site
from tests.support.sources import CUSTOMERS, ORDERS, RememberingSource, Row, stamp
from tests.support.world import Clock

T = TypeVar("T")
PERSON = "person:tester"
SOURCES = {"customers": CUSTOMERS, "orders": ORDERS}


def order(number: int, amount: int = 10) -> Row:
    return {"order_id": number, "customer_id": None, "amount": Decimal(amount), "note": None}


@dataclass
class Scene:
    """Orders on their way through the real commands; the process at work can die."""

    site: Site
    clock: Clock
    orders: RememberingSource = field(default_factory=lambda: RememberingSource("orders"))

    def __post_init__(self) -> None:
        self.process = self.site.start()

    @property
    def stack(self) -> Stack:
        return self.process.stack

    def tick(self, by: timedelta = timedelta(seconds=10)) -> None:
        self.orders.now = self.clock.advance(by)

    def bring(self, *rows: Row) -> Run:
        self.tick()
        self.orders.add(*rows)
        return self.ingest()[-1]

    def ingest(self) -> tuple[Run, ...]:
        return ingest(self.stack, ORDERS, self.orders, "dan", actor="ingestor:dan")

    def integrate(self) -> Integration:
        return integrate(self.stack, actor="policy:integrate")

    def stage(self) -> Dartifact:
        return stage(self.stack, actor="policy:stage")

    def promote(self, **options: Any) -> None:
        promote(self.stack, actor="policy:promote", **options)

    def deliver(self, *rows: Row) -> tuple[Run, Dartifact]:
        """Bring rows to production; return the run and the dartifact."""
        run = self.bring(*rows)
        self.integrate()
        dartifact = self.stage()
        self.promote()
        assert self.live == dartifact.dartifact_id
        return run, dartifact

    def roll_back(self, *blame: str, to: str | None = None, **options: Any) -> Rollback:
        return roll_back(self.stack, to, Cause.parse(blame), reason="told to", actor=PERSON, **options)

    def revert(self, run: Run) -> None:
        with self.stack.ledger.write() as tx:
            tx.runs.request_revert(run.run_id, "told to", PERSON)

    def fix(self, run: Run) -> None:
        """Correct a run's amounts on its branch and send it to the checks again."""
        run = self.stack.ledger.run(run.run_id)
        [found] = self.stack.lake.list_objects(run.commit or "", run.folder)
        path = found.physical.removeprefix("local://")
        rows = [row | {"amount": abs(row["amount"]), "note": "fixed"} for row in pq.read_table(path).to_pylist()]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), sink)
        self.stack.lake.upload(run.branch, found.path, sink.getvalue().to_pybytes())
        commit = self.stack.lake.commit(run.branch, "fix", {})
        with self.stack.ledger.write() as tx:
            tx.runs.move(run.run_id, Phase.CHECKING, "RunFixed", PERSON, changes={"commit_id": commit.commit_id})

    def break_at(self, point: str, command: Callable[[], object], kind: Kind = Kind.CRASH) -> None:
        """Let a command die at a point, and go on in a new process."""
        self.process.points.arm(Fault(kind, point))
        with pytest.raises(Crash):
            command()
        self.start_anew()

    def start_anew(self) -> None:
        self.process.end()
        self.site.run_out_leases()
        self.process = self.site.start()

    def phase(self, run: Run) -> Phase:
        return self.stack.ledger.run(run.run_id).phase

    def in_main(self) -> frozenset[str]:
        return runs_in(each.path for each in self.stack.lake.list_objects(f"{MAIN}@"))

    def keys(self, run: Run) -> set[Any]:
        """Name the keys that a run holds at its tested commit."""
        commit = self.stack.ledger.run(run.run_id).commit or ""
        [found] = self.stack.lake.list_objects(commit, run.folder)
        rows = pq.read_table(Path(found.physical.removeprefix("local://"))).to_pylist()
        return {to_version("orders", row).key for row in rows}

    @property
    def live(self) -> str | None:
        return self.stack.ledger.pointer().live


@pytest.fixture
def scene(lake: Lake, clock: Clock, tmp_path: Path) -> Iterator[Scene]:
    site = Site(lake.access, lake.repository, tmp_path, SOURCES, Policy(smoke_least_share=0), clock)
    scene = Scene(site, clock)
    yield scene
    scene.process.end()


def before(step: str, do: Callable[[], object]) -> Callable[[str, Callable[[], T]], T]:
    """Return a runner that does something else before the first step whose name begins like this."""
    waiting = [do]

    def run(name: str, call: Callable[[], T]) -> T:
        if name.startswith(step) and waiting:
            waiting.pop()()
        return call()

    return run


def test_row_that_a_person_corrected_does_not_come_back_through_the_next_overlap(scene: Scene) -> None:
    bad = scene.bring(order(1, amount=-5), order(2))
    assert bad.phase is Phase.FAILED
    scene.fix(bad)
    assert scene.ingest()[0].phase is Phase.QUEUED
    after = scene.bring(order(3))
    assert after.phase is Phase.QUEUED
    assert scene.keys(after) == {3}


def test_production_follows_when_main_is_brought_back_to_what_was_live_before(scene: Scene) -> None:
    _, first = scene.deliver(order(1))
    second, _ = scene.deliver(order(2))
    scene.revert(second)
    scene.integrate()
    assert scene.stage().dartifact_id == first.dartifact_id
    scene.promote()
    assert scene.live == first.dartifact_id


def test_rollback_never_brings_back_what_an_earlier_one_blamed(scene: Scene) -> None:
    scene.deliver(order(1))
    guilty, with_guilty = scene.deliver(order(2))
    scene.deliver(order(3))
    scene.roll_back(guilty.run_id)
    scene.integrate()
    with pytest.raises(errors.UsageError):
        scene.roll_back("unknown")
    with pytest.raises(errors.PolicyRefused):
        scene.roll_back("unknown", to=with_guilty.dartifact_id)


def test_rollback_settles_only_on_what_it_decided_for(scene: Scene) -> None:
    _, first = scene.deliver(order(1))
    scene.deliver(order(2))
    scene.bring(order(3))
    scene.integrate()
    third = scene.stage()

    def take_its_slot() -> None:
        class Stop(Exception):
            pass

        def stop() -> None:
            raise Stop

        with pytest.raises(Stop):
            scene.promote(runner=before("smoke", stop))
        assert third.dartifact_id in {slot.dartifact for slot in scene.stack.ledger.pointer().slots.values()}

    done = scene.roll_back(to=first.dartifact_id, runner=before("swap", take_its_slot))
    assert done.returns == scene.live == first.dartifact_id


def test_promotion_that_slept_through_rollbacks_stops_at_its_claim(scene: Scene) -> None:
    for number in (1, 2, 3):
        scene.deliver(order(number))
    scene.bring(order(4))
    scene.integrate()
    scene.stage()

    def roll_back_twice() -> None:  # then the slot that was idle is so again
        scene.roll_back("unknown")
        scene.roll_back("unknown")

    with pytest.raises(errors.Aborted):
        scene.promote(runner=before("claim", roll_back_twice))
    pointer = scene.stack.ledger.pointer()
    assert pointer.frozen
    assert pointer.plan is None
    assert pointer.weights[pointer.active or ""] == 100


def test_fixed_run_does_not_free_older_dartifacts_that_hold_its_faulty_rows(scene: Scene) -> None:
    scene.deliver(order(1))
    guilty, _ = scene.deliver(order(2))
    scene.bring(order(3))
    scene.integrate()
    waiting = scene.stage()
    scene.roll_back(guilty.run_id)
    scene.integrate()
    assert scene.phase(guilty) is Phase.REVERTED
    scene.fix(guilty)
    scene.ingest()
    scene.integrate()
    assert scene.phase(guilty) is Phase.MERGED
    scene.promote()
    assert scene.live != waiting.dartifact_id
    fixed = scene.stage()
    scene.promote()
    assert scene.live == fixed.dartifact_id


def test_rollback_works_though_its_guilty_run_has_left_main_meanwhile(scene: Scene) -> None:
    _, first = scene.deliver(order(1))
    guilty, _ = scene.deliver(order(2))

    def take_it_out() -> None:
        scene.revert(guilty)
        scene.integrate()

    scene.roll_back(guilty.run_id, runner=before("swap", take_it_out))
    assert scene.live == first.dartifact_id
    assert scene.phase(guilty) is Phase.REVERTED
    assert not scene.stack.ledger.pending_reverts()


def test_promotion_finished_by_another_process_is_not_called_aborted(scene: Scene) -> None:
    scene.bring(order(1))
    scene.integrate()
    dartifact = scene.stage()

    def finish_it_elsewhere() -> None:
        scene.site.run_out_leases()
        other = scene.site.start()
        promote(other.stack, actor="policy:promote")
        other.end()

    with pytest.raises(errors.Aborted):
        scene.promote(runner=before("smoke", finish_it_elsewhere))
    assert scene.live == dartifact.dartifact_id
    assert [each.state for each in scene.stack.ledger.promotions()] == ["done"]


def test_dartifact_keeps_its_tag_though_the_process_died_before_it(scene: Scene) -> None:
    scene.bring(order(1))
    scene.integrate()
    scene.break_at("before tag dartifact", scene.stage)
    dartifact = scene.stage()
    assert scene.stack.lake.commit_of(f"dartifact-{dartifact.dartifact_id}").commit_id == dartifact.commit


def test_run_keeps_its_branch_though_somebody_slow_found_it_empty(scene: Scene) -> None:
    class Late(RememberingSource):
        def fetch(self, *args: Any, **options: Any) -> Iterator[list[Row]]:
            pages = list(super().fetch(*args, **options))
            if len(self.fetched) == 1:
                self.add({"updated_at": stamp(self.now - timedelta(seconds=1))} | order(1))
                scene.site.run_out_leases()
                other = scene.site.start()
                ingest(other.stack, ORDERS, self, "dan", actor="ingestor:dan")
                other.end()
            return iter(pages)

    scene.orders = Late("orders")
    scene.tick()
    with pytest.raises(errors.DartifactError):
        scene.ingest()
    [run] = scene.stack.ledger.runs()
    assert run.phase is Phase.QUEUED
    assert scene.stack.lake.has_branch(run.branch)


def hold_an_order_until_its_customer_comes(scene: Scene) -> Run:
    """Return a held run that the next integration would merge."""
    run = scene.bring(order(1) | {"customer_id": "C000001"})
    scene.integrate()
    assert scene.phase(run) is Phase.HELD
    customers = RememberingSource("customers", now=scene.clock.now)
    customers.add({"customer_id": "C000001", "segment": "consumer", "note": None})
    ingest(scene.stack, CUSTOMERS, customers, "dana", actor="ingestor:dana")
    return run


def reject(stack: Stack, run: Run) -> None:
    with stack.ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.REJECTED, "RunRejected", PERSON)


def test_person_cannot_take_a_run_out_whose_merge_may_have_happened(scene: Scene) -> None:
    run = hold_an_order_until_its_customer_comes(scene)
    scene.break_at("before merge main", scene.integrate)
    with pytest.raises(errors.Locked):
        reject(scene.stack, run)
    with pytest.raises(errors.Locked):
        scene.fix(run)
    scene.integrate()
    assert scene.phase(run) is Phase.MERGED
    assert run.run_id in scene.in_main()


def test_run_that_a_person_let_go_while_it_was_tested_does_not_land(scene: Scene) -> None:
    run = hold_an_order_until_its_customer_comes(scene)
    slow = scene.site.start()
    work = partial(integrate, actor="policy:integrate")
    command = Command("integrate", slow, work, Fault(Kind.PAUSE, "before commit candidate"))
    assert not command.is_over
    reject(scene.stack, run)
    command.wake()
    slow.end()
    assert command.error is None
    assert scene.phase(run) is Phase.REJECTED
    assert run.run_id not in scene.in_main()
    assert len(scene.in_main()) == 1  # the customer
    refused = [event.payload["branch"] for event in scene.stack.ledger.events(type="CandidateRefused")]
    assert list(scene.stack.lake.list_branches("candidate-")) == refused  # from when the run was held
