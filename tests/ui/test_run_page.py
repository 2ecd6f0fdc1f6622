"""The page of one run, on a real lakeFS server: why it was stopped, what it would change, and the decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from dartifact.commands.review import decide as review
from dartifact.commands.review.fix import fix
from dartifact.domain.decisions import Decision
from dartifact.domain.marks import HIDDEN
from dartifact.domain.runs import Phase, Run
from tests.support.sources import bad_order, customer, order, stamp
from tests.support.world import World
from tests.ui.pages import open_page, press, said, table
from ui import lake_reads


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
    assert "failed at the local gate" in said(page)
    assert "1 of 3 rows is not" in said(page)
    assert "window claimed** · 0.0 s → **batch committed** · 0.0 s → **run failed" in said(page)
    checks = table(page, "measured")
    assert checks.iloc[0][["check", "measured", "failing rows", "known", "outcome"]].tolist() == [
        "✗ status.invalid", "1", "1", "0", "failed",
    ]  # fmt: skip
    assert "3 rows" in said(page)

    assert "**2** added · **0** removed · **1** changed · **0** unchanged" in said(page)
    assert table(page, "share")["column"].tolist() == ["amount", "updated_at"]
    rows = table(page, "key")
    assert rows["key"].tolist() == ["2", "1", "3"]  # what fails comes first
    assert rows["amount"].tolist() == ["+ 10.00", "5.00 → 7.00", "+ 10.00"]
    assert rows["fails"].tolist() == ["✗ status.invalid", "", ""]

    assert "in main" not in checks.columns
    press(page, "Count in main")
    assert table(page, "in main")["in main"].tolist()[:2] == ["0", ""]

    page = open_page("run", run=bad.run_id, part="Failing rows")
    assert table(page, "order_id")["order_id"].tolist() == [2]


def test_it_shows_how_values_lie_on_both_sides_and_what_happened(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id, part="Distributions", of="status")
    assert table(page, "this run").values.tolist() == [["paid", "100.0%", "66.7%"], ["lost", "0.0%", "33.3%"]]
    page = open_page("run", run=bad.run_id, part="Distributions", of="amount")
    assert len(table(page, "this run")) == 30
    page = open_page("run", run=bad.run_id, part="Timeline")
    events = table(page, "event")
    assert events["event"].tolist()[0] == "WindowClaimed"
    assert events["event"].tolist()[-1] == "RunFailed"


def test_failing_rows_are_split_off_and_the_rest_is_queued(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    page.text_input[0].set_value("the shop has lost it")
    press(page, "Split off failing rows")
    assert "2 of 3 rows are now [orders-hand-" in said(page)
    assert "1 stay on run-" in said(page)
    [derived] = shop.stack.ledger.runs(ingestor="hand")
    assert shop.integrate().merged == [derived.run_id]
    assert shop.keys("orders") == [1, 3]
    assert shop.run(bad).rows == 1


def test_the_answer_of_an_action_stays_when_the_page_refreshes_for_a_difference(
    shop: World, bad: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("run", run=bad.run_id)
    real, not_yet = lake_reads.ask_diff, [None]
    monkeypatch.setattr(lake_reads, "PATIENCE", 60.0)
    monkeypatch.setattr(lake_reads, "ask_diff", lambda run_id: not_yet.pop() if not_yet else real(run_id))
    page.text_input[0].set_value("the shop has lost it")
    press(page, "Split off failing rows")
    assert not not_yet
    assert "hourglass" not in said(page), "the page has refreshed"
    assert "2 of 3 rows are now" in said(page)
    page.run()
    assert "2 of 3 rows are now" not in said(page)


def test_a_fix_is_uploaded(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    press(page, "Fix and recheck")
    assert "Choose a file first." in said(page)
    stamped = stamp(shop.clock())
    rows = [f"{number},C000001,paid,5.00,EUR,2021-01-01T00:00:00Z,{stamped}" for number in (1, 2, 3)]
    text = "order_id,customer_id,status,amount,currency,ordered_at,updated_at\n" + "\n".join(rows)
    page.file_uploader[0].upload("orders.csv", text.encode(), "text/csv")
    page.text_input[1].set_value("asked the shop")
    press(page, "Fix and recheck")
    assert f"{bad.run_id} is now queued" in said(page)
    assert shop.integrate().merged == [bad.run_id]
    assert shop.keys("orders") == [1, 2, 3]


def test_a_viewer_looks_and_decides_nothing(shop: World, monkeypatch: pytest.MonkeyPatch, as_viewer: None) -> None:
    run = shop.bring("customers", customer(2, email="nobody"), customer(3))
    page = open_page("run", run=run.run_id)
    assert "customers.email: 50 % of 2 rows (1) are not an e-mail address" in said(page)
    assert "nobody" not in said(page)
    page.text_input[0].set_value("please")
    for label in ("Approve", "Split off failing rows", "Reject", "Recheck"):
        press(page, label)
        assert "a viewer may not" in said(page)
    assert shop.run(run).phase is Phase.FAILED
    failing = table(open_page("run", run=run.run_id, part="Failing rows"), "email")
    assert set(failing["email"]) == {HIDDEN}
    assert "nobody" not in failing.to_string()
    page = open_page("run", run=run.run_id, part="Difference with main")
    assert all("nobody" not in each.value.to_string() for each in page.dataframe)
    assert set(table(page, "key")["email"]) == {f"+ {HIDDEN}"}
    assert "Download rows" not in [each.proto.label for each in page.get("download_button")]
    assert "email" not in open_page("run", run=run.run_id, part="Distributions").selectbox(key="of").options


def test_a_file_is_looked_at_after_the_role_of_who_uploads_it(
    shop: World, bad: Run, as_viewer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload() -> str:
        page = open_page("run", run=bad.run_id)
        page.file_uploader[0].upload("junk.parquet", b"junk", "application/octet-stream")
        page.text_input[1].set_value("asked the shop")
        press(page, "Fix and recheck")
        return said(page)

    told = upload()
    assert "a viewer may not fix a run" in told
    assert "cannot be read" not in told
    [refused] = shop.events("AttemptRefused")
    assert refused.payload["deed"] == "fix a run"
    monkeypatch.setenv("DARTIFACT_ROLES", '{"*": "reviewer"}')
    assert "junk.parquet cannot be read" in upload()


def test_cells_are_filtered_by_the_failing_check(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id, part="Difference with main")
    page.selectbox(key="check").select("orders.status.invalid").run()
    assert not page.exception
    assert set(table(page, "key")["key"]) == {"2"}
    page.selectbox(key="kind").select("removed").run()
    assert "No differences." in said(page)
    assert "there is no failing check orders.nothing" in said(open_page("run", run=bad.run_id, check="orders.nothing"))
    assert "Page out of range." in said(open_page("run", run=bad.run_id, page="7"))


def test_a_decision_is_made_once_with_its_reason(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    press(page, "Approve")
    assert "a reason is required" in said(page)
    assert shop.run(bad).phase is Phase.FAILED
    page.text_input[0].set_value("known")
    press(page, "Approve")
    assert f"{bad.run_id} is now queued" in [each.value for each in page.success]
    [event] = shop.events("RunApproved", run=bad)
    assert (event.actor, event.payload["reason"]) == ("ann", "known")
    page.run()
    assert len(shop.events("RunApproved", run=bad)) == 1


def test_a_stale_decision_is_refused(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    review.reject(shop.stack, bad.run_id, Decision("bob", "rubbish"))
    page.text_input[0].set_value("known")
    press(page, "Approve")
    assert shop.run(bad).phase is Phase.REJECTED
    assert not shop.events("RunApproved", run=bad)


def test_what_was_fixed_since_it_was_shown_is_not_approved(shop: World, bad: Run) -> None:
    page = open_page("run", run=bad.run_id)
    rows = [bad_order(each) | {"updated_at": stamp(shop.clock())} for each in (2, 3, 4)]
    fix(shop.stack, bad.run_id, Decision("bob", "other rows"), rows)
    page.text_input[0].set_value("known")
    for label in ("Approve", "Split off failing rows", "Reject"):
        stale = open_page("run", run=bad.run_id)
        stale.session_state[f"shown run {bad.run_id}"] = (bad.commit, bad.report)
        stale.text_input[0].set_value("known")
        press(stale, label)
        assert "has another commit by now" in said(stale)
    press(page, "Approve")
    assert "has another commit by now" in said(page)
    assert shop.run(bad).phase is Phase.FAILED
    press(page, "Approve")
    assert shop.run(bad).phase is Phase.QUEUED


def test_what_people_and_sources_write_is_shown_as_it_is(shop: World, bad: Run) -> None:
    evil = "![x](http://127.0.0.1:9/p.png) :red[a] **b**"
    review.reject(shop.stack, bad.run_id, Decision("bob", evil))
    page = open_page("run", run=bad.run_id)
    assert evil not in page.error[0].value
    assert evil in said(page)


def test_it_links_to_the_flow_run_that_brought_the_run(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.stack = replace(shop.stack, flow_run="0193-abc")
    run = shop.bring("orders", bad_order(5))
    monkeypatch.setenv("PREFECT_UI_URL", "http://127.0.0.1:4200")
    [link] = open_page("run", run=run.run_id).get("link_button")
    assert link.proto.url == "http://127.0.0.1:4200/runs/flow-run/0193-abc"


def test_a_run_that_is_not_there_is_said(shop: World) -> None:
    assert "there is no run nobody" in said(open_page("run", run="nobody"))
    assert "No run selected." in said(open_page("run"))
