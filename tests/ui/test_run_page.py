"""The page of one run, on a real lakeFS server: why it was stopped, what it would change, and the decision."""

from __future__ import annotations

import pytest
import streamlit as st

from flows.commands import review
from flows.domain.runs import Phase, Run
from tests.support.sources import bad_order, customer, order
from tests.support.world import World
from tests.ui.pages import open_page, press


@pytest.fixture
def shop(named_world: World) -> World:
    """Return a world that the settings name, with one customer and one order in `main`."""
    st.cache_resource.clear()
    named_world.land("customers", customer(1))
    named_world.land("orders", order(1, amount=5))
    return named_world


@pytest.fixture
def bad(shop: World) -> Run:
    """Return a run that was stopped for one row: it changes order 1 and adds two."""
    return shop.bring("orders", order(1, amount=7), bad_order(2), order(3))


def test_it_says_why_the_run_was_stopped_and_what_it_would_change(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    assert "failed at the local gate" in page.error[0].value
    assert "1 of 3 rows is not" in page.error[0].value
    checks, columns, cells, failing, _ = (each.value for each in page.dataframe)
    assert checks["outcome"].tolist()[0] == "failed"
    assert checks["check"].tolist()[0] == "orders.status.invalid"
    assert {each.label: each.value for each in page.metric} == {
        "Rows": "3", "rows added": "2", "rows removed": "0", "rows changed": "1", "rows unchanged": "0"
    }  # fmt: skip
    assert columns["column"].tolist() == ["amount", "updated_at"]
    amount = cells[(cells["key"] == "1") & (cells["column"] == "amount")]
    assert amount[["main", "with this run"]].values.tolist() == [["5.00", "7.00"]]
    assert failing["order_id"].tolist() == [2]


def test_cells_are_filtered_by_the_failing_check(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    page.selectbox(key="check").select("orders.status.invalid").run()
    assert not page.exception
    cells = page.dataframe[2].value
    assert set(cells["key"]) == {"2"}
    page.selectbox(key="kind").select("removed").run()
    assert "Nothing differs here." in [each.value for each in page.info]


def test_a_decision_is_made_once_with_its_reason(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    press(page, "Approve")
    assert "for a reason" in page.error[-1].value
    assert shop.run(bad).phase is Phase.FAILED
    page.text_input[0].set_value("known")
    press(page, "Approve")
    assert f"{bad.run_id} is queued now" in [each.value for each in page.success]
    [event] = shop.events("RunApproved", run=bad)
    assert (event.actor, event.payload["reason"]) == ("ann", "known")
    page.run()
    assert len(shop.events("RunApproved", run=bad)) == 1


def test_a_stale_decision_is_refused(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    review.reject(shop.stack, bad.run_id, reason="rubbish", actor="bob")
    page.text_input[0].set_value("known")
    press(page, "Approve")
    assert shop.run(bad).phase is Phase.REJECTED
    assert not shop.events("RunApproved", run=bad)


def test_a_run_that_is_not_there_is_said(shop: World) -> None:
    assert "there is no run nobody" in open_page("run", run="nobody").error[0].value
    assert "Name a run" in open_page("run").info[0].value
