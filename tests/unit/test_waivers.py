"""Waivers: what they cover, what they say when they do not, and what nobody may waive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dartifact.domain.checks import Outcome, Result, VerdictKind, judge
from dartifact.domain.waivers import Waiver, apply_waivers, is_waivable

NOW = datetime(2021, 1, 1, tzinfo=UTC)
FAILED = Result("orders.status.invalid", "orders", Outcome.FAILED, "2 rows are lost", run_id="a", failing_rows=2)
APPROVED = Waiver(1, "orders", "orders.status.invalid", 2, "ann", "known", NOW, run_id="a", commit="c1")
DATED = replace(APPROVED, run_id=None, commit=None, until=NOW + timedelta(days=1))


def one(result: Result, *waivers: Waiver, commit: str = "c1", now: datetime = NOW) -> Result:
    [found] = apply_waivers([result], waivers, {"a": commit}, now)
    return found


def test_an_approved_failure_is_a_warning_that_says_who_and_why() -> None:
    found = one(FAILED, APPROVED)
    assert (found.outcome, found.waiver) == (Outcome.WARNED, 1)
    assert found.message == "2 rows are lost; waived by ann: known"
    assert judge((found,)).kind is VerdictKind.PASS


def test_a_held_failure_that_is_approved_holds_no_longer() -> None:
    assert not one(replace(FAILED, holds=True), APPROVED).holds


@pytest.mark.parametrize(
    ("result", "waiver", "commit"),
    [
        (FAILED, APPROVED, "c2"),
        (replace(FAILED, run_id="b"), APPROVED, "c1"),
        (replace(FAILED, check="orders.amount.invalid"), APPROVED, "c1"),
        (FAILED, replace(APPROVED, ended_at=NOW), "c1"),
        (replace(FAILED, dataset="customers"), DATED, "c1"),
        (replace(FAILED, outcome=Outcome.ERRORED), APPROVED, "c1"),
    ],
    ids=["another commit", "another run", "another check", "withdrawn", "another dataset", "errored"],
)
def test_nothing_else_is_covered(result: Result, waiver: Waiver, commit: str) -> None:
    assert one(result, waiver, commit=commit) == result


def test_more_rows_than_were_accepted_still_fail_and_say_so() -> None:
    found = one(replace(FAILED, failing_rows=3), APPROVED)
    assert found.outcome is Outcome.FAILED
    assert found.message.endswith("; the waiver of ann covers 2 rows")


def test_fewer_rows_are_covered() -> None:
    assert one(replace(FAILED, failing_rows=1), APPROVED).outcome is Outcome.WARNED


def test_a_waiver_of_a_dataset_holds_for_every_run_until_its_date() -> None:
    other = replace(FAILED, run_id="b")
    assert one(other, DATED).outcome is Outcome.WARNED
    assert DATED.until is not None
    expired = one(other, DATED, now=DATED.until)
    assert expired.outcome is Outcome.FAILED
    assert expired.message.endswith("; the waiver of ann expired at 2021-01-02 00:00 UTC")


def test_an_expired_waiver_does_not_hide_one_that_holds() -> None:
    old = replace(DATED, until=NOW - timedelta(days=1))
    assert one(FAILED, old, DATED).outcome is Outcome.WARNED


@pytest.mark.parametrize(
    ("check", "dataset", "can_be"),
    [
        ("orders.status.invalid", "orders", True),
        ("orders.drift.volume", "orders", True),
        ("orders.schema.unexpected.note", "orders", True),
        ("orders.key.ambiguous", "orders", True),
        ("orders.key.missing", "orders", False),
        ("orders.schema.type.amount", "orders", False),
        ("orders.schema.missing.amount", "orders", False),
        ("orders.readable", "orders", False),
        ("orders.present", "orders", False),
        ("main.paths", "main", False),
    ],
)
def test_what_would_break_main_cannot_be_waived(check: str, dataset: str, can_be: bool) -> None:
    assert is_waivable(Result(check, dataset, Outcome.FAILED, "no")) is can_be
