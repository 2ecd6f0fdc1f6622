"""The lake was restored to an earlier day, or lost commits: production shows the newest that is still there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from dartifact.adapters.lakefs.lake import PRODUCTION, Lake
from dartifact.commands.production.promote import promote
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.under_way import unfreeze
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.staging.stage import stage
from dartifact.commands.upkeep.notify import compose
from dartifact.domain import errors
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.plans import Slot
from dartifact.domain.runs import Phase, Run
from tests.support.sources import customer, order
from tests.support.world import World

GONE = "0" * 64


def deliver(world: World, number: int) -> tuple[Run, str]:
    """Bring one more order to production; return its run and the dartifact's id."""
    run = world.place("orders", order(number, amount=Decimal(10)))
    dartifact = stage(world.stack, actor="test")
    assert promote(world.stack, actor="test") is not None
    return world.run(run), dartifact.dartifact_id


def lose(world: World, *dartifacts: str, builds: bool = True) -> None:
    """Let the ledger name commits that the lake lacks, as after the lake was restored from an older copy."""
    import sqlalchemy as sa  # noqa: PLC0415

    from dartifact.adapters.ledger import tables as t  # noqa: PLC0415

    pointer = world.stack.ledger.pointer()
    slots = {name: Slot(slot.dartifact, GONE) if slot.dartifact in dartifacts else slot
             for name, slot in pointer.slots.items()}  # fmt: skip
    settled = GONE if pointer.live in dartifacts else pointer.settled
    lost = replace(pointer, slots=slots, settled=settled, generation=pointer.generation + 1)
    with world.stack.ledger.write() as tx:
        tx.production.swap_pointer(pointer, lost, "TrafficShifted", "test")
        if builds:
            where = t.dartifacts.c.dartifact_id.in_(dartifacts)
            tx.runs._tx.execute(sa.update(t.dartifacts).where(where).values(commit_id=GONE))


def shown(world: World) -> str:
    return str(world.lake.read_json(f"{PRODUCTION}@", "_dartifact/published.json")["dartifact"])


@pytest.fixture
def shop(world: World) -> World:
    """Return a world in which one customer is in `main`."""
    world.place("customers", customer(1))
    return world


def test_the_newest_earlier_dartifact_that_the_lake_has_is_served_and_promotions_are_frozen(shop: World) -> None:
    first_run, first = deliver(shop, 1)
    lost_run, lost = deliver(shop, 2)
    before = shop.stack.ledger.pointer()
    lose(shop, lost)
    found = reconcile(shop.stack)
    assert found[0] == f"the lake lacks {GONE[:12]}, which production should show; {first} is served"
    pointer = shop.stack.ledger.pointer()
    assert (pointer.live, pointer.settled) == (first, before.slots["blue"].commit)
    assert GONE[:12] in (pointer.frozen or "")
    assert resolve(shop.stack).commit == resolve(shop.stack, "dashboard").commit == pointer.settled
    assert shown(shop) == first
    assert shop.stack.ledger.dartifact(lost).state is DartifactState.BAD
    assert shop.stack.ledger.dartifact(first).state is DartifactState.LIVE
    assert (shop.run(first_run).phase, shop.run(lost_run).phase) == (Phase.LIVE, Phase.MERGED)
    assert reconcile(shop.stack) == ()
    titles = [message.title for message in compose(shop.events())]
    assert titles == [f"production lost {lost}; it shows {first}, promotions are frozen"]


def test_what_is_older_than_both_slots_is_published_again(shop: World) -> None:
    _, first = deliver(shop, 1)
    _, second = deliver(shop, 2)
    _, third = deliver(shop, 3)
    lose(shop, second, third)
    reconcile(shop.stack)
    assert resolve(shop.stack).dartifact == shown(shop) == first
    pointer = shop.stack.ledger.pointer()
    assert pointer.slots[pointer.idle] == Slot()
    assert sorted(pointer.weights.values()) == [0, 100]


def test_what_is_live_is_served_again_where_only_the_commit_of_its_slot_is_lost(shop: World) -> None:
    deliver(shop, 1)
    _, live = deliver(shop, 2)
    lose(shop, live, builds=False)
    reconcile(shop.stack)
    assert resolve(shop.stack).dartifact == shown(shop) == live
    assert shop.stack.ledger.dartifact(live).state is DartifactState.LIVE
    assert shop.stack.ledger.pointer().frozen


def test_what_a_rollback_has_blamed_is_not_what_comes_back(shop: World) -> None:
    _, first = deliver(shop, 1)
    _, second = deliver(shop, 2)
    guilty, third = deliver(shop, 3)
    roll_back(shop.stack, cause=Cause((guilty.run_id,)), reason="wrong", actor="person:test")
    assert shop.stack.ledger.pointer().live == second
    lose(shop, second)
    reconcile(shop.stack)
    assert resolve(shop.stack).dartifact == first
    assert shop.stack.ledger.dartifact(third).state is DartifactState.BAD


def test_a_promotion_under_way_is_over_and_what_comes_next_is_promoted_when_a_person_says(shop: World) -> None:
    _, first = deliver(shop, 1)
    _, second = deliver(shop, 2)
    shop.with_policy(weights=(50, 100), soak=timedelta(minutes=1))
    shop.place("orders", order(3))
    third = stage(shop.stack, actor="test").dartifact_id
    promote(shop.stack, actor="test")
    lose(shop, second)
    with pytest.raises(errors.PolicyRefused, match="the lake lacks"):
        promote(shop.stack, actor="test")
    assert resolve(shop.stack, "dashboard").dartifact == shown(shop) == first
    assert [each.state for each in shop.stack.ledger.promotions()] == ["aborted", "done", "done"]
    shop.with_policy(soak=timedelta(0))
    unfreeze(shop.stack, reason="looked at", actor="person:test")
    promote(shop.stack, actor="test")
    assert resolve(shop.stack).dartifact == third


def test_a_lake_that_has_nothing_of_it_freezes_promotions_and_is_left_alone(
    shop: World, make_lake: Callable[[], Lake]
) -> None:
    deliver(shop, 1)
    before = shop.stack.ledger.pointer()
    wrong = replace(shop.stack, lake=make_lake())
    head = wrong.lake.head(PRODUCTION)
    for _ in range(2):
        (found,) = reconcile(wrong)
        assert "restore the lake" in found
    pointer = shop.stack.ledger.pointer()
    assert (pointer.live, pointer.settled) == (before.live, before.settled)
    assert pointer.frozen
    assert wrong.lake.head(PRODUCTION) == head
    (message,) = compose(shop.events())
    assert "promotions are frozen" in message.title
