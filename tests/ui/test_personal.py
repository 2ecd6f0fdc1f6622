"""Personal values: a viewer who opens every page at every address, and takes every file, sees none of them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.tables.batch_files import write_parquet
from dartifact.commands.production import promote as production
from dartifact.commands.staging.stage import stage
from dartifact.domain.checks import Outcome, Result, judge
from dartifact.domain.errors import PolicyRefused
from dartifact.domain.marks import HIDDEN, mark
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Evolve, Reference, Source, list_personal
from tests.conftest import PROJECT
from tests.support.sources import CUSTOMERS, ORDERS, customer, order
from tests.support.world import World
from tests.ui.pages import look_again, open_page, said
from ui import lake_reads, masks

# One value each; what a test finds says where it came from.
NAME, OLD_NAME, EMAIL, PHONE, STRANGE = "CanaryName", "CanaryOld", "CanaryMail", "CanaryPhone", "CanaryQuoted"
MART_EMAIL, MART_CONTACT, MART_UNKNOWN, MART_BARE = "CanaryMartMail", "CanaryContact", "CanaryMartMore", "CanaryBare"
NUMBER = 424242.4242  # a statistic that is a value
CANARIES = (
    NAME,
    OLD_NAME,
    EMAIL,
    PHONE,
    STRANGE,
    MART_EMAIL,
    MART_CONTACT,
    MART_UNKNOWN,
    MART_BARE,
    "424,242",
    "4.242e+05",
)
PEOPLE = """dataset: lake/main/people
columns:
  - name: id
    data_type: bigint
    checks:
      - missing:
  - name: contact
    data_type: varchar
    checks:
      - missing:
          attributes: {personal: true}
  - name: Email
    data_type: varchar
  - name: segment
    data_type: varchar
"""


@pytest.fixture
def sources() -> dict[str, Source]:
    """Let customers bring columns that nobody knows."""
    declared = replace(CUSTOMERS, personal=("name", "email"), evolve=Evolve.ADD_NULLABLE)
    return {"customers": declared, "orders": ORDERS}


@dataclass
class Shop:
    """A world with a canary in everything that is personal."""

    world: World
    bad: Run
    dartifacts: list[str]
    offered: list[Callable[[], Any] | Any] = field(default_factory=list)


@pytest.fixture
def shop(named_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    st.cache_resource.clear()
    world = named_world
    project = tmp_path / "project"
    for folder in ("checks", "flows", "dbt"):
        shutil.copytree(PROJECT / folder, project / folder)
    (project / "checks" / "marts" / "people.yml").write_text(PEOPLE, encoding="utf-8")
    monkeypatch.setenv("DARTIFACT_PROJECT", str(project))
    world.with_policy(weights=(100,))
    world.land(
        "customers",
        *(customer(n, name=f"{OLD_NAME}{n}", email=f"{EMAIL}{n}@example.com", phone=f"{PHONE}0") for n in (1, 2)),
    )
    made = []
    for number in (1, 2):
        world.land("orders", order(number))
        made.append(stage(world.stack, actor="test").dartifact_id)
        production.promote(world.stack, actor="test")
    rows = [
        customer(1, name=f"{NAME}1", email=f"{EMAIL}1@example.com", phone=PHONE),
        customer(2, name=f"{NAME}2", email=f"{EMAIL}-no-address", phone=PHONE),
    ]
    bad = world.bring("customers", *rows)
    assert bad.phase is Phase.FAILED
    world.stack.lake.head("main")
    add_marts(world, made, tmp_path)
    complain(world, bad)
    found = Shop(world, world.run(bad), made)
    monkeypatch.setattr(st, "download_button", keep(found.offered, st.download_button))
    return found


def keep(offered: list[Any], real: Callable[..., Any]) -> Callable[..., Any]:
    def download_button(label: str, data: Any, *rest: Any, **options: Any) -> Any:
        offered.append(data)
        return real(label, data, *rest, **options)

    return download_button


def add_marts(world: World, dartifacts: list[str], folder: Path) -> None:
    """Put two marts with personal columns into each dartifact: one whose contract says what is in it, one without."""
    engine = sa.create_engine(world.stack.ledger.url)
    for number, name in enumerate(dartifacts):
        known = world.stack.ledger.dartifact(name)
        world.lake.create_branch(f"canary-{number}", known.commit or "")
        for mart, columns in {
            "people": {"contact": MART_CONTACT, "Email": MART_EMAIL, "more": MART_UNKNOWN, "segment": "shown"},
            "bare": {"what": MART_BARE},
        }.items():
            table = pa.table({"id": [1, 2], **{column: [f"{value}{number}"] * 2 for column, value in columns.items()}})
            write_parquet(table, folder / "mart.parquet")
            world.lake.upload(f"canary-{number}", f"marts/{mart}.parquet", folder / "mart.parquet")
        commit = world.lake.commit(f"canary-{number}", "add marts", {}).commit_id
        passport = {**(known.passport or {}), "refused": f"red: {mark(STRANGE)}"}
        shown = {mart: {"rows": 2, "sha256": f"{mart}{number}"} for mart in ("people", "bare")}
        passport["marts"] = {**passport.get("marts", {}), **shown}
        row = t.dartifacts.c
        change = t.dartifacts.update().where(row.dartifact_id == name).values(commit_id=commit, passport=passport)
        with engine.begin() as connection:
            connection.execute(change.values(reasons=[f"red: {mark(STRANGE)}"]))
    engine.dispose()


def complain(world: World, run: Run) -> None:
    """Give a run the answers of drift checks: one each of two values, one with a value for a measure."""
    ledger = world.stack.ledger
    report = ledger.report(world.run(run).report or "")
    assert report is not None
    more = tuple(
        Result(
            f"customers.drift.name.vanished.{NAME}{number}", "customers", Outcome.FAILED,
            f"customers.name: {mark(NAME)} has vanished", run.run_id, "name", 0.0, "0.5, 1 is usual", 1,
            f"\"name\" = '{NAME}{number}'",
        )
        for number in (1, 2)
    )  # fmt: skip
    figures = Result("customers.drift.name.least", "customers", Outcome.FAILED, "customers.name: little",
                     run.run_id, "name", NUMBER, f"{NUMBER:,}, {NUMBER:.6g} is usual")  # fmt: skip
    metric = Result("customers.metric.most", "customers", Outcome.FAILED, "customers: too much", run.run_id,
                    None, NUMBER, f"< {NUMBER:,}")  # fmt: skip
    report = replace(report, results=(*report.results, *more, figures, metric))
    with ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
        tx.append(
            "RunErrored", "test", run=run.run_id, reason=f"Conversion Error: {mark(f'could not convert {STRANGE}')}"
        )
    engine = sa.create_engine(ledger.url)
    reasons = [f"customers.name: {mark(NAME)} has vanished", f"customers: {mark(STRANGE)}"]
    with engine.begin() as connection:
        change = t.runs.update().where(t.runs.c.run_id == run.run_id)
        connection.execute(change.values(report=report.digest, reasons=reasons))
    engine.dispose()


def addresses(shop: Shop) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every page with every parameter that it knows, with values of each kind: offered, hidden, made up."""
    columns = ["customer_id", "name", "email", "phone", "Email", "_seq", "nothing"]
    checks = ["customers.email.invalid", "customers.metric.most", "nothing"]
    checks += [f"customers.drift.name.vanished.{end}" for end in (HIDDEN, f"{HIDDEN} (2)", f"{NAME}1")]
    yield from (("now", given) for given in ({}, {"kiosk": "1"}))
    yield from (
        ("runs", given) for given in ({}, {"phase": "failed"}, {"ingestor": "dana"}, {"before": "99"}, {"phase": "x"})
    )
    yield from (("activity", given) for given in ({}, {"event": "RunErrored"}, {"who": "test"}, {"before": "30"}))
    for run in (shop.bad.run_id, shop.world.stack.ledger.runs(ingestor="dan")[0].run_id, "nobody"):
        yield from (
            ("run", {"run": run, "part": part}) for part in ("Difference with main", "Failing rows", "Timeline")
        )
        yield from (("run", {"run": run, "part": "Distributions", "of": column}) for column in columns)
    one = {"run": shop.bad.run_id}
    yield from (("run", {**one, "kind": kind}) for kind in ("added", "removed", "changed", "nothing"))
    yield from (("run", {**one, "column": column}) for column in columns)
    yield from (("run", {**one, "check": check}) for check in checks)
    yield from (("run", {**one, "part": "Failing rows", "failing_check": check}) for check in checks)
    yield from (("run", {**one, "page": page}) for page in ("2", "0", "x"))
    yield "dartifacts", {}
    for name, base in ((shop.dartifacts[0], shop.dartifacts[1]), (shop.dartifacts[0], "production"), ("nobody", "")):
        for mart in ("people", "bare", "customer_statistics", "nothing"):
            yield "dartifacts", {"dartifact": name, "base": base, "mart": mart}
    two = {"dartifact": shop.dartifacts[0], "base": shop.dartifacts[1], "mart": "people"}
    yield from (("dartifacts", {**two, "column": column}) for column in ("contact", "Email", "more", "segment", "x"))
    yield from (
        ("dartifacts", {**two, key: value}) for key, value in (("kind", "changed"), ("page", "2"), ("check", "x"))
    )
    yield from (("production", given) for given in ({}, {"to": "last"}, {"to": shop.dartifacts[0]}, {"to": "nobody"}))


def everything(page: AppTest) -> Iterator[str]:
    """Yield all that a page has sent to the browser, tables and charts included."""

    def walk(node: Node) -> Iterator[str]:
        proto = getattr(node, "proto", None)
        if proto is not None:
            yield proto.SerializeToString().decode("utf-8", "replace")
        if isinstance(node, Block):
            for child in node.children.values():
                yield from walk(child)

    yield from walk(page._tree)


def read_file(data: Any) -> str:
    """Return what is in a file that was offered."""
    content = data() if callable(data) else data
    if isinstance(content, bytes) and content[:4] == b"PAR1":
        return str(pq.read_table(io.BytesIO(content)).to_pydict())
    return content.decode() if isinstance(content, bytes) else str(content)


def look_everywhere(shop: Shop) -> dict[str, list[str]]:
    """Open every page at every address; return canary → where it was seen, the address as it was asked for left out."""
    seen: dict[str, list[str]] = {}
    for page, given in addresses(shop):
        shop.offered.clear()
        opened = open_page(page, **given)
        for button in opened.button:
            if button.label == "Count in main":
                button.click().run()
                look_again(opened)
        texts = [*everything(opened), *(read_file(each) for each in shop.offered)]
        asked = {value for value in given.values() for canary in CANARIES if canary in value}
        for canary in CANARIES:
            for text in texts:
                for value in asked:  # a page says which name it does not know
                    text = text.replace(value, "").replace(value.replace("_", "\\_"), "")  # noqa: PLW2901
                if canary in text:
                    seen.setdefault(canary, []).append(f"{page} {given}")
    return seen


@pytest.mark.timeout(400)
def test_a_viewer_finds_no_personal_value_anywhere(shop: Shop, as_viewer: None) -> None:
    assert look_everywhere(shop) == {}


@pytest.mark.timeout(400)
def test_who_may_see_them_finds_all_of_them(shop: Shop) -> None:
    """The other test would pass if the canaries were not where it looks."""
    assert set(look_everywhere(shop)) == set(CANARIES)


def test_a_viewer_still_sees_what_is_not_personal(shop: Shop, as_viewer: None) -> None:
    page = open_page("run", run=shop.bad.run_id)
    assert "vanished" in said(page)
    [checks] = [each.value for each in page.dataframe if "measured" in each.value.columns]
    told = {row["check"].split(" ", 1)[1]: (row["measured"], row["allowed"]) for _, row in checks.iterrows()}
    assert told["email.invalid"][0] not in ("", HIDDEN), "a number of rows is none"
    assert told["drift.name.least"] == ("", HIDDEN)
    assert told["metric.most"] == ("", HIDDEN)
    assert {f"drift.name.vanished.{HIDDEN}", f"drift.name.vanished.{HIDDEN} (2)"} <= set(told)
    [rows] = [each.value for each in page.dataframe if "kind" in each.value.columns]
    assert set(rows["phone"]) == {f"{HIDDEN} → {HIDDEN}"}
    assert "C000001" in rows["key"].tolist()
    page = open_page("run", run=shop.bad.run_id, part="Distributions")
    assert page.selectbox(key="of").options == ["customer_id", "segment", "country", "updated_at"]
    assert len(page.get("arrow_vega_lite_chart")) + len(page.get("vega_lite_chart")) == 1
    page = open_page("dartifacts", dartifact=shop.dartifacts[0], base=shop.dartifacts[1], mart="people")
    [rows] = [each.value for each in page.dataframe if "kind" in each.value.columns]
    assert any("shown" in cell for cell in rows["segment"])


@pytest.mark.usefixtures("as_viewer")
def test_each_read_refuses_by_itself_what_is_hidden(shop: Shop) -> None:
    for column in ("name", "phone"):
        with pytest.raises(PolicyRefused, match="hidden from viewers"):
            lake_reads.read_distribution(shop.bad.run_id, column)
    shown = lake_reads.ask_diff(shop.bad.run_id)
    assert shown is not None
    with pytest.raises(PolicyRefused, match="hidden from viewers"):
        shown.read_rows(0, 10, column="phone")
    with pytest.raises(PolicyRefused, match="hidden columns"):
        lake_reads.prepare_batch(shop.bad.run_id)


@pytest.mark.usefixtures("as_viewer")
def test_what_cannot_be_known_is_hidden(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert masks.mask_dataset("nothing").hides("anything")
    assert not masks.mask_dataset("orders").hides("anything"), "orders has nothing personal"
    assert masks.mask_mart("nothing").hides("anything")
    contract = Path(masks.read_settings().project) / "checks" / "customers.yml"
    contract.write_text("no contract", encoding="utf-8")
    st.cache_resource.clear()
    assert masks.mask_dataset("customers").hides("segment")
    monkeypatch.setenv("DARTIFACT_PROXY_SECRET", "another")  # nobody knows who looks
    assert masks.mask_dataset("customers").hides("name")
    assert masks.reveal(f"a {mark('b')}") == f"a {HIDDEN}"


def test_a_column_that_refers_to_a_personal_one_is_personal() -> None:
    people = replace(CUSTOMERS, personal=("customer_id",))
    more = replace(ORDERS, name="parcels", references=(Reference("buyer", "orders", "customer_id"),))
    assert list_personal([more, ORDERS, people]) == (
        ("customers", "customer_id"), ("orders", "customer_id"), ("parcels", "buyer"),
    )  # fmt: skip
