"""Results, reports and the verdicts of gates."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind, judge

PASS, HOLD, FAIL = VerdictKind.PASS, VerdictKind.HOLD, VerdictKind.FAIL

KINDS = {
    "passed": Result("c", "orders", Outcome.PASSED, "passed"),
    "warned": Result("c", "orders", Outcome.WARNED, "warned"),
    "failed": Result("c", "orders", Outcome.FAILED, "failed"),
    "waits": Result("c", "orders", Outcome.FAILED, "waits", holds=True),
    "skipped": Result("c", "orders", Outcome.SKIPPED, "skipped"),
    "errored": Result("c", "orders", Outcome.ERRORED, "errored"),
}


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ("", Verdict(HOLD, ("no check was run",))),
        ("passed", Verdict(PASS)),
        ("warned", Verdict(PASS, ("warned",))),
        ("failed", Verdict(FAIL, ("failed",))),
        ("waits", Verdict(HOLD, ("waits",))),
        ("skipped", Verdict(HOLD, ("no check was run",))),
        ("errored", Verdict(HOLD, ("errored",))),
        ("passed warned", Verdict(PASS, ("warned",))),
        ("passed skipped", Verdict(PASS)),
        ("warned skipped", Verdict(PASS, ("warned",))),
        ("passed failed", Verdict(FAIL, ("failed",))),
        ("passed waits", Verdict(HOLD, ("waits",))),
        ("passed errored", Verdict(HOLD, ("errored",))),
        ("skipped errored", Verdict(HOLD, ("errored",))),
        ("failed errored", Verdict(FAIL, ("failed",))),
        ("failed waits", Verdict(FAIL, ("failed",))),
        ("failed warned", Verdict(FAIL, ("failed",))),
        ("failed skipped", Verdict(FAIL, ("failed",))),
        ("waits warned", Verdict(HOLD, ("waits",))),
        ("passed warned failed waits skipped errored", Verdict(FAIL, ("failed",))),
    ],
)
def test_the_worst_outcome_decides_whatever_the_order(kinds: str, verdict: Verdict) -> None:
    for order in list(permutations(kinds.split()))[:24]:
        assert judge(tuple(KINDS[kind] for kind in order)) == verdict


def test_all_reasons_are_given_in_the_order_of_the_results() -> None:
    results = (KINDS["waits"], KINDS["passed"], KINDS["errored"])
    assert judge(results) == Verdict(HOLD, ("waits", "errored"))


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=8))
def test_a_verdict_that_stops_always_has_reasons(kinds: list[str]) -> None:
    verdict = judge(tuple(KINDS[kind] for kind in kinds))
    assert verdict.kind is PASS or verdict.reasons


@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8))
def test_one_more_failure_never_makes_a_verdict_better(kinds: list[str]) -> None:
    results = tuple(KINDS[kind] for kind in kinds)
    assert judge((*results, KINDS["failed"])).kind is FAIL
    assert judge((*results, KINDS["errored"])).kind in (HOLD, FAIL)


RESULT = Result(
    check="orders.amount.invalid",
    dataset="orders",
    outcome=Outcome.FAILED,
    message="orders.amount: 5 of 69 rows are not between 0 and 100000 (allowed: 0)",
    run_id="orders-dan-20210101T0010Z-101",
    column="amount",
    measured=5.0,
    threshold="0",
    failing_rows=5,
    condition="NOT (amount BETWEEN 0 AND 100000)",
    holds=False,
)
REPORT = Report(Gate.LOCAL, "c1", "m1", (RESULT, KINDS["passed"]))


def test_the_digest_of_a_report_never_changes() -> None:
    assert Report(Gate.LOCAL, "c1", "m1", ()).digest == (
        "cf107b754239e50adcecb3963c7a5b75acae2d9c04e1704451254f01385cf64b"
    )
    assert REPORT.digest == REPORT.digest == replace(REPORT).digest


@pytest.mark.parametrize(
    "changed",
    [
        replace(REPORT, gate=Gate.INTEGRATION),
        replace(REPORT, commit="c2"),
        replace(REPORT, meta_range="m2"),
        replace(REPORT, results=(RESULT,)),
        replace(REPORT, results=(KINDS["passed"], RESULT)),
        *(
            replace(REPORT, results=(replace(RESULT, **change), KINDS["passed"]))
            for change in (
                {"check": "x"},
                {"dataset": "x"},
                {"outcome": Outcome.WARNED},
                {"message": "x"},
                {"run_id": None},
                {"column": None},
                {"measured": 6.0},
                {"threshold": "1"},
                {"failing_rows": 6},
                {"condition": None},
                {"holds": True},
            )
        ),
    ],
)
def test_whatever_changes_in_a_report_changes_its_digest(changed: Report) -> None:
    assert changed.digest != REPORT.digest


def test_a_report_survives_json() -> None:
    assert Report.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT


results = st.builds(
    Result,
    check=st.text(max_size=5),
    dataset=st.text(max_size=5),
    outcome=st.sampled_from(Outcome),
    message=st.text(max_size=5),
    run_id=st.none() | st.text(max_size=5),
    column=st.none() | st.text(max_size=5),
    measured=st.none() | st.floats(allow_nan=False) | st.integers(),
    threshold=st.none() | st.text(max_size=5),
    failing_rows=st.integers(0),
    condition=st.none() | st.text(max_size=5),
    holds=st.booleans(),
)
reports = st.builds(
    Report, st.sampled_from(Gate), st.text(max_size=5), st.text(max_size=5), st.lists(results, max_size=3).map(tuple)
)


@given(reports)
def test_any_report_survives_json_with_its_digest(report: Report) -> None:
    again = Report.from_json(json.loads(json.dumps(report.to_json())))
    assert again == report
    assert again.digest == report.digest
