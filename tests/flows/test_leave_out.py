"""Failing rows left out, the rest brought: nothing is lost, nothing lands twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dartifact.adapters.tables import duck
from dartifact.commands.gates.failing_rows import find_failing, read_failing_rows
from dartifact.commands.review import split as module
from dartifact.commands.review.decide import approve, reject
from dartifact.commands.review.fix import fix
from dartifact.commands.review.split import split_run
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.errors import Conflict, PolicyRefused, UsageError
from dartifact.domain.people import Role
from dartifact.domain.runs import Phase, Run
from dartifact.domain.windows import WindowState
from tests.support.sources import bad_order, customer, order, stamp
from tests.support.world import World


@pytest.fixture
def shop(world: World) -> World:
    world.land("customers", customer(1))
    world.land("orders", order(1, amount=5))
    return world


@pytest.fixture
def bad(shop: World) -> Run:
    return shop.bring("orders", order(1, amount=7), bad_order(2), order(3), bad_order(4))


def batch(shop: World, run: Run) -> list[tuple[Any, ...]]:
    """Return (order, amount, owner, order of claims) of the rows that a run's commit holds."""
    assert run.commit
    objects = shop.lake.list_objects(run.commit, run.folder)
    with duck.connect() as connection:
        duck.create_view(connection, "batch", shop.lake.locate(run.commit, objects), shop.lake.access)
        return connection.execute("SELECT order_id, amount, _run_id, _seq FROM batch ORDER BY order_id").fetchall()


def test_brought_is_merged_and_left_out_row_by_row(shop: World, bad: Run) -> None:
    before = batch(shop, bad)
    derived = split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    assert (derived.phase, derived.ingestor, derived.rows) == (Phase.QUEUED, "hand", 2)
    left = shop.run(bad)
    assert (left.phase, left.rows, left.window.state) == (Phase.FAILED, 2, WindowState.HELD)
    kept, merged = batch(shop, left), batch(shop, derived)
    assert [row[0] for row in merged] == [1, 3]
    assert {row[2] for row in merged} == {derived.run_id}
    assert sorted([*kept, *((*row[:2], bad.run_id, row[3]) for row in merged)]) == before
    [event] = shop.events("RowsLeftOut", run=bad)
    assert (event.payload["brought"], event.payload["merged"], event.payload["left_out"]) == (4, 2, 2)

    assert shop.integrate().merged == [derived.run_id]
    assert shop.keys("orders") == [1, 3]
    assert str(shop.rows("orders")[0]["amount"]) == "7.00"
    assert [name for _, name in shop.stack.ledger.gaps()] == [bad.run_id]


def test_what_was_left_out_can_still_be_fixed_approved_or_rejected(shop: World, bad: Run) -> None:
    split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    [result] = find_failing(shop.stack.ledger.report(shop.run(bad).report or ""), shop.run(bad))  # type: ignore[arg-type]
    assert [row["order_id"] for row in read_failing_rows(shop.stack, shop.run(bad), result)] == [2, 4]
    fixed = fix(
        shop.stack,
        bad.run_id,
        Decision("ann", "asked the shop"),
        [order(each, updated_at=stamp(shop.clock())) for each in (2, 4)],
    )
    assert fixed.phase is Phase.QUEUED
    shop.integrate()
    assert shop.keys("orders") == [1, 2, 3, 4]
    assert not shop.stack.ledger.gaps()

    other = shop.bring("orders", order(5), bad_order(6))
    split_run(shop.stack, other.run_id, Decision("ann", "one is lost"))
    assert approve(shop.stack, other.run_id, Decision("bob", "it is right")).phase is Phase.QUEUED
    shop.integrate()
    assert shop.keys("orders") == [1, 2, 3, 4, 5, 6]

    third = shop.bring("orders", order(7), bad_order(8))
    split_run(shop.stack, third.run_id, Decision("ann", "one is lost"))
    assert reject(shop.stack, third.run_id, Decision("ann", "rubbish")).phase is Phase.REJECTED


def test_the_rest_does_not_beat_what_came_later(shop: World, bad: Run) -> None:
    shop.land("orders", order(1, amount=9))
    split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    shop.integrate()
    assert str(shop.rows("orders")[0]["amount"]) == "9.00"


def test_rows_that_wait_for_another_row_are_left_out_of_a_held_run(shop: World) -> None:
    waits = shop.bring("orders", order(5, of=9), order(6))
    assert shop.integrate().held == [waits.run_id]
    derived = split_run(shop.stack, waits.run_id, Decision("ann", "the other one is urgent"))
    assert shop.integrate().merged == [derived.run_id]
    assert shop.keys("orders") == [1, 6]
    assert (shop.run(waits).phase, shop.run(waits).rows) == (Phase.HELD, 1)
    shop.land("customers", customer(9))
    shop.integrate()
    assert shop.keys("orders") == [1, 5, 6]
    assert shop.run(waits).phase is Phase.MERGED


def test_killed_half_way_the_same_call_goes_on(shop: World, bad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = module._commit, 0

    def die(*arguments: Any) -> str:
        nonlocal calls
        calls += 1
        commit = real(*arguments)
        if calls == 2:
            raise KeyboardInterrupt
        return commit

    monkeypatch.setattr(module, "_commit", die)
    with pytest.raises(KeyboardInterrupt):
        split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    assert shop.run(bad).rows == 4
    derived = split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    assert derived.rows == 2
    assert [run.run_id for run in shop.stack.ledger.runs(ingestor="hand")] == [derived.run_id]
    shop.integrate()
    assert shop.keys("orders") == [1, 3]


def test_what_cannot_be_cut_is_refused(shop: World, bad: Run) -> None:
    with pytest.raises(Conflict, match="another commit"):
        split_run(shop.stack, bad.run_id, Decision("ann", "x", Seen("0" * 64)))
    with pytest.raises(UsageError, match="a reason is required"):
        split_run(shop.stack, bad.run_id, Decision("ann", " "))
    with pytest.raises(PolicyRefused, match="a viewer may not leave rows out"):
        split_run(replace(shop.stack, role=Role.VIEWER), bad.run_id, Decision("eve", "x"))
    split_run(shop.stack, bad.run_id, Decision("ann", "two are lost"))
    with pytest.raises(UsageError, match="all of the 2 rows"):
        split_run(shop.stack, bad.run_id, Decision("ann", "again"))
    odd = shop.bring("orders", order(9, surprise="x"))
    with pytest.raises(PolicyRefused, match="not about single rows"):
        split_run(shop.stack, odd.run_id, Decision("ann", "x"))
    assert len(shop.stack.ledger.runs(ingestor="hand")) == 1
