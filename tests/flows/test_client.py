"""`dartifact.client` on a real lakeFS server: what comes out as a DataFrame is what the lake has, to the last digit."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from dartifact import client
from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.production.promote import promote
from dartifact.commands.staging.stage import stage
from dartifact.domain import errors
from tests.support.sources import bad_order, customer, order
from tests.support.world import World

HEAVY = ("pandas", "duckdb", "lakefs_sdk", "prefect", "sqlalchemy", "soda_core", "pyarrow", "pydantic")


@pytest.fixture
def shop(named_world: World) -> World:
    """Return a world that the settings name, with one customer in `main`."""
    named_world.place("customers", customer(1))
    return named_world


def test_a_batch_is_a_frame_of_its_rows_with_every_value_as_it_is(shop: World) -> None:
    big = 2**53 + 1
    run = shop.bring("orders", order(big, amount=Decimal("0.10")), order(2, amount=None), order(3, status="lost"))
    frame = client.run(run.run_id).batch()
    assert "file_row_number" not in frame.columns
    assert frame["_run_id"].unique().tolist() == [run.run_id]
    assert frame["order_id"].tolist() == [big, 2, 3]
    assert frame["amount"].tolist()[0] == Decimal("0.10")
    assert frame["amount"].isna().tolist() == [False, True, False]
    assert frame["ordered_at"][0] == datetime(2021, 1, 1, tzinfo=UTC)
    assert frame["ordered_at"][0].tzinfo is not None
    assert (frame["amount"] > 0).sum() == 2


def test_system_columns_can_be_left_out_and_a_branch_names_its_run(shop: World) -> None:
    run = shop.bring("orders", order(1))
    columns = client.run(run.branch).batch(system=False).columns.tolist()
    assert columns == ["order_id", "customer_id", "status", "amount", "currency", "ordered_at", "updated_at"]


def test_failing_rows_and_results_tell_why_a_run_was_stopped(shop: World) -> None:
    run = client.run(shop.bring("orders", order(1), bad_order(2), bad_order(3)).run_id)
    failing = run.failing("status")
    assert failing[["_row", "order_id", "status"]].values.tolist() == [[1, 2, "lost"], [2, 3, "lost"]]
    results = run.results()
    failed = results[results["outcome"] == "failed"]
    assert failed[["check", "failing_rows"]].values.tolist() == [["orders.status.invalid", 2]]
    assert failing["_reason"].unique().tolist() == failed["message"].tolist()


def test_what_is_not_there_is_said(shop: World) -> None:
    with pytest.raises(errors.NotFound, match="there is no run nobody"):
        client.run("nobody")
    with shop.without_local_gate("orders"):
        unseen = client.run(shop.bring("orders", order(1)).run_id)
    with pytest.raises(errors.NotFound, match="no gate has seen run"):
        unseen.results()
    with pytest.raises(errors.NotFound, match="none of its checks has failing rows"):
        unseen.failing("status")
    with pytest.raises(errors.NotFound, match="nothing is live yet"):
        client.read("customer_statistics")
    with pytest.raises(errors.NotFound, match=r"has no mart nothing; it has none"):
        client.read("nothing", at=MAIN)
    with pytest.raises(errors.NotFound, match="there is no run, dartifact, branch or commit nowhere"):
        client.read("orders", at="nowhere")
    with pytest.raises(errors.NotFound, match="holds no rows of orders"):
        client.read("orders")
    with pytest.raises(errors.UsageError, match="leave out either"):
        client.read("customer_statistics", at=MAIN, consumer="a")
    with pytest.raises(errors.UsageError, match="consumers read marts"):
        client.read("orders", consumer="a")


def test_a_dataset_is_read_as_it_stands_in_main_or_anywhere(shop: World) -> None:
    before = shop.head.commit_id
    run = shop.place("customers", customer(1, name="Later"), customer(2))
    assert client.read("customers")["name"].tolist() == ["Later", "Customer 2"]
    assert client.read("customers", at=before)["name"].tolist() == ["Customer 1"]
    assert client.read("customers", at=run.run_id)["name"].tolist() == ["Later", "Customer 2"]


def test_a_mart_is_read_where_resolve_sends_its_reader(shop: World) -> None:
    shop.place("orders", order(1, amount=Decimal("0.10")), order(2, amount=Decimal("0.20")))
    dartifact = stage(shop.stack, actor="test")
    assert promote(shop.stack, actor="test") is not None
    plain = client.read("customer_statistics")
    assert plain["revenue"].sum() == Decimal("0.30")
    assert isinstance(plain["revenue"].dtype, pd.ArrowDtype)
    for same in ({"consumer": "dashboard"}, {"at": dartifact.dartifact_id}, {"at": "production"}):
        pd.testing.assert_frame_equal(client.read("customer_statistics", **same), plain)
    assert shop.stack.ledger.consumer("dashboard") is not None


def test_importing_the_client_is_cheap() -> None:
    code = f"import sys, dartifact.client; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
