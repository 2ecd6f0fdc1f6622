"""The phases of a run: which follow which, and what its window becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dartifact.domain.errors import IllegalTransition
from dartifact.domain.runs import (
    TRANSITIONS,
    UNFINISHED,
    WINDOW_STATE,
    Phase,
    Run,
    check_transition,
    folder_owner,
    run_branch,
    run_folder,
    run_id,
)
from dartifact.domain.windows import DONE, GAPS, Window, WindowState

NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)


def reachable(start: Phase) -> set[Phase]:
    found, waiting = {start}, [start]
    while waiting:
        new = TRANSITIONS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def leading_to(phase: Phase) -> set[Phase]:
    return {old for old, new in TRANSITIONS.items() if phase in new}


def test_every_phase_has_its_row_and_its_window_state() -> None:
    assert set(TRANSITIONS) == set(WINDOW_STATE) == set(Phase)


def test_every_phase_can_be_reached_from_a_new_run() -> None:
    assert reachable(Phase.EXTRACTING) == set(Phase)


def test_rejected_and_empty_are_the_only_phases_without_a_way_out() -> None:
    assert {phase for phase, new in TRANSITIONS.items() if not new} == {Phase.REJECTED, Phase.EMPTY}


def test_no_phase_leads_to_itself() -> None:
    assert [phase for phase, new in TRANSITIONS.items() if phase in new] == []


def test_a_run_becomes_live_only_from_main() -> None:
    assert leading_to(Phase.LIVE) == {Phase.MERGED}


def test_a_run_that_was_never_committed_cannot_be_merged() -> None:
    assert leading_to(Phase.MERGED) == {Phase.QUEUED, Phase.HELD, Phase.REVERTED, Phase.LIVE}


def test_only_what_is_in_main_can_be_reverted() -> None:
    assert leading_to(Phase.REVERTED) == {Phase.MERGED, Phase.LIVE}


def test_what_is_in_main_cannot_be_rejected_before_it_is_reverted() -> None:
    assert leading_to(Phase.REJECTED) == set(Phase) - {
        Phase.MERGED,
        Phase.LIVE,
        Phase.EMPTY,
        Phase.REJECTED,
    }


@pytest.mark.parametrize("old", Phase)
@pytest.mark.parametrize("new", Phase)
def test_check_transition_refuses_exactly_what_the_table_does_not_list(old: Phase, new: Phase) -> None:
    if new in TRANSITIONS[old]:
        check_transition("r", old, new)
    else:
        with pytest.raises(IllegalTransition):
            check_transition("r", old, new)


def test_a_refused_transition_names_the_run_and_what_is_allowed() -> None:
    with pytest.raises(IllegalTransition) as caught:
        check_transition("orders-dan-20210101T0005Z-101", Phase.FAILED, Phase.MERGED)
    assert caught.value.message == (
        "run orders-dan-20210101T0005Z-101 is failed; it can become checking, queued, rejected, not merged"
    )


def test_a_refused_transition_out_of_an_end_says_nothing_is_allowed() -> None:
    with pytest.raises(IllegalTransition, match="is rejected; it can become nothing, not queued"):
        check_transition("r", Phase.REJECTED, Phase.QUEUED)


def test_windows_of_stopped_runs_are_gaps_and_windows_of_main_are_done() -> None:
    assert {phase for phase, state in WINDOW_STATE.items() if state in GAPS} == {
        Phase.FAILED,
        Phase.HELD,
        Phase.REJECTED,
        Phase.REVERTED,
    }
    assert {phase for phase, state in WINDOW_STATE.items() if state in DONE} == {Phase.MERGED, Phase.LIVE, Phase.EMPTY}


def test_unfinished_runs_are_those_before_the_queue_that_nothing_stopped() -> None:
    assert set(UNFINISHED) == {Phase.EXTRACTING, Phase.CHECKING}
    assert {WINDOW_STATE[phase] for phase in UNFINISHED} == {WindowState.OPEN}


def test_a_run_id_tells_source_ingestor_window_end_and_number() -> None:
    assert run_id("customers", "dana", datetime(2021, 1, 1, tzinfo=UTC), 101) == "customers-dana-20210101T0000Z-101"


def test_a_run_id_is_in_utc_whatever_zone_the_window_is_in() -> None:
    berlin = timezone(timedelta(hours=1))
    assert run_id("orders", "dan", datetime(2021, 1, 1, 0, 30, tzinfo=berlin), 7) == "orders-dan-20201231T2330Z-7"


def test_a_run_knows_its_branch_and_the_one_folder_it_writes() -> None:
    window = Window(1, "orders", 0, NOON, NOON + timedelta(minutes=5))
    run = Run("orders-dan-x-100", "orders", "dan", 100, window, Phase.QUEUED, NOON)
    assert run.branch == run_branch("orders-dan-x-100") == "run-orders-dan-x-100"
    assert run.folder == run_folder("orders", "orders-dan-x-100") == "raw/orders/orders-dan-x-100/"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("raw/orders/orders-dan-x-100/part-0.parquet", ("orders", "orders-dan-x-100")),
        ("raw/orders/orders-dan-x-100/deep/er.parquet", ("orders", "orders-dan-x-100")),
        ("raw/orders/part-0.parquet", None),
        ("raw/orders//part-0.parquet", None),
        ("raw//x/part-0.parquet", None),
        ("marts/orders/x/part-0.parquet", None),
        ("/raw/orders/x/part-0.parquet", None),
        ("_dartifact/head.json", None),
        ("", None),
    ],
)
def test_a_path_is_owned_only_below_a_folder_of_a_run(path: str, owner: tuple[str, str] | None) -> None:
    assert folder_owner(path) == owner
