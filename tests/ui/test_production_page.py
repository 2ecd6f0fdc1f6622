"""The page of production, on a real lakeFS server: slots, promotion, abort, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import streamlit as st

from dartifact.commands.production import promote as production
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.staging.stage import stage
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.errors import Conflict
from dartifact.domain.plans import PromotionState
from tests.support.sources import customer, order
from tests.support.waiting import wait_until
from tests.support.world import World
from tests.ui.pages import open_page, press, said, table
from ui import actions

FIRST, SECOND = 0, 1


@pytest.fixture
def shop(named_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a world that the settings name, with a soak of a second that nobody waits for."""
    st.cache_resource.clear()
    monkeypatch.setenv("DARTIFACT_SOAK_SECONDS", "0")
    named_world.land("customers", customer(1))
    return named_world


def offer(shop: World, number: int) -> Dartifact:
    shop.land("orders", order(number, amount=5))
    return stage(shop.stack, actor="test")


@pytest.fixture
def served(shop: World) -> tuple[Dartifact, Dartifact]:
    """Return two dartifacts that were promoted one after the other; the second one is live."""
    shop.with_policy(weights=(100,), soak=timedelta(0))
    made = []
    for number in (1, 2):
        made.append(offer(shop, number))
        production.promote(shop.stack, actor="test")
    return made[FIRST], made[SECOND]


def test_before_the_first_promotion_it_says_so(shop: World) -> None:
    assert "Nothing is live yet." in said(open_page("production"))


def test_it_says_when_prefect_does_not_answer(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Prefect is unreachable" not in said(open_page("production"))
    st.cache_data.clear()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    for page in ("production", "now"):
        assert "Prefect is unreachable" in said(open_page(page))
    st.cache_data.clear()


def test_a_green_dartifact_is_promoted_with_one_click(shop: World) -> None:
    dartifact = offer(shop, 1)
    page = open_page("production")
    assert f"Next: {dartifact.dartifact_id}" in said(page)
    press(page, "Promote")
    assert f"{dartifact.dartifact_id} is live on blue" in said(page)
    assert shop.stack.ledger.pointer().live == dartifact.dartifact_id
    assert "blue · active" in said(page)


def test_rolling_back_takes_one_click_and_one_confirmation(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    page = open_page("production")
    press(page, "Roll back")
    assert shop.stack.ledger.pointer().live == served[SECOND].dartifact_id
    assert f"→ **{served[FIRST].dartifact_id}** immediately" in said(page)
    assert "Promotions are frozen until" in said(page)
    found = table(page, "rows then")
    assert found["difference"].tolist() in (["counting…"], ["1 changed, 0 added, 0 removed"])
    wait_until(lambda: table(page.run(), "rows then")["difference"].tolist() == ["1 changed, 0 added, 0 removed"])
    press(page, f"Roll back to {served[FIRST].dartifact_id}")
    assert f"{served[FIRST].dartifact_id} is live again" in said(page)
    assert resolve(shop.stack).dartifact == served[FIRST].dartifact_id
    [event] = shop.events("ProductionRolledBack")
    assert (event.actor, event.payload["reason"]) == ("ann", "no reason given")


def test_the_blamed_run_is_shown_and_asked_out_of_main(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    [guilty] = set(served[SECOND].runs) - set(served[FIRST].runs)
    page = open_page("production", to=served[FIRST].dartifact_id)
    page.selectbox(key="blame").select(guilty).run()
    assert f"Reverted from main: {guilty}" in said(page)
    assert "frozen until" not in said(page)
    press(page, "Roll back to")
    assert [run.run_id for run in shop.stack.ledger.pending_reverts()] == [guilty]
    assert shop.integrate().reverted == [guilty]
    assert guilty not in shop.runs_in_main()


def test_a_rollback_that_was_confirmed_twice_happens_once(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    leaves, to = served[SECOND].dartifact_id, served[FIRST].dartifact_id
    actions.roll_back(leaves, to, "unknown", "it is wrong")
    with pytest.raises(Conflict, match=f"{leaves} is not live any more: {to} is"):
        actions.roll_back(leaves, to, "unknown", "it is wrong")
    assert len(shop.events("ProductionRolledBack")) == 1


def test_a_stale_confirmation_is_refused(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    page = open_page("production", to=served[FIRST].dartifact_id)
    roll_back(shop.stack, reason="quicker", actor="bob")
    press(page, "Roll back to")
    assert len(shop.events("ProductionRolledBack")) == 1
    assert page.error


def test_without_the_lake_the_rollback_takes_effect(
    shop: World, served: tuple[Dartifact, Dartifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARTIFACT_LAKE_URL", "http://127.0.0.1:9")
    page = open_page("production", to=served[FIRST].dartifact_id)
    press(page, "Roll back to")
    assert resolve(shop.stack).dartifact == served[FIRST].dartifact_id
    assert "Readers of the branch `production` still see" in said(page)


def test_a_promotion_under_way_is_shown_and_ended(
    shop: World, served: tuple[Dartifact, Dartifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARTIFACT_SOAK_SECONDS", "3600")
    third = offer(shop, 3)
    page = open_page("production")
    press(page, "Promote")
    assert f"{third.dartifact_id} is at step" in said(page)
    assert "5 % of the named consumers" in [each.proto.text for each in page.get("progress")]
    press(page, "Abort")
    assert f"The promotion of {third.dartifact_id} is aborted" in said(page)
    assert shop.stack.ledger.dartifact(third.dartifact_id).state is DartifactState.APPROVED
    assert "Promotions are frozen" in said(page)
    press(page, "Allow promotions")
    assert shop.stack.ledger.pointer().frozen is None


def test_what_is_ended_is_the_promotion_that_was_shown(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    shop.with_policy(weights=(5, 100), soak=timedelta(hours=1))
    offer(shop, 3)
    production.promote(shop.stack, actor="test")
    with pytest.raises(Conflict, match="another promotion is under way"):
        actions.abort("p-of-yesterday", "it is wrong")
    assert shop.stack.ledger.promotions(state=PromotionState.RUNNING)


def test_a_dartifact_is_approved_and_rejected(
    shop: World,
    served: tuple[Dartifact, Dartifact],
    monkeypatch: pytest.MonkeyPatch,
    as_viewer: None,
    come_as: Callable[..., None],
) -> None:
    monkeypatch.setenv("DARTIFACT_APPROVALS", "1")
    monkeypatch.setenv("DARTIFACT_ROLES", '{"person:olga@example.com": "reviewer"}')
    third = offer(shop, 3)
    eves = open_page("dartifacts", dartifact=third.dartifact_id)
    eves.text_input[0].set_value("looks right")
    press(eves, "Approve")
    assert "a viewer may not approve a dartifact" in said(eves)
    [refused] = shop.events("AttemptRefused")
    assert (refused.actor, refused.place) == ("person:eve@example.com", "browser at 192.0.2.7")
    assert refused.payload == {"deed": "approve a dartifact", "role": "viewer", "needed": "reviewer"}
    activity = open_page("activity", event="AttemptRefused").dataframe[0].value
    assert activity["reason"].tolist() == ["deed approve a dartifact, role viewer, needed reviewer"]
    come_as(None, X_Dartifact_Proxy="let me in", X_Forwarded_Email="olga@example.com")
    assert "0 of the 1 approvals" in said(open_page("production"))
    assert any("0 of 1 approvals" in each.proto.label for each in open_page("now").get("page_link"))
    page = open_page("dartifacts", dartifact=third.dartifact_id)
    press(page, "Approve")
    assert "a reason is required" in said(page)
    page.text_input[0].set_value("looks right")
    press(page, "Approve")
    assert "has 1 of 1 approvals" in said(page)
    assert "olga@example.com: looks right" in said(page)
    assert f"Next: {third.dartifact_id}" in said(open_page("production"))
    page.text_input[0].set_value("on second thoughts")
    press(page, "Reject")
    assert shop.stack.ledger.dartifact(third.dartifact_id).state is DartifactState.BAD


def test_a_dartifact_says_what_its_marts_change_in_production(shop: World, served: tuple[Dartifact, Dartifact]) -> None:
    assert "No dartifacts yet" not in said(open_page("dartifacts"))
    third = offer(shop, 3)
    listed = open_page("dartifacts").dataframe[0].value
    assert listed["state"].tolist() == ["green", "live", "superseded"]
    page = open_page("dartifacts", dartifact=third.dartifact_id)
    assert f"contains {len(third.runs)} runs (full data)" in said(page)
    assert f"1 run not yet in production: {third.runs[-1]}" in said(page)
    assert table(page, "content")["content"].tolist() == ["≠ differs"]
    assert table(page, "key")["orders"].tolist() == ["2 → 3"]
    page.selectbox(key="base").select(served[FIRST].dartifact_id).run()
    assert table(page, "key")["orders"].tolist() == ["1 → 3"]
    same = open_page("dartifacts", dartifact=served[SECOND].dartifact_id)
    assert "all of its runs are in production" in said(same)
    assert table(same, "content")["content"].tolist() == ["= same"]
    assert "**0** added · **0** removed · **0** changed" in said(same)
    assert "there is no dartifact nobody" in said(open_page("dartifacts", dartifact=third.dartifact_id, base="nobody"))
    assert "there is no dartifact nobody" in said(open_page("dartifacts", dartifact="nobody"))
