"""What the verbs tell a person, as it stands on the screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import pytest

from dartifact.cli.text.findings import format_findings
from dartifact.cli.text.lines import cut, format_section
from dartifact.cli.text.promotion import format_promotion
from dartifact.cli.text.rollback import format_rollback, format_rollback_preview
from dartifact.cli.text.status import format_status
from dartifact.commands.production.rollback_preview import Rollback
from dartifact.commands.production.under_way import UnderWay
from dartifact.domain.plans import LivePointer, Plan, PlanKind, Step, StepKind

STEPS = (Step(StepKind.CLAIM, "green"), Step(StepKind.SETTLE, "green"), Step(StepKind.PUBLISH_PRODUCTION, "green"))
PLAN = Plan("p1", PlanKind.PROMOTION, "d2", "green", STEPS)
ROLLBACK = Rollback(
    plan=replace(PLAN, kind=PlanKind.ROLLBACK, dartifact="d1"),
    leaves="d2",
    returns="d1",
    commit="c1",
    warm=True,
    data_of="2021-01-01",
    runs_out=("r1", "r2"),
    reverts=("r1", "r2"),
    blames=(),
    freezes=False,
    marts={"sales": {"rows_now": 12, "rows_then": 10}},
)


def make_status(**changes: Any) -> dict[str, Any]:
    """Return the document of a home in which nothing has happened, but for the changes."""
    nothing: dict[str, list[Any]] = {
        name: [] for name in ("stops", "waiting", "queue", "stopped", "gaps", "backlog", "waivers")
    }
    return {
        **nothing,
        "services": None,
        "main": {"commit": "0123456789abcdef", "tested": True},
        "staging": {"dartifact": None, "state": None, "reasons": [], "refused": None, "built_with": None},
        "production": {"live": None, "active": None, "generation": 0, "weights": {}, "frozen": None},
        "under_way": None,
        **changes,
    }


def lines(text: str) -> str:
    return dedent(text).strip("\n")


def test_a_new_home_has_a_line_for_each_part_of_the_road() -> None:
    assert format_status(make_status()) == lines("""
        services     not running: dartifact up
        main         0123456789ab  tested
        merge queue  empty
        staging      nothing yet
        production   nothing yet
    """)


def test_status_tells_what_is_paused_frozen_missing_and_stopped() -> None:
    gap = {
        "source": "orders",
        "lo": "2021-01-01T00:05:00+00:00",
        "hi": "2021-01-01T00:10:00+00:00",
        "state": "held",
        "run_id": "r1",
        "backfill": "dartifact backfill orders",
        "accept": "dartifact accept-gap r1",
    }
    status = make_status(
        stops=[{"say": "dan was paused by ann: their release"}],
        services={"pid": 7, "api_url": "http://127.0.0.1:4200/api"},
        production={
            "live": "d1",
            "active": "blue",
            "generation": 9,
            "weights": {"blue": 75, "green": 25},
            "frozen": "quarter end",
        },
        under_way={
            "kind": "promotion",
            "dartifact": "d2",
            "number": 5,
            "of": 9,
            "step": "soak green at 25 %",
            "goes_on_at": "2021-01-01T00:12:30+00:00",
        },
        gaps=[gap],
        stopped=[{"branch": "run-r1", "phase": "failed", "reasons": ["a", "b", "c"]}],
    )
    assert format_status(status) == lines("""
        PAUSED       dan was paused by ann: their release
        services     running, pid 7, http://127.0.0.1:4200/api
        main         0123456789ab  tested
        merge queue  empty
        staging      nothing yet
        production   d1  on blue, generation 9
                     named consumers: 75 % to blue, 25 % to green
                     FROZEN: quarter end; next: dartifact unfreeze --reason WHY
        promotion    d2, step 5 of 9: soak green at 25 %, continues at 00:12:30 UTC
        gaps         orders 2021-01-01T00:05–00:10 held: r1
                       dartifact backfill orders
                       or dartifact accept-gap r1
        stopped runs run-r1 (failed)
                       why: a
                       why: b
                     look: dartifact show RUN; decide: fix, recheck, approve or reject RUN
    """)


def test_a_promotion_tells_its_plan_its_place_or_its_end() -> None:
    at = datetime(2021, 1, 1, 0, 12, 30, tzinfo=UTC)
    assert format_promotion(None, LivePointer(), None, planned=False) == "nothing to promote; live is nothing"
    assert format_promotion(PLAN, LivePointer(), None, planned=False) == "d2 is live on green"
    assert format_promotion(PLAN, LivePointer(), None, planned=True) == lines("""
        promotion of d2 would:
          1. claim the idle slot green
          2. settle green
          3. publish production
    """)
    assert format_promotion(PLAN, LivePointer(), UnderWay(PLAN, 2, at), planned=True) == "\n".join(
        [
            "promotion of d2 is under way:",
            "✓ 1. claim the idle slot green",
            "→ 2. settle green",
            "  3. publish production",
            "continues at 00:12:30 UTC",
        ]
    )


def test_a_rollback_tells_what_it_would_do_and_what_it_did() -> None:
    assert format_rollback_preview(ROLLBACK) == lines("""
        would roll back d2 → d1 immediately
          its data was built at 2021-01-01
          sales: 12 rows now, 10 then
          no longer in production: r1
          no longer in production: r2
          would be reverted: r1
          would be reverted: r2
    """)
    assert format_rollback(replace(ROLLBACK, freezes=True, note="d3 was aborted"), ("r1",)) == lines("""
        rolled back d2 → d1
          its data was built at 2021-01-01
          sales: 12 rows before, 10 then
          no longer in production: r1
          no longer in production: r2
          reverted: r1
          pending revert: r2
          promotions are frozen: the blame is unknown
          next: dartifact unfreeze --reason WHY
          d3 was aborted
    """)
    assert "after publishing it to the idle slot" in format_rollback_preview(replace(ROLLBACK, warm=False))


def test_a_finding_is_ok_or_fail_with_what_to_try() -> None:
    findings = [(True, "disk", "9 GB are free", ""), (False, "lake", "does not answer", "dartifact up")]
    assert format_findings(findings) == lines("""
        ok   disk: 9 GB are free
        FAIL lake: does not answer
              try: dartifact up
    """)


@pytest.mark.parametrize(("text", "expected"), [("abc", "abc"), ("abcd", "ab…")])
def test_what_is_too_long_is_cut(text: str, expected: str) -> None:
    assert cut(text, 3) == expected


def test_a_section_without_lines_is_not_there() -> None:
    assert format_section("gaps", []) == []
