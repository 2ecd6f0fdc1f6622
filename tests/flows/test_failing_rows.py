"""Failing rows as evidence, on a real lakeFS server: what is kept, how much of it, and when a gate is killed or cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.adapters.contracts.soda import check_contract, checks_of, load_contract
from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables.batch_files import add_system_columns
from dartifact.adapters.tables.batches import build_batch
from dartifact.commands.gates import failing_rows
from dartifact.commands.gates.failing_rows import (
    evidence_branch,
    evidence_path,
    file_name,
    find_check,
    find_failing,
    read_failing_rows,
    select_failing,
    write_failing_rows,
)
from dartifact.commands.ingest import ingest
from dartifact.commands.queue import rounds
from dartifact.domain import errors
from dartifact.domain.checks import Report, Result
from dartifact.domain.marks import show_values
from dartifact.domain.runs import Phase, Run
from tests.support.proxy import Fault, Proxy
from tests.support.sources import bad_customer, bad_order, customer, order
from tests.support.world import World

PROJECT = Path(__file__).resolve().parents[2]
STATUS = "orders.status.invalid"


class Killed(BaseException):
    """What no cleaning up survives, as a killed process."""


def report_of(world: World, run: Run) -> Report:
    report = world.stack.ledger.report(world.run(run).report or "")
    assert report is not None
    return report


def result_of(world: World, run: Run, check: str) -> Result:
    return find_check(world.stack, world.run(run), check)


def read_kept(world: World, run: Run, check: str) -> list[dict[str, Any]]:
    """Read a check's file on the evidence branch, as anybody with the key can."""
    branch, digest = evidence_branch(run.run_id), world.run(run).report or ""
    content = world.lake.read_bytes(f"{branch}@", evidence_path(digest, check))
    return list(pq.read_table(io.BytesIO(content)).to_pylist())


def commits_of(world: World, run: Run) -> list[dict[str, str]]:
    """Return the metadata of the evidence branch's own commits, the newest first."""
    log = world.lake.log(f"{evidence_branch(run.run_id)}@", stop_at=run.commit)
    return [dict(each.metadata) for each in log if each.commit_id != run.commit]


# What is kept


def test_a_run_stopped_at_its_local_gate_leaves_its_failing_rows_as_evidence(world: World) -> None:
    world.land("customers", customer(1))
    before = world.head
    run = world.bring("orders", order(1), bad_order(2), order(3), bad_order(4))
    assert run.phase is Phase.FAILED
    rows = read_kept(world, run, STATUS)
    assert [(row["_row"], row["order_id"], row["status"]) for row in rows] == [(1, 2, "lost"), (3, 4, "lost")]
    result = result_of(world, run, STATUS)
    assert {row["_reason"] for row in rows} == {show_values(result.message)}
    assert {row["_run_id"] for row in rows} == {run.run_id}
    batch = world.lake.read_bytes(run.commit or "", f"{run.folder}part-0.parquet")
    columns = pq.read_table(io.BytesIO(batch)).column_names
    assert list(rows[0]) == ["_row", *columns, "_reason"]
    report = report_of(world, run)
    assert commits_of(world, run) == [
        {"run": run.run_id, "gate": "local", "report": report.digest, "actor": "ingestor:dan"}
    ]
    assert world.head == before


def test_a_run_stopped_at_integration_leaves_its_failing_rows_as_evidence(world: World) -> None:
    world.leave_out_local_gate("customers")
    bad, good = world.bring("customers", bad_customer(1), customer(2)), world.bring("customers", customer(3))
    done = world.integrate()
    assert (done.failed, done.merged) == ([bad.run_id], [good.run_id])
    assert [row["customer_id"] for row in read_kept(world, bad, "customers.segment.invalid")] == ["C000001"]
    (metadata,) = commits_of(world, bad)
    assert (metadata["gate"], metadata["report"]) == ("integration", world.run(bad).report)
    assert world.lake.list_branches("evidence-") == (evidence_branch(bad.run_id),)
    assert world.lake.list_objects(f"{MAIN}@", "failing/") == ()


def test_a_warning_of_a_stopped_run_gives_its_rows_too(world: World) -> None:
    run = world.bring("customers", bad_customer(1), *(customer(number, email=None) for number in (2, 3)))
    assert run.phase is Phase.FAILED
    assert {each.check for each in find_failing(report_of(world, run), run)} == {
        "customers.segment.invalid",
        "customers.email.missing",
    }
    assert [row["customer_id"] for row in read_kept(world, run, "customers.email.missing")] == ["C000002", "C000003"]
    assert len(commits_of(world, run)) == 1


def test_a_run_that_passes_leaves_no_evidence_warned_or_not(world: World) -> None:
    warned = world.bring("customers", customer(1), customer(2, email=None))
    assert warned.phase is Phase.QUEUED
    assert any(each.failing_rows for each in report_of(world, warned).results)
    assert world.integrate().merged == [warned.run_id]
    assert world.lake.list_branches("evidence-") == ()


def test_the_exact_number_stays_where_the_rows_are_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing_rows, "MOST_KEPT", 3)
    run = world.bring("orders", order(1), *(bad_order(number) for number in range(2, 7)))
    assert [row["order_id"] for row in read_kept(world, run, STATUS)] == [2, 3, 4]
    assert result_of(world, run, STATUS).failing_rows == 5


def test_rows_without_a_key_and_rows_with_an_ambiguous_one_are_kept(world: World) -> None:
    world.leave_out_local_gate("customers")
    rows = (customer(1, name="a"), customer(1, name="b"), customer(1, name="b"), customer(2))
    run = world.bring("customers", *rows)
    world.integrate()
    result = result_of(world, run, "key.ambiguous")
    assert (result.measured, result.failing_rows) == (1, 3)
    kept = read_kept(world, run, "customers.key.ambiguous")
    assert [(row["_row"], row["name"]) for row in kept] == [(0, "a"), (1, "b"), (2, "b")]


def test_a_held_run_that_waits_on_gives_its_rows_once(world: World) -> None:
    early = world.bring("orders", order(1, of=2), order(2, of=3))
    assert world.integrate().held == [early.run_id]
    assert [row["order_id"] for row in read_kept(world, early, "orders.customer_id.reference")] == [1, 2]
    world.tick()
    world.integrate()
    assert len(commits_of(world, early)) == 1
    world.tick(timedelta(hours=2))
    assert world.integrate().failed == [early.run_id]
    assert commits_of(world, early)[0]["report"] == world.run(early).report


def test_what_was_kept_is_read_though_the_run_has_changed_since(world: World) -> None:
    run = world.bring("orders", order(1), bad_order(2))
    result = result_of(world, run, STATUS)
    commit = world.lake.head(run.branch).commit_id
    world.write_batch(run, run.branch, order(1), order(2))
    fixed = world.lake.commit(run.branch, "fix", {"run": run.run_id}).commit_id
    assert commit != fixed
    with world.stack.ledger.write() as tx:
        changes = {"commit_id": fixed}
        stopped = tx.runs.move(run.run_id, Phase.CHECKING, "RunFixed", "test", adopt=True, changes=changes)
    assert [row["order_id"] for row in read_failing_rows(world.stack, stopped, result)] == [2]


def test_rows_are_found_by_their_condition_where_no_evidence_is(world: World) -> None:
    run = world.bring("orders", order(1), bad_order(2))
    result = result_of(world, run, STATUS)
    kept = read_failing_rows(world.stack, run, result)
    world.lake.delete_branch(evidence_branch(run.run_id))
    assert read_failing_rows(world.stack, run, result) == kept
    assert [(row["_row"], row["order_id"]) for row in kept] == [(1, 2)]


# Whatever happens meanwhile


def kill_after(monkeypatch: pytest.MonkeyPatch, module: Any, act: Callable[[], object]) -> None:
    """Let the process die between the evidence and the transaction of the gate."""

    def keep_and_die(*arguments: Any) -> None:
        failing_rows.keep_failing_rows(*arguments)
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(module, "keep_failing_rows", keep_and_die)
        with pytest.raises(Killed):
            act()


def test_a_local_gate_killed_after_the_evidence_ends_alike(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.tick()
    world.sources["orders"].add(order(1), bad_order(2))
    kill_after(monkeypatch, ingest, lambda: world.ingest("orders"))
    (stuck,) = world.stack.ledger.runs()
    assert (stuck.phase, stuck.report) == (Phase.CHECKING, None)
    first = world.lake.head(evidence_branch(stuck.run_id))
    (run,) = world.ingest("orders")
    assert (run.run_id, run.phase) == (stuck.run_id, Phase.FAILED)
    assert world.lake.head(evidence_branch(run.run_id)) == first
    assert first.metadata["report"] == run.report
    assert [row["order_id"] for row in read_kept(world, run, STATUS)] == [2]


def test_integration_killed_after_the_evidence_stops_the_run_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.leave_out_local_gate("customers")
    run = world.bring("customers", bad_customer(1))
    kill_after(monkeypatch, rounds, world.integrate)
    assert world.run(run).phase is Phase.QUEUED
    assert world.integrate().failed == [run.run_id]
    assert [row["customer_id"] for row in read_kept(world, run, "customers.segment.invalid")] == ["C000001"]


@pytest.mark.parametrize(
    "request_line",
    [
        r"POST .*/branches$",
        r"POST .*/branches/evidence-[^/]+/objects",
        r"POST .*/branches/evidence-[^/]+/commits",
    ],
)
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_a_local_gate_whose_evidence_is_cut_is_asked_again(
    world: World, proxy: Proxy, request_line: str, fault: Fault
) -> None:
    world.tick()
    world.sources["orders"].add(bad_order(1))
    whole, world.stack = world.stack, world.through(proxy.url)
    # the first branch that is created is the run's own
    rule = proxy.add(request_line, fault, times=None, after=1 if request_line.endswith("branches$") else 0)
    with pytest.raises(errors.ChecksErrored):
        world.ingest("orders")
    assert rule.arrived.is_set()
    (stuck,) = world.stack.ledger.runs()
    assert (stuck.phase, stuck.attempts) == (Phase.CHECKING, 1)
    world.stack = whole
    (run,) = world.ingest("orders")
    assert (run.run_id, run.phase) == (stuck.run_id, Phase.FAILED)
    assert [row["order_id"] for row in read_kept(world, run, STATUS)] == [1]
    assert len(commits_of(world, run)) == 1


def test_integration_whose_evidence_is_cut_leaves_the_run_in_the_queue(world: World, proxy: Proxy) -> None:
    world.leave_out_local_gate("customers")
    run = world.bring("customers", bad_customer(1))
    whole, world.stack = world.stack, world.through(proxy.url)
    proxy.add(r"POST .*/branches/evidence-[^/]+/objects", Fault.CUT_BEFORE, times=None)
    with pytest.raises(errors.ChecksErrored):
        world.integrate()
    assert world.run(run).phase is Phase.QUEUED
    world.stack = whole
    assert world.integrate().failed == [run.run_id]
    assert len(commits_of(world, run)) == 1


# Names and files


def test_a_check_is_named_whole_by_its_end_or_by_a_part_that_only_it_has(world: World) -> None:
    run = world.bring("orders", order(1, status=None), order(2, amount="-1.00"), order(3, status="lost"))
    for name in (STATUS, "status.invalid"):
        assert result_of(world, run, name).check == STATUS
    assert result_of(world, run, "amount").check == "orders.amount.invalid"
    with pytest.raises(errors.UsageError, match=r"may be any of .*orders\.status\.missing, orders\.status\.invalid"):
        result_of(world, run, "status")
    with pytest.raises(errors.NotFound, match=r"those with failing rows: orders\.status\.missing, orders\.status"):
        result_of(world, run, "currency")
    with pytest.raises(errors.NotFound, match="none of its checks has failing rows"):
        result_of(world, world.bring("customers", customer(1)), "segment")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_failing_rows_are_written_to_a_file_by_its_ending(world: World, tmp_path: Path, name: str) -> None:
    run = world.bring("orders", order(1), bad_order(2), bad_order(3))
    out = tmp_path / name
    assert write_failing_rows(world.stack, run, result_of(world, run, STATUS), out) == 2
    found = duckdb.execute(f"SELECT order_id, status, _row FROM '{out}' ORDER BY 1").fetchall()
    assert found == [(2, "lost", 1), (3, "lost", 2)]


def test_failing_rows_are_not_written_where_they_cannot_be(world: World, tmp_path: Path) -> None:
    run = world.bring("orders", bad_order(1))
    result = result_of(world, run, STATUS)
    for out in (tmp_path / "rows.xlsx", tmp_path / "no" / "rows.csv"):
        with pytest.raises(errors.UsageError, match=str(out)):
            write_failing_rows(world.stack, run, result, out)


@pytest.mark.parametrize("check", ["a b", "../a", "a/b", "ä", ".a", "a" * 200])
def test_a_check_of_any_name_has_a_file_of_its_own(check: str) -> None:
    name = file_name(check)
    assert name == Path(name).name != check
    assert not name.startswith(".")
    assert name not in {file_name(other) for other in ("a_b", "a", "_", ".._a", check + "x")}
    assert file_name("orders.status.invalid") == "orders.status.invalid"


# As many rows as the check counts

_BAD: dict[str, dict[str, Any]] = {
    "orders.order_id.missing": {"order_id": None},
    "orders.order_id.invalid": {"order_id": 0},
    "orders.customer_id.missing": {"customer_id": None},
    "orders.customer_id.invalid": {"customer_id": "X'1"},
    "orders.status.missing": {"status": None},
    "orders.status.invalid": {"status": "lost"},
    "orders.amount.missing": {"amount": None},
    "orders.amount.invalid": {"amount": "-0.01"},
    "orders.currency.missing": {"currency": None},
    "orders.currency.invalid": {"currency": "eur"},
    "orders.ordered_at.missing": {"ordered_at": None},
    "orders.updated_at.missing": {"updated_at": None},
    "orders.failed_rows.ordered_before_updated": {"ordered_at": "2021-01-02T00:00:00Z"},
    "customers.customer_id.missing": {"customer_id": None},
    "customers.customer_id.invalid": {"customer_id": "C1"},
    "customers.name.missing": {"name": ""},
    "customers.email.missing": {"email": None},
    "customers.email.invalid": {"email": "nobody"},
    "customers.segment.missing": {"segment": None},
    "customers.segment.invalid": {"segment": "martian"},
    "customers.country.missing": {"country": None},
    "customers.country.invalid": {"country": "Germany"},
    "customers.updated_at.missing": {"updated_at": None},
}


def test_every_row_level_check_of_the_contracts_is_among_the_bad_rows() -> None:
    contracts = [load_contract(PROJECT / "checks" / f"{name}.yml") for name in ("orders", "customers")]
    checks = {check.id for contract in contracts for check in checks_of(contract) if check.kind != "row_count"}
    assert checks == set(_BAD)


@pytest.mark.parametrize("dataset", ["orders", "customers"])
@given(data=st.data())
def test_as_many_rows_are_kept_as_a_check_counts_up_to_the_bound(dataset: str, data: st.DataObject) -> None:
    good = {"orders": order, "customers": customer}[dataset]
    mine = [changes for check, changes in _BAD.items() if check.startswith(f"{dataset}.")]
    faults = data.draw(st.lists(st.sampled_from([{}, {"_deleted": True}, *mine]), min_size=1, max_size=30))
    bound = data.draw(st.integers(1, 6))
    stamped = {"updated_at": "2021-01-01T12:00:00Z"}
    rows = [good(number, **(stamped | changes)) for number, changes in enumerate(faults, start=1)]
    contract = load_contract(PROJECT / "checks" / f"{dataset}.yml")
    table = build_batch(rows, contract.columns, zone=None)
    table = add_system_columns(table, run_id="r", seq=1, extracted_at=datetime(2021, 1, 1, tzinfo=UTC))
    with duckdb.connect() as own, pytest.MonkeyPatch.context() as patch:
        patch.setattr(failing_rows, "MOST_KEPT", bound)
        own.register("arrow", table)
        own.execute("CREATE TABLE batch AS SELECT *, row_number() OVER () - 1 AS file_row_number FROM arrow")
        for result in check_contract(own, contract, "batch"):
            if result.condition:
                found = own.execute(f"SELECT _row FROM ({select_failing(result)})").fetchall()
                assert len(found) == min(result.failing_rows, bound), result.check
                assert found == sorted(found)
