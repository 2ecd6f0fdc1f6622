"""The self-test of the checks on a real lakeFS server: it finds gaps, leaves nothing behind, and touches nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.upkeep import self_test as module
from dartifact.commands.upkeep.self_test import BRANCH, self_test
from dartifact.compare.mutations import self_test as trials
from dartifact.domain import errors
from tests.support.sources import customer, order
from tests.support.world import World

ROWS = 100
SOME = ("nulls", "negative", "unknown_category", "orphans", "lost_rows", "retyped_column", "deletions")


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a world with six good batches, and fewer mutations: each of them is two gates."""
    world.land("customers", *(customer(n) for n in range(1, 6)))
    for number in range(6):
        world.land("orders", *make_orders(number))
    monkeypatch.setattr(trials, "FAULTS", tuple(each for each in trials.FAULTS if each.name in SOME))
    monkeypatch.setattr(trials, "HARMLESS", trials.HARMLESS[:4])
    return world


def make_orders(number: int) -> list[dict[str, object]]:
    return [
        order(number * ROWS + n, customer_id=f"C{1 + n % 5:06d}", amount=Decimal(10 + n % 37) / 4,
              status=("placed", "paid", "shipped")[n % 3])
        for n in range(1, ROWS + 1)
    ]  # fmt: skip


def test_it_tells_which_gate_stops_what_and_leaves_nothing(shop: World) -> None:
    before, events = shop.head, len(shop.events())
    done = self_test(shop.stack, "orders")
    found = {each.name: each for each in done.faults}
    assert (found["nulls"].stopped_by, found["nulls"].smallest_dose) == ("local", 0.01)
    assert found["orphans"].stopped_by == "integration"
    assert found["orphans"].check == "orders.customer_id.reference"
    assert found["retyped_column"].check == f"orders.schema.type.{(found['retyped_column'].columns or ('',))[0]}"
    assert found["lost_rows"].stopped_by is None
    assert done.false_alarms == 0, done.harmless
    assert 0.5 < done.catch_rate < 1
    assert shop.lake.list_branches(BRANCH) == ()
    assert (shop.head, len(shop.events())) == (before, events)


def test_a_check_that_is_taken_away_stops_nothing_any_more(shop: World) -> None:
    before = self_test(shop.stack, "orders")
    contract = shop.stack.contract("orders")
    valid = "      - invalid:\n          valid_values: [placed, paid, shipped, returned, cancelled]\n"
    assert valid in contract.text
    shop.stack._contracts["orders"] = replace(contract, text=contract.text.replace(valid, ""))
    after = self_test(shop.stack, "orders")
    stopped = {each.name: each.check for each in after.faults}
    assert stopped["unknown_category"] != {each.name: each.check for each in before.faults}["unknown_category"]


def test_a_waiver_is_seen_as_the_hole_that_it_is(shop: World) -> None:
    from dartifact.commands.gates.waivers import waive  # noqa: PLC0415

    check, until = "orders.amount.invalid", shop.clock() + timedelta(days=1)
    before = {each.name: each for each in self_test(shop.stack, "orders").faults}
    assert before["negative"].check == check
    waive(shop.stack, "orders", check, until=until, reason="we refund", actor="ann", rows=ROWS)
    after = {each.name: each for each in self_test(shop.stack, "orders").faults}
    assert after["negative"].check != check


def test_the_branch_goes_also_when_it_is_interrupted_and_is_swept_when_it_is_killed(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "run_trials", interrupt)
        with pytest.raises(KeyboardInterrupt):
            self_test(shop.stack, "orders")
    assert shop.lake.list_branches(BRANCH) == ()
    shop.lake.create_branch(f"{BRANCH}{'0' * 16}", shop.head.commit_id)
    reconcile(shop.stack)
    shop.tick(timedelta(hours=2))
    assert any("a leftover" in each for each in reconcile(shop.stack))
    assert shop.lake.list_branches(BRANCH) == ()


def test_what_cannot_be_tested_is_said(world: World) -> None:
    with pytest.raises(errors.NotFound, match="no run of orders is in main yet"):
        self_test(world.stack, "orders")
    with pytest.raises(errors.UsageError, match="there is no source nothing"):
        self_test(world.stack, "nothing")


def test_a_batch_that_is_red_by_itself_today_is_no_yardstick(world: World) -> None:
    world.land("customers", customer(1))
    with world.without_local_gate("orders"):
        run = world.land("orders", order(1))
    contract = world.stack.contract("orders")
    text = contract.text.replace("[placed, paid, shipped, returned, cancelled]", "[gone]")
    world.stack._contracts["orders"] = replace(contract, text=text)
    with pytest.raises(errors.ChecksFailed, match=f"{run.run_id} itself would be stopped today"):
        self_test(world.stack, "orders")
