"""The verbs of a person who looks at a stopped run and decides, in this process, on a real lakeFS server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dartifact.domain.runs import Phase, Run
from tests.conftest import Call
from tests.support.sources import bad_order, customer, order
from tests.support.world import World

STATUS = "orders.status.invalid"


@pytest.fixture
def shop(named_world: World) -> World:
    """Return a world that the settings name, with one customer in `main`."""
    named_world.land("customers", customer(1))
    return named_world


@pytest.fixture
def bad(shop: World) -> Run:
    """Return a run that was stopped for one row in three."""
    return shop.bring("orders", order(1), bad_order(2), order(3))


def test_failing_rows_are_shown_and_written(shop: World, bad: Run, call: Call, tmp_path: Path) -> None:
    code, out, _ = call("show", bad.branch, "--failing", "status")
    assert code == 0
    assert "1 of 3 rows is not" in out
    assert "lost" in out
    document = json.loads(call("show", bad.run_id, "--failing", "status", "-o", "json")[1])
    assert (document["check"], document["failing_rows"], document["kept"]) == (STATUS, 1, 1)
    assert [row["order_id"] for row in document["rows"]] == [2]
    path = tmp_path / "rows.csv"
    assert call("show", bad.run_id, "--failing", "status", "--rows", str(path))[0] == 0
    assert path.read_text().startswith("_row,order_id")
    code, _, said = call("show", bad.run_id, "--failing", "amount")
    assert (code, f"those with failing rows: {STATUS}" in said) == (1, True)
    assert call("show", bad.run_id, "--rows", str(path))[0] == 1


def test_a_run_is_approved_by_name(shop: World, bad: Run, call: Call) -> None:
    code, _, said = call("approve", bad.run_id, "--reason", "known", "--commit", "0" * 64)
    assert (code, "has another commit by now" in said) == (6, True)
    code, out, _ = call("approve", bad.branch, "--reason", "known", "-o", "json")
    document = json.loads(out)
    assert (code, document["phase"]) == (0, "queued")
    assert [(each["check"], each["rows"], each["actor"]) for each in document["waivers"]] == [(STATUS, 1, "ann")]
    code, out, _ = call("integrate")
    assert (code, f"merged: {bad.run_id}" in out) == (0, True)
    assert f"approved {STATUS}, 1 rows, by ann: known" in call("show", bad.run_id)[1]


def test_what_breaks_main_is_refused_with_5(shop: World, call: Call) -> None:
    run = shop.bring("orders", order(1, amount="many"))
    code, _, said = call("approve", run.run_id, "--reason", "known")
    assert (code, "this cannot be approved" in said, f"dartifact fix {run.run_id}" in said) == (5, True, True)


def test_a_rejected_run_says_what_is_missing_now(shop: World, bad: Run, call: Call) -> None:
    code, out, _ = call("reject", bad.run_id, "--reason", "rubbish")
    assert code == 0
    assert f"dartifact accept-gap {bad.run_id} --reason WHY" in out
    assert shop.run(bad).reasons == ("rejected by ann: rubbish",)


def test_a_run_is_checked_out_fixed_and_merged(shop: World, bad: Run, call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "look"
    code, out, _ = call("checkout", bad.run_id, "--to", str(folder))
    assert (code, "next: read" in out) == (0, True)
    fixed = tmp_path / "fixed.parquet"
    duckdb.execute(f"COPY (FROM '{folder}/batch.parquet' WHERE status <> 'lost') TO '{fixed}'")
    code, out, said = call("fix", bad.run_id, "--file", str(fixed), "--reason", "the lost one is no order")
    assert (code, f"{bad.run_id}: queued, 2 rows" in out) == (0, True)
    assert "has 2 rows now; it had 3" in said
    assert call("integrate")[0] == 0
    assert shop.keys("orders") == [1, 3]


def test_failing_rows_are_split_off_and_the_rest_is_merged(shop: World, bad: Run, call: Call) -> None:
    code, out, said = call("split", bad.branch, "--reason", "one is lost", "-o", "json")
    document = json.loads(out)
    assert (code, document["phase"], document["rows"]) == (0, "queued", 2)
    assert (document["split_from"], document["rows_before"], document["rows_left"]) == (bad.run_id, 3, 1)
    assert f"of 3 rows 2 are {document['run_id']} now, 1 stay on run-{bad.run_id}" in said
    assert call("integrate")[0] == 0
    assert shop.keys("orders") == [1, 3]


@pytest.mark.parametrize("content", [None, b"PAR1 no"], ids=["no file", "no Parquet"])
def test_a_file_that_cannot_be_read_is_named(
    shop: World, bad: Run, call: Call, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "fixed.parquet"
    if content:
        path.write_bytes(content)
    code, _, said = call("fix", bad.run_id, "--file", str(path), "--reason", "why")
    assert (code, f"{path} cannot be read" in said) == (1, True)
    assert shop.run(bad).phase is Phase.FAILED


def test_a_waived_check_lets_a_rechecked_run_pass_and_is_listed(shop: World, bad: Run, call: Call) -> None:
    assert call("recheck", bad.run_id)[0] == 3
    code, out, _ = call("waive", "orders", STATUS, "--until", "2999-01-01", "--reason", "their release")
    assert (code, "waiver 1:" in out) == (0, True)
    listed: list[dict[str, Any]] = json.loads(call("waivers", "-o", "json")[1])
    assert [(each["check"], each["rows"], each["until"][:10]) for each in listed] == [(STATUS, 1, "2999-01-01")]
    assert f"{STATUS} until 2999-01-01T00:00" in call("status")[1]
    code, out, _ = call("recheck", bad.run_id)
    assert (code, f"{bad.run_id}: queued" in out) == (0, True)
    assert call("unwaive", "1", "--reason", "mended")[2] == "waiver 1 has ended\n"
    assert call("waivers")[1] == "no waivers\n"
    assert "withdrawn" in call("waivers", "--all")[1]
    assert call("waive", "orders", STATUS, "--until", "2001-01-01", "--reason", "why")[0] == 1


def test_a_change_is_opened_by_hand(shop: World, call: Call, tmp_path: Path) -> None:
    shop.land("orders", order(1))
    code, out, _ = call("open", "--dataset", "orders", "--reason", "paid in cash", "-o", "json")
    run = json.loads(out)
    assert (code, run["phase"], run["ingestor"]) == (0, "held", "hand")
    path = tmp_path / "rows.csv"
    path.write_text("order_id,customer_id,status,amount,currency,ordered_at,updated_at\n"
                    "1,C000001,paid,0.10,EUR,2021-01-01T00:00:00Z,2021-01-01T00:00:00Z\n")  # fmt: skip
    assert call("fix", run["run_id"], "--file", str(path), "--reason", "paid in cash")[0] == 0
    assert call("integrate")[0] == 0
    assert [row["status"] for row in shop.rows("orders")] == ["paid"]
