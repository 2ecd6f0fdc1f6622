"""The short roads of the tests' world end where the real ones end."""

from __future__ import annotations

from dataclasses import replace

from dartifact.domain.runs import Phase, Run
from tests.support.sources import START, customer
from tests.support.world import World


def describe(world: World, run: Run) -> dict[str, object]:
    """Return all that is known of a run, but for what is of this one run, by name."""
    run = world.run(run)
    return {
        "run": replace(run, run_id="", number=0, commit=None, report=None, created_at=START,
                       window=replace(run.window, seq=0, lo=START, hi=START, clock=START)),
        "length": run.window.hi - run.window.lo,
        "commit": sorted(world.lake.commit_of(run.commit or "").metadata),
        "objects": [each.path.removeprefix(run.folder) for each in world.lake.list_objects(run.branch, run.folder)],
        "parents": world.lake.commit_of(run.commit or "").parents == (next(iter(world.lake.log("main"))).commit_id,),
        "events": [event.type for event in world.events(run=run)],
    }  # fmt: skip


def test_a_queued_run_is_as_one_that_was_brought_past_its_local_gate(world: World) -> None:
    with world.without_local_gate("customers"):
        world.bring("customers", customer(1))  # the first window has no overlap
        brought = world.bring("customers", customer(2))
    queued = world.queue("customers", customer(3))
    assert queued.phase is Phase.QUEUED
    assert describe(world, queued) == describe(world, brought)
    assert world.bring("customers").phase is Phase.EMPTY  # its overlap brings nothing twice
    assert len(world.integrate().merged) == 3
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]


def test_a_placed_run_is_as_one_that_landed(world: World) -> None:
    with world.without_local_gate("customers"):
        world.land("customers", customer(1))
        landed = world.land("customers", customer(2))
    placed = world.place("customers", customer(3))
    head = world.head
    assert placed.phase is Phase.MERGED
    assert describe(world, placed) == describe(world, landed)
    assert world.keys("customers") == ["C000001", "C000002", "C000003"]
    assert world.stack.ledger.has_green_report(head.meta_range)
    assert not world.integrate().candidates
    assert world.head == head
    assert set(world.intent_outcomes().values()) == {"done"}
    assert world.lake.list_branches("candidate-") == ()
