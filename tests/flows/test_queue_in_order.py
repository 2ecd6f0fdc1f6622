"""Runs of an in-order ingestor on a real lakeFS server: who waits for whom, and who says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dartifact.cli.text.show import format_record
from dartifact.cli.text.status import format_status
from dartifact.documents.records import describe_one
from dartifact.documents.status import describe_status
from dartifact.domain.errors import ChecksErrored
from dartifact.domain.runs import Phase, Run
from tests.support.sources import bad_customer, customer, order
from tests.support.world import ACTOR, World


@pytest.fixture
def world(world: World) -> World:
    """Let dana's runs land in order, first checked in the queue; dan's are as ever."""
    source = world.stack.source("customers")
    dana = replace(source.ingestors[0], in_order=True, local_gate=False)
    world.stack.sources["customers"] = replace(source, ingestors=(dana,))  # type: ignore[index]
    return world


def ids(*runs: Run) -> list[str]:
    return [run.run_id for run in runs]


def reject(world: World, run: Run) -> None:
    with world.stack.ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.REJECTED, "RunRejected", ACTOR)


def test_runs_in_order_land_together_when_all_are_good(world: World) -> None:
    runs = [world.bring("customers", customer(number)) for number in (1, 2, 3)]
    done = world.integrate()
    assert (done.merged, done.waiting, done.candidates) == (ids(*runs), [], 1)


def test_later_runs_of_a_culprit_leave_the_retested_batch_and_others_flow_past(world: World) -> None:
    first = world.bring("customers", customer(1))
    bad = world.bring("customers", bad_customer(2))
    later = [world.bring("customers", customer(number)) for number in (3, 4)]
    other = world.bring("orders", order(1, of=1))
    done = world.integrate()
    assert (done.failed, done.merged, done.waiting) == (ids(bad), ids(first, other), ids(*later))
    assert done.candidates == 2
    assert world.runs_in_main() == set(ids(first, other))
    assert [world.run(run).reasons for run in later] == [(f"waiting for {bad.run_id} (in-order ingestor)",)] * 2
    assert [event.run_id for event in world.events("RunKeptWaiting")] == ids(*reversed(later))


def test_run_that_waits_is_told_of_by_status_and_show(world: World) -> None:
    bad = world.bring("customers", bad_customer(1))
    later = world.bring("customers", customer(2))
    world.integrate()
    words = f"waiting for {bad.run_id} (in-order ingestor)"
    assert f"{later.run_id} {words}" in format_status(describe_status(world.stack) | {"services": None})
    assert f"why: {words}" in format_record(describe_one(world.stack, later.run_id))


def test_waiting_is_said_once_however_often_the_queue_is_looked_at(world: World) -> None:
    world.bring("customers", bad_customer(1))
    world.bring("customers", customer(2))
    world.integrate()
    assert world.integrate().candidates == 0
    assert len(world.events("RunKeptWaiting")) == 1


def test_fixed_run_lets_the_later_ones_land_after_it(world: World) -> None:
    world.with_policy(candidate_size=1)
    bad = world.bring("customers", bad_customer(1))
    later = world.bring("customers", customer(2))
    world.integrate()
    world.fix(bad, customer(1))
    assert world.integrate().merged == ids(bad, later)
    assert world.run(later).reasons == ()


def test_rejected_run_lets_the_later_ones_go_on(world: World) -> None:
    bad = world.bring("customers", bad_customer(1))
    later = world.bring("customers", customer(2))
    world.integrate()
    reject(world, bad)
    done = world.integrate()
    assert (done.merged, done.waiting) == (ids(later), [])


def test_run_that_never_got_a_commit_keeps_the_later_one_waiting(world: World) -> None:
    world.tick()
    world.sources["customers"].add(customer(1))
    world.sources["customers"].fail_next(RuntimeError("killed"))
    with pytest.raises(ChecksErrored):
        world.ingest("customers")
    (stuck,) = world.stack.ledger.runs()
    with world.stack.ledger.write() as tx:
        tx.runs.move(stuck.run_id, Phase.HELD, "RunHeld", ACTOR)
    later = world.bring("customers", customer(2))
    done = world.integrate()
    assert (done.merged, done.waiting) == ([], ids(later))


def test_run_to_be_reverted_keeps_later_ones_waiting_until_it_is_rejected(world: World) -> None:
    first = world.land("customers", customer(1))
    later = world.bring("customers", customer(2))
    world.request_revert(first)
    done = world.integrate()
    assert (done.reverted, done.merged, done.waiting) == (ids(first), [], ids(later))
    reject(world, first)
    assert world.integrate().merged == ids(later)
