"""The stories that people live through in the UI, in a real Chromium, on a real lakeFS server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dartifact.commands.production import promote as production
from dartifact.commands.production.resolution import resolve
from dartifact.commands.review import decide as review
from dartifact.commands.staging.stage import stage
from dartifact.domain.dartifacts import Dartifact
from dartifact.domain.decisions import Decision
from dartifact.domain.runs import Phase, Run
from tests.support.browser import PATIENCE, find_chromium, running_browser, running_ui
from tests.support.oidc import running_provider
from tests.support.sources import bad_order, customer, order
from tests.support.world import World

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed: apt-get install chromium")
expect.set_options(timeout=PATIENCE)
HEADERS = {"X-Dartifact-Proxy": "let me in", "X-Forwarded-Groups": "staff"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def shop(named_world: World) -> World:
    """Return a world that the UI shows, with one customer and one order in `main`."""
    named_world.land("customers", customer(1))
    named_world.land("orders", order(1, amount=5))
    return named_world


@pytest.fixture
def ui(shop: World, tmp_path: Path) -> Iterator[str]:
    with running_ui(tmp_path / "ui.log") as url:
        yield url


@pytest.fixture
def page(chromium: Browser, ui: str) -> Iterator[Page]:
    """Return a page on the UI; `goto` takes the rest of the address."""
    context = chromium.new_context(base_url=f"{ui}/", viewport={"width": 1280, "height": 800})
    yield new_page(context)
    context.close()


def new_page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    return page


def press(page: Page, label: str) -> None:
    page.get_by_role("button", name=label).first.click()


def give_reason(page: Page, reason: str) -> None:
    # of several boxes whose label begins like this, any may be there first
    page.get_by_label("Reason", exact=True).fill(reason)


def bring_bad(shop: World) -> Run:
    return shop.bring("orders", order(1, amount=7), bad_order(2), order(3))


def test_a_failed_run_is_looked_at_and_rejected(shop: World, page: Page) -> None:
    bad = bring_bad(shop)
    page.goto("")
    expect(page.get_by_text("1 run needs review")).to_be_visible()
    page.get_by_role("link", name=bad.run_id).click()
    expect(page.get_by_text("failed at the local gate")).to_be_visible()
    expect(page.get_by_text("1 of 3 rows is not").first).to_be_visible()
    expect(page.get_by_text("old → new in changed cells")).to_be_visible()
    expect(page.get_by_text("5.00 → 7.00").first).to_be_attached()
    page.get_by_role("button", name="Count in main").click()
    expect(page.get_by_text("in main", exact=True).first).to_be_attached()
    page.get_by_text("Timeline").click()
    expect(page.get_by_text("time to next").first).to_be_attached()
    assert "part=Timeline" in page.url
    page.get_by_text("Difference with main").click()
    page.get_by_label("Kind").click()
    page.get_by_role("option", name="changed").click()
    expect(page.get_by_text("rows 1 to 1 ")).to_be_visible()
    assert "kind=changed" in page.url
    again = new_page(page.context)
    again.goto(page.url)  # the address opens exactly this view
    expect(again.get_by_text("rows 1 to 1 ")).to_be_visible()
    give_reason(page, "half of it is rubbish")
    page.get_by_label("Reason", exact=True).press("Enter")
    page.wait_for_timeout(500)
    assert shop.run(bad).phase is Phase.FAILED, "Enter in the reason has decided"
    page.get_by_role("button", name="Reject").press("Enter")  # the keyboard does all
    expect(page.get_by_text(f"{bad.run_id} is now rejected")).to_be_visible()
    assert shop.run(bad).phase is Phase.REJECTED
    [event] = shop.events("RunRejected", run=bad)
    assert (event.actor, event.payload["reason"]) == ("ann", "half of it is rubbish")
    assert event.place.startswith("browser on ")


def test_failing_rows_are_split_off_and_the_rest_is_merged(shop: World, page: Page) -> None:
    bad = bring_bad(shop)
    page.goto(f"run?run={bad.run_id}")
    give_reason(page, "the shop has lost it")
    press(page, "Split off failing rows")
    expect(page.get_by_text("2 of 3 rows are now")).to_be_visible()
    shop.integrate()
    assert shop.keys("orders") == [1, 3]
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=re.compile("^orders-hand-")).click()
    expect(opened.value.get_by_text("merged at the local gate")).to_be_visible()


def test_a_fix_is_uploaded_and_merged(shop: World, page: Page, tmp_path: Path) -> None:
    bad = bring_bad(shop)
    page.goto(f"run?run={bad.run_id}")
    page.get_by_text("Upload a fix").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download rows").click()
    file = tmp_path / "fixed.csv"
    brought = download.value.path().read_text(encoding="utf-8")
    assert brought.count("lost") == 1
    file.write_text(brought.replace("lost", "paid"), encoding="utf-8")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("fixed.csv").first).to_be_visible()
    page.get_by_label("Reason for the fix").fill("asked the shop")
    press(page, "Fix and recheck")
    expect(page.get_by_text(f"{bad.run_id} is now queued")).to_be_visible()
    shop.integrate()
    assert shop.keys("orders") == [1, 2, 3]
    assert shop.run(bad).phase is Phase.MERGED
    assert [row["status"] for row in shop.rows("orders")] == ["paid"] * 3


def offer(shop: World, number: int) -> Dartifact:
    shop.land("orders", order(number, amount=5))
    return stage(shop.stack, actor="test")


def serve_two(shop: World) -> tuple[Dartifact, Dartifact]:
    shop.with_policy(weights=(100,), soak=timedelta(0))
    made = []
    for number in (2, 3):
        made.append(offer(shop, number))
        production.promote(shop.stack, actor="test")
    return made[0], made[1]


def test_a_dartifact_is_approved_and_goes_live(shop: World, chromium: Browser, tmp_path: Path) -> None:
    shop.with_policy(weights=(100,), soak=timedelta(0))
    offer(shop, 2)
    production.promote(shop.stack, actor="test")
    dartifact = offer(shop, 3)
    settings = {"DARTIFACT_APPROVALS": "1", "DARTIFACT_SOAK_SECONDS": "2", "DARTIFACT_WEIGHTS": "[5, 100]",
                "DARTIFACT_SIGN_IN": "proxy", "DARTIFACT_PROXY_SECRET": "let me in",
                "DARTIFACT_ROLES": '{"person:olga@example.com": "operator"}'}  # fmt: skip
    olga = {**HEADERS, "X-Forwarded-Email": "olga@example.com"}
    with running_ui(tmp_path / "ui.log", settings) as url:
        page = new_page(chromium.new_context(base_url=f"{url}/", extra_http_headers=olga))
        page.goto("production")
        expect(page.get_by_text("has 0 of the 1 approvals")).to_be_visible()
        page.goto(f"dartifacts?dartifact={dartifact.dartifact_id}")
        give_reason(page, "looks right")
        press(page, "Approve")
        expect(page.get_by_text("has 1 of 1 approvals")).to_be_visible()
        page.goto("production")
        press(page, "Promote")
        expect(page.get_by_text("95 % of the named consumers")).to_be_visible()
        expect(page.get_by_text("5 % of the named consumers", exact=True)).to_be_visible()
        for _ in range(30):  # each soak lasts two seconds
            if shop.stack.ledger.pointer().live == dartifact.dartifact_id:
                break
            press(page, "Continue now")
            page.wait_for_timeout(1000)
        expect(page.get_by_text("green · active")).to_be_visible()
        page.context.close()
    shifts = [each.payload["weight"] for each in shop.events("TrafficShifted")]
    assert shifts[-2:] == [5, 100]
    assert shop.stack.ledger.pointer().live == dartifact.dartifact_id


def test_production_is_rolled_back_and_main_loses_the_blamed_run(shop: World, page: Page) -> None:
    first, second = serve_two(shop)
    [guilty] = set(second.runs) - set(first.runs)
    page.goto("production")
    press(page, "Roll back")
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name=f"Run {guilty}").click()
    expect(page.get_by_text(f"Reverted from main: {guilty}")).to_be_visible()
    expect(page.get_by_text("1 changed, 0 added, 0 removed").first).to_be_attached()
    page.get_by_role("button", name=f"Roll back to {first.dartifact_id} now").dblclick()  # by somebody in a hurry
    expect(page.get_by_text(f"{first.dartifact_id} is live again")).to_be_visible()
    found = resolve(shop.stack)
    assert found.dartifact == first.dartifact_id
    assert len(shop.events("ProductionRolledBack")) == 1
    assert shop.integrate().reverted == [guilty]
    assert guilty not in shop.runs_in_main()


def test_a_stale_decision_is_refused(shop: World, page: Page) -> None:
    bad = bring_bad(shop)
    page.goto(f"run?run={bad.run_id}")
    give_reason(page, "it is known")
    review.reject(shop.stack, bad.run_id, Decision("bob", "rubbish"))
    press(page, "Approve")
    expect(page.get_by_text("No decision needed.")).to_be_visible()
    assert shop.run(bad).phase is Phase.REJECTED
    assert not shop.events("RunApproved", run=bad)


def test_a_viewer_cannot_decide(shop: World, chromium: Browser, tmp_path: Path) -> None:
    bad = shop.bring("customers", customer(2, email="nobody"), customer(3))
    settings = {"DARTIFACT_SIGN_IN": "proxy", "DARTIFACT_PROXY_SECRET": "let me in",
                "DARTIFACT_ROLES": '{"owners": "reviewer"}'}  # fmt: skip
    with running_ui(tmp_path / "ui.log", settings) as url:
        stranger = new_page(chromium.new_context(base_url=f"{url}/"))
        stranger.goto("")
        expect(stranger.get_by_text("Direct access is disabled")).to_be_visible()
        eve = new_page(
            chromium.new_context(
                base_url=f"{url}/", extra_http_headers={**HEADERS, "X-Forwarded-Email": "eve@example.com"}
            )
        )
        eve.goto(f"run?run={bad.run_id}")
        expect(eve.get_by_text("You are person:eve@example.com, viewer")).to_be_visible()
        expect(eve.get_by_text("are not an e-mail address").first).to_be_visible()
        expect(eve.get_by_text("nobody")).to_have_count(0)
        give_reason(eve, "please")
        press(eve, "Approve")
        expect(eve.get_by_text("a viewer may not approve a run")).to_be_visible()
        owner = new_page(
            chromium.new_context(
                base_url=f"{url}/",
                extra_http_headers={**HEADERS, "X-Forwarded-Email": "olga@example.com", "X-Forwarded-Groups": "owners"},
            )
        )
        owner.goto(f"run?run={bad.run_id}")
        give_reason(owner, "a known customer")
        press(owner, "Approve")
        expect(owner.get_by_text(f"{bad.run_id} is now queued")).to_be_visible()
        for each in (stranger, eve, owner):
            each.context.close()
    [event] = shop.events("RunApproved", run=bad)
    assert event.actor == "person:olga@example.com"


def test_somebody_signs_in_with_a_provider(shop: World, chromium: Browser, tmp_path: Path) -> None:
    bad = bring_bad(shop)
    secrets = tmp_path / "secrets.toml"
    settings = {"DARTIFACT_SIGN_IN": "oidc", "DARTIFACT_ROLES": '{"owners": "reviewer"}'}
    with running_provider(email="olga@example.com", email_verified=True, groups=["owners"]) as provider:
        secrets.write_text("", encoding="utf-8")
        with running_ui(tmp_path / "ui.log", settings, f"--secrets.files={secrets}") as url:
            secrets.write_text(provider.write_secrets(url), encoding="utf-8")
            page = new_page(chromium.new_context(base_url=f"{url}/"))
            page.goto(f"run?run={bad.run_id}")
            press(page, "Sign in")
            expect(page.get_by_text("You are person:olga@example.com, reviewer")).to_be_visible()
            page.goto(f"run?run={bad.run_id}")
            give_reason(page, "it is known")
            press(page, "Approve")
            expect(page.get_by_text(f"{bad.run_id} is now queued")).to_be_visible()
            press(page, "Sign out")
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            page.context.close()
    [event] = shop.events("RunApproved", run=bad)
    assert event.actor == "person:olga@example.com"


def test_it_works_below_a_path_on_a_phone_and_on_a_wall(shop: World, chromium: Browser, tmp_path: Path) -> None:
    bad = bring_bad(shop)
    with running_ui(tmp_path / "ui.log", base="data/shop") as url:
        context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page = new_page(context)
        page.goto(f"{url}/")
        page.get_by_role("link", name=bad.run_id).click()
        expect(page.get_by_text("failed at the local gate")).to_be_visible()
        assert page.url.startswith(f"{url}/run?run=")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, "the page is wider than a phone"
        page.goto(f"{url}/?kiosk=1")
        expect(page.get_by_text("1 run needs review")).to_be_visible()
        expect(page.get_by_role("link", name="Activity")).to_be_hidden()
        context.close()


def test_without_the_lake_what_the_ledger_knows_is_shown(shop: World, chromium: Browser, tmp_path: Path) -> None:
    bad = bring_bad(shop)
    with running_ui(tmp_path / "ui.log", {"DARTIFACT_LAKE_URL": f"http://127.0.0.1:9/{uuid4().hex}"}) as url:
        page = new_page(chromium.new_context(base_url=f"{url}/"))
        page.goto(f"run?run={bad.run_id}")
        expect(page.get_by_text("failed at the local gate")).to_be_visible()
        expect(page.get_by_text("you can still approve or reject")).to_be_visible()
        expect(page.get_by_text("Traceback")).to_have_count(0)
        page.context.close()
