"""What a person can do about a stopped run, on a real lakeFS server: approve, reject, recheck, fix, open, waive."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dartifact.adapters.tables.row_files import read_rows
from dartifact.commands.gates.waivers import waive, withdraw
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.review import decide as review
from dartifact.commands.review.checkout import check_out
from dartifact.commands.review.fix import fix, open_change
from dartifact.commands.review.tables import read_batch
from dartifact.commands.upkeep.notify import compose
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Result
from dartifact.domain.dartifacts import Cause
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.runs import Phase, Run
from tests.support.sources import bad_order, customer, order
from tests.support.world import World

STATUS = "orders.status.invalid"
WHY = "the shop says so"


@pytest.fixture
def shop(world: World) -> World:
    world.land("customers", customer(1))
    return world


def results_of(world: World, run: Run, gate: Gate | None = None) -> dict[str, Result]:
    report = world.stack.ledger.report(world.run(run).report or "")
    assert report is not None
    assert gate in (None, report.gate)
    return {each.check: each for each in report.results}


def plain(*rows: dict[str, object]) -> list[dict[str, object]]:
    """Return rows as a file of a person's holds them."""
    return [{"updated_at": "2021-01-01T00:00:00Z"} | {k: str(v) for k, v in row.items()} for row in rows]


# Approve and reject


@pytest.mark.both_databases
def test_an_approved_run_merges_as_it_is_and_says_who_accepted_what(shop: World) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    approved = review.approve(shop.stack, run.run_id, Decision("ann", WHY))
    assert approved.phase is Phase.QUEUED
    assert shop.integrate().merged == [run.run_id]
    assert shop.keys("orders") == [1, 2]
    [event] = shop.events("RunApproved", run=run)
    assert (event.actor, event.payload["reason"]) == ("ann", WHY)
    assert event.payload["checks"] == [{"check": STATUS, "failing_rows": 1}]
    [waiver] = shop.stack.ledger.waivers(run_ids=[run.run_id])
    assert (waiver.commit, waiver.report, waiver.rows) == (run.commit, run.report, 1)


def test_what_an_approval_did_not_name_still_stops_the_run(shop: World) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    review.approve(shop.stack, run.run_id, Decision("ann", WHY))
    orphan = shop.bring("orders", order(3, customer_id="C999999"), bad_order(4))
    review.approve(shop.stack, orphan.run_id, Decision("ann", WHY))
    shop.with_policy(orphan_grace=timedelta(0))
    done = shop.integrate()
    assert (done.merged, done.failed) == ([run.run_id], [orphan.run_id])
    found = results_of(shop, orphan, Gate.INTEGRATION)
    assert found[STATUS].outcome is Outcome.WARNED
    assert found["orders.customer_id.reference"].outcome is Outcome.FAILED
    review.approve(shop.stack, orphan.run_id, Decision("ann", WHY))
    assert shop.integrate().merged == [orphan.run_id]


def test_an_approval_is_of_what_was_shown(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    with pytest.raises(errors.Conflict, match="has another commit by now"):
        review.approve(shop.stack, run.run_id, Decision("ann", WHY, Seen("0" * 64)))
    with pytest.raises(errors.Conflict, match="was checked again since"):
        review.approve(shop.stack, run.run_id, Decision("ann", WHY, Seen(report="0" * 64)))
    assert shop.run(run).phase is Phase.FAILED
    assert not shop.stack.ledger.waivers(everything=True)
    review.approve(shop.stack, run.run_id, Decision("ann", WHY, Seen(run.commit, run.report)))
    with pytest.raises(errors.UsageError, match="is queued: there is nothing to approve"):
        review.approve(shop.stack, run.run_id, Decision("bob", WHY))
    assert len(shop.stack.ledger.waivers(everything=True)) == 1


def test_an_approval_does_not_cover_rows_that_come_later(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    review.approve(shop.stack, run.run_id, Decision("ann", WHY))
    review.reject(shop.stack, run.run_id, Decision("ann", "no, after all"))
    later = shop.bring("orders", bad_order(3))
    assert later.phase is Phase.FAILED


def test_what_would_break_main_is_not_approved(shop: World) -> None:
    run = shop.bring("orders", order(1, amount="many"))
    assert run.phase is Phase.FAILED
    with pytest.raises(errors.PolicyRefused, match=r"cannot be approved: orders\.amount"):
        review.approve(shop.stack, run.run_id, Decision("ann", WHY))


def test_a_fix_of_what_has_been_fixed_since_it_was_shown_is_refused(shop: World) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    fixed = fix(shop.stack, run.run_id, Decision("bob", WHY, Seen(run.commit)), plain(order(1), bad_order(3)))
    assert fixed.phase is Phase.FAILED
    with pytest.raises(errors.Conflict, match="has another commit by now"):
        fix(shop.stack, run.run_id, Decision("ann", WHY, Seen(run.commit)), plain(order(1)))
    assert shop.run(run).commit == fixed.commit


@pytest.mark.both_databases
def test_a_rejected_run_leaves_a_gap_and_never_lands(shop: World) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    rejected = review.reject(shop.stack, run.run_id, Decision("ann", "rubbish"))
    assert (rejected.phase, rejected.reasons) == (Phase.REJECTED, ("rejected by ann: rubbish",))
    assert [name for _, name in shop.stack.ledger.gaps()] == [run.run_id]
    assert review.reject(shop.stack, run.run_id, Decision("bob", "again")).reasons == rejected.reasons
    with pytest.raises(errors.UsageError, match="is rejected: it cannot be fixed"):
        fix(shop.stack, run.run_id, Decision("ann", WHY), plain(order(1)))
    assert shop.integrate().merged == []
    assert shop.lake.has_branch(run.branch)


@pytest.mark.both_databases
def test_a_queued_run_can_be_rejected_and_one_in_main_cannot(shop: World) -> None:
    landed, waiting = shop.land("customers", customer(2)), shop.bring("orders", order(1))
    review.reject(shop.stack, waiting.run_id, Decision("ann", "no"))
    assert shop.integrate().merged == []
    with pytest.raises(errors.IllegalTransition):
        review.reject(shop.stack, landed.run_id, Decision("ann", "no"))


@pytest.mark.parametrize("decide", [review.approve, review.reject])
def test_a_decision_has_a_reason(shop: World, decide: Callable[..., Run]) -> None:
    run = shop.bring("orders", bad_order(2))
    with pytest.raises(errors.UsageError, match="a reason is required"):
        decide(shop.stack, run.run_id, Decision("ann", " "))


# Recheck


def test_a_recheck_asks_the_checks_as_they_are_now(shop: World) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    assert review.recheck(shop.stack, run.run_id, actor="ann").phase is Phase.FAILED
    waive(shop.stack, "orders", STATUS, until=shop.clock() + timedelta(days=1), reason=WHY, actor="ann")
    assert review.recheck(shop.stack, run.run_id, actor="ann").phase is Phase.QUEUED
    assert shop.integrate().merged == [run.run_id]


def test_a_recheck_waits_for_the_ingestor_and_gives_up(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    said: list[str] = []
    with ThreadPoolExecutor(1) as dan, hold_lease(shop.stack.ledger, "ingest dan"):
        asked = dan.submit(review.recheck, shop.stack, run.run_id, actor="ann", progress=said.append, patience=0.3)
        with pytest.raises(errors.Locked):
            asked.result()
    assert said == ["dan is at work: waiting for it"]
    assert shop.run(run).phase is Phase.CHECKING
    # whoever comes next goes on with it
    assert review.recheck(shop.stack, run.run_id, actor="ann").phase is Phase.FAILED


# Fix


@pytest.mark.both_databases
def test_a_fixed_run_passes_the_same_gates_and_lands(shop: World, tmp_path: Path) -> None:
    run = shop.bring("orders", order(1), bad_order(2))
    table = read_batch(shop.stack, run)
    path = tmp_path / "fixed.parquet"
    pq.write_table(table.filter([row["status"] != "lost" for row in table.to_pylist()]), path)
    fixed = fix(shop.stack, run.run_id, Decision("ann", WHY), read_rows(path))
    assert (fixed.phase, fixed.rows) == (Phase.QUEUED, 1)
    assert fixed.commit != run.commit
    assert shop.integrate().merged == [run.run_id]
    assert shop.keys("orders") == [1]
    [event] = shop.events("RunFixed", run=run)
    assert (event.payload["was"], event.payload["rows_before"], event.payload["rows"]) == (run.commit, 2, 1)
    assert not shop.stack.ledger.gaps()


def test_a_fix_with_other_faults_is_stopped_again(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    again = fix(shop.stack, run.run_id, Decision("ann", WHY), plain(order(2, amount=-1)))
    assert again.phase is Phase.FAILED
    assert "orders.amount" in again.reasons[0]


def test_a_fix_from_a_csv_file_is_typed_as_a_source_would_be(shop: World, tmp_path: Path) -> None:
    run = shop.bring("orders", bad_order(2))
    path = tmp_path / "fixed.csv"
    path.write_text(
        "order_id,customer_id,status,amount,currency,ordered_at,updated_at,_deleted\n"
        "2,C000001,paid,0.10,EUR,2021-01-01T00:00:00Z,2021-01-01T00:00:00Z,false\n"
    )
    assert fix(shop.stack, run.run_id, Decision("ann", WHY), read_rows(path)).phase is Phase.QUEUED
    shop.integrate()
    assert [row["amount"] for row in shop.rows("orders")] == [Decimal("0.10")]


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "only uploaded"])
def test_a_fix_made_on_the_branch_with_any_client_is_taken(shop: World, commits: bool) -> None:
    run = shop.bring("orders", bad_order(2))
    shop.write_batch(run, run.branch, order(7), name="mine.parquet")
    shop.lake.delete_objects(run.branch, [f"{run.folder}part-0.parquet"])
    if commits:
        shop.lake.commit(run.branch, "by hand", {})
    fixed = fix(shop.stack, run.run_id, Decision("ann", WHY))
    assert fixed.phase is Phase.QUEUED
    shop.integrate()
    assert shop.keys("orders") == [7]
    assert list(shop.content(prefix="raw/orders/")) == [f"{run.folder}part-0.parquet"]


def test_a_fix_that_touches_what_is_not_the_runs_own_is_refused(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    shop.lake.upload(run.branch, "raw/customers/x/part-0.parquet", b"?")
    with pytest.raises(errors.PolicyRefused, match="changes what is not its own: raw/customers/x"):
        fix(shop.stack, run.run_id, Decision("ann", WHY))
    assert shop.run(run).phase is Phase.FAILED


def test_a_fix_that_fixes_nothing_is_refused(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    with pytest.raises(errors.UsageError, match="has these rows already"):
        fix(shop.stack, run.run_id, Decision("ann", WHY))
    with pytest.raises(errors.UsageError, match="there are no rows"):
        fix(shop.stack, run.run_id, Decision("ann", WHY), [])


def test_a_run_that_was_taken_out_of_main_is_fixed_and_lands_again(shop: World) -> None:
    run = shop.land("orders", order(1, amount=5), order(2))
    shop.request_revert(run)
    assert shop.integrate().reverted == [run.run_id]
    assert fix(shop.stack, run.run_id, Decision("ann", WHY), plain(order(1, amount=6))).phase is Phase.QUEUED
    assert shop.integrate().merged == [run.run_id]
    assert [row["amount"] for row in shop.rows("orders")] == [Decimal(6)]


def test_a_fix_that_was_killed_after_its_commit_is_made_again(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shop.bring("orders", bad_order(2))

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("dartifact.adapters.ledger.runs.RunTable.move", die)
        with pytest.raises(Killed):
            fix(shop.stack, run.run_id, Decision("ann", WHY), plain(order(2)))
    assert shop.run(run).phase is Phase.FAILED
    assert fix(shop.stack, run.run_id, Decision("ann", WHY)).phase is Phase.QUEUED
    shop.integrate()
    assert shop.keys("orders") == [2]


# Changes by hand


@pytest.mark.both_databases
def test_a_change_by_hand_passes_the_same_gates_and_leaves_no_gap(shop: World) -> None:
    shop.land("orders", order(1), order(2))
    opened = open_change(shop.stack, "orders", Decision("ann", "order 1 was paid in cash"))
    assert (opened.phase, opened.ingestor, opened.commit) == (Phase.HELD, "hand", None)
    assert not shop.stack.ledger.gaps()
    with pytest.raises(errors.UsageError, match="has brought no rows"):
        review.approve(shop.stack, opened.run_id, Decision("ann", WHY))
    bad = fix(shop.stack, opened.run_id, Decision("ann", WHY), plain(bad_order(1)))
    assert bad.phase is Phase.FAILED
    gone = {"_deleted": "true"}
    assert fix(shop.stack, opened.run_id, Decision("ann", WHY), plain(order(1, amount=3), order(2) | gone)).phase \
        is Phase.QUEUED  # fmt: skip
    assert shop.integrate().merged == [opened.run_id]
    assert [(row["order_id"], row["amount"]) for row in shop.rows("orders")] == [(1, Decimal(3))]
    assert not shop.stack.ledger.gaps()
    # an ingestor's next run is not disturbed by it, and beats it
    shop.land("orders", order(1, amount=4))
    assert [row["amount"] for row in shop.rows("orders")] == [Decimal(4)]
    assert open_change(shop.stack, "orders", Decision("ann", WHY)).number == opened.number + 1


def test_a_change_by_hand_has_a_dataset_and_a_reason(shop: World) -> None:
    with pytest.raises(errors.UsageError, match="there is no source nothing"):
        open_change(shop.stack, "nothing", Decision("ann", WHY))
    with pytest.raises(errors.UsageError, match="a reason is required"):
        open_change(shop.stack, "orders", Decision("ann", ""))


# Waivers


@pytest.mark.both_databases
def test_a_waiver_lets_runs_pass_until_it_expires_loudly(shop: World) -> None:
    run = shop.bring("orders", bad_order(2))
    made = waive(shop.stack, "orders", STATUS, until=shop.clock() + timedelta(minutes=12), reason=WHY, actor="ann")
    assert made.rows == 1
    first = shop.bring("orders", bad_order(3))
    assert first.phase is Phase.QUEUED
    assert "waived by ann until" in results_of(shop, first)[STATUS].message
    assert shop.bring("orders", bad_order(4), bad_order(5)).phase is Phase.FAILED  # more rows than were accepted
    shop.tick()
    assert any("has expired: the check stops runs again" in each for each in reconcile(shop.stack))
    assert not any("expired" in each for each in reconcile(shop.stack))  # said once
    [event] = shop.events("WaiverExpired")
    [message] = compose([event])
    assert message.title == f"the waiver of {STATUS} has expired: the check stops runs again"
    late = shop.bring("orders", bad_order(6))
    assert late.phase is Phase.FAILED
    assert "the waiver of ann expired at" in late.reasons[0]
    assert shop.run(run).phase is Phase.FAILED


def test_an_expired_waiver_is_named_once_at_integration(shop: World) -> None:
    shop.bring("orders", bad_order(2))
    waive(shop.stack, "orders", STATUS, until=shop.clock() + timedelta(minutes=1), reason=WHY, actor="ann")
    with shop.without_local_gate("orders"):
        late = shop.bring("orders", bad_order(3))
    assert shop.integrate().failed == [late.run_id]
    assert results_of(shop, late, Gate.INTEGRATION)[STATUS].message.count("the waiver of ann expired at") == 1


@pytest.mark.both_databases
def test_a_waiver_is_withdrawn_once(shop: World) -> None:
    shop.bring("orders", bad_order(2))
    made = waive(shop.stack, "orders", STATUS, until=shop.clock() + timedelta(days=1), reason=WHY, actor="ann")
    assert withdraw(shop.stack, made.waiver_id, reason="mended", actor="bob")
    assert not withdraw(shop.stack, made.waiver_id, reason="mended", actor="bob")
    assert shop.bring("orders", bad_order(3)).phase is Phase.FAILED
    assert shop.stack.ledger.waivers() == ()
    assert len(shop.stack.ledger.waivers(everything=True)) == 1
    with pytest.raises(errors.NotFound, match="there is no waiver 99"):
        withdraw(shop.stack, 99, reason="?", actor="bob")


@pytest.mark.parametrize(
    ("dataset", "check", "days", "error", "match"),
    [
        (
            "orders",
            "orders.status.invalidd",
            1,
            errors.UsageError,
            "orders has no check orders.status.invalidd; it has",
        ),
        ("nothing", STATUS, 1, errors.UsageError, "there is no dataset or mart nothing"),
        ("orders", STATUS, -1, errors.UsageError, "has passed"),
        (
            "customers",
            "customers.segment.invalid",
            1,
            errors.UsageError,
            "no recent run failed customers",
        ),
        ("orders", "orders.schema.type.amount", 1, errors.PolicyRefused, "cannot be waived"),
    ],
)
def test_what_cannot_be_waived_is_said(
    shop: World, dataset: str, check: str, days: int, error: type[errors.DartifactError], match: str
) -> None:
    shop.bring("orders", order(1, amount="many"))
    with pytest.raises(error, match=match):
        waive(shop.stack, dataset, check, until=shop.clock() + timedelta(days=days), reason=WHY, actor="ann")


# Known failures


def test_what_main_has_already_is_told_apart_from_what_is_new(shop: World) -> None:
    run = shop.bring("orders", bad_order(1), bad_order(2))
    review.approve(shop.stack, run.run_id, Decision("ann", WHY))
    shop.integrate()
    later = shop.bring("orders", bad_order(1), bad_order(2), bad_order(3), order(4))
    found = results_of(shop, later)[STATUS]
    assert (found.outcome, found.failing_rows, found.known_rows) == (Outcome.FAILED, 3, 2)
    assert found.message.endswith("; 2 of them were in main before, 1 is new")


def test_a_check_that_may_not_get_worse_warns_of_what_is_known(shop: World, tmp_path: Path) -> None:
    contract = shop.stack.contract("orders")
    policy = "\n          attributes: { policy: not_worse_than_main }"
    where = "valid_values: [placed, paid, shipped, returned, cancelled]"
    assert where in contract.text
    from dataclasses import replace  # noqa: PLC0415

    shop.stack._contracts["orders"] = replace(contract, text=contract.text.replace(where, where + policy))
    run = shop.bring("orders", bad_order(1))
    assert run.phase is Phase.FAILED
    review.approve(shop.stack, run.run_id, Decision("ann", WHY))
    shop.integrate()
    same = shop.bring("orders", bad_order(1), order(2))
    assert same.phase is Phase.QUEUED
    assert results_of(shop, same)[STATUS].outcome is Outcome.WARNED
    worse = shop.bring("orders", bad_order(1), bad_order(3))
    assert worse.phase is Phase.FAILED


# Checkout


def test_a_checkout_has_all_that_is_needed_to_look(shop: World, tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    shop.land("orders", order(1, amount=9))
    run = shop.bring("orders", order(1), bad_order(2))
    files = check_out(shop.stack, run.run_id, tmp_path / "look")
    names = {str(each.relative_to(tmp_path / "look")) for each in files}
    assert names == {
        "README.md",
        "batch.parquet",
        "failing/orders.status.invalid.parquet",
        "look.duckdb",
        "look.ipynb",
        "main.parquet",
    }
    with duckdb.connect(str(tmp_path / "look" / "look.duckdb"), read_only=True) as look:
        assert look.sql("SELECT order_id FROM batch ORDER BY ALL").fetchall() == [(1,), (2,)]
        assert look.sql("SELECT order_id, amount FROM main").fetchall() == [(1, Decimal(9))]
        assert look.sql("SELECT _row, order_id FROM failing_orders_status_invalid").fetchall() == [(1, 2)]
    assert run.run_id in (tmp_path / "look" / "README.md").read_text()
    with pytest.raises(errors.UsageError, match="is there already"):
        check_out(shop.stack, run.run_id, tmp_path / "look")


def test_a_blamed_run_is_fixed_after_a_rollback(shop: World) -> None:
    from dartifact.commands.production.promote import promote  # noqa: PLC0415
    from dartifact.commands.staging.stage import stage  # noqa: PLC0415

    shop.land("orders", order(1))
    stage(shop.stack, actor="test")
    promote(shop.stack, actor="test")
    guilty = shop.land("orders", order(2))
    stage(shop.stack, actor="test")
    promote(shop.stack, actor="test")
    roll_back(shop.stack, None, Cause((guilty.run_id,)), reason="wrong", actor="ann")
    shop.integrate()
    assert shop.run(guilty).phase is Phase.REVERTED
    assert fix(shop.stack, guilty.run_id, Decision("ann", WHY), plain(order(2, amount=3))).phase is Phase.QUEUED
    assert shop.integrate().merged == [guilty.run_id]
    stage(shop.stack, actor="test")
    assert promote(shop.stack, actor="test") is not None
    assert shop.run(guilty).phase is Phase.LIVE
