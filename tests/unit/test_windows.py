"""Which stretch of time a run claims, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.windows import (
    OutOfOrder,
    Window,
    WindowState,
    complete_up_to,
    find_gaps,
    next_window,
    take_rows,
    trust_clock,
)

START = datetime(2021, 1, 1, tzinfo=UTC)
FIVE = timedelta(minutes=5)
NONE = timedelta(0)
DAY = timedelta(days=1)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def windows(*states: WindowState) -> tuple[Window, ...]:
    return tuple(Window(n, "orders", 0, at(5 * n), at(5 * n + 5), state) for n, state in enumerate(states))


def test_the_first_window_begins_at_the_source_start_and_ends_at_its_clock() -> None:
    assert next_window(None, at(5), start=START, overlap=FIVE, max_window=DAY) == (START, at(5))


def test_the_next_window_begins_where_the_last_claim_ended() -> None:
    assert next_window(at(5), at(10), start=START, overlap=NONE, max_window=DAY) == (at(5), at(10))


def test_the_overlap_reaches_back_behind_the_last_claim() -> None:
    overlap = timedelta(seconds=30)
    assert next_window(at(5), at(10), start=START, overlap=overlap, max_window=DAY) == (at(4.5), at(10))


def test_the_overlap_does_not_reach_back_behind_the_start() -> None:
    assert next_window(at(5), at(10), start=START, overlap=DAY, max_window=DAY) == (START, at(10))


def test_the_cap_counts_from_the_last_claim_and_not_from_the_overlap() -> None:
    claim = next_window(at(5), at(1000), start=START, overlap=timedelta(minutes=2), max_window=FIVE)
    assert claim == (at(3), at(10))


def test_the_cap_holds_for_the_first_window_too() -> None:
    assert next_window(None, at(1000), start=START, overlap=NONE, max_window=FIVE) == (START, at(5))


def test_an_overlap_larger_than_the_cap_still_moves_on() -> None:
    claim = next_window(at(60), at(1000), start=START, overlap=timedelta(minutes=30), max_window=FIVE)
    assert claim == (at(30), at(65))


@pytest.mark.parametrize("now", [at(5), at(4.999), at(0), at(-1000)])
def test_a_clock_that_stands_still_or_goes_back_claims_nothing(now: datetime) -> None:
    assert next_window(at(5), now, start=START, overlap=FIVE, max_window=DAY) is None


@pytest.mark.parametrize("now", [START, at(-5)])
def test_a_clock_that_has_not_passed_the_start_claims_nothing(now: datetime) -> None:
    assert next_window(None, now, start=START, overlap=NONE, max_window=DAY) is None


def test_one_microsecond_is_enough_for_a_window() -> None:
    now = at(5) + timedelta(microseconds=1)
    assert next_window(at(5), now, start=START, overlap=NONE, max_window=DAY) == (at(5), now)


@given(
    clock=st.lists(st.integers(-50, 500), min_size=1, max_size=30),
    overlap=st.integers(0, 20),
    cap=st.integers(1, 40),
)
def test_whatever_the_clock_does_claims_leave_no_gap_and_never_go_back(
    clock: list[int], overlap: int, cap: int
) -> None:
    last, claims = None, []
    for minute in clock:
        options = {"start": START, "overlap": timedelta(minutes=overlap), "max_window": timedelta(minutes=cap)}
        claim = next_window(last, at(minute), **options)
        if claim is not None:
            assert claim[0] < claim[1] <= at(minute)
            claims.append(claim)
            last = claim[1]
    covered = START
    for lo, hi in claims:
        assert START <= lo <= covered < hi <= covered + timedelta(minutes=cap)
        covered = hi
    assert covered <= max(START, at(max(clock)))


def test_held_rejected_and_reverted_windows_are_gaps_in_claiming_order() -> None:
    mixed = windows(
        WindowState.REVERTED,
        WindowState.MERGED,
        WindowState.HELD,
        WindowState.EMPTY,
        WindowState.OPEN,
        WindowState.REJECTED,
    )
    assert [window.seq for window in find_gaps(reversed(mixed))] == [0, 2, 5]


def test_complete_is_the_end_of_the_unbroken_prefix() -> None:
    done = (WindowState.MERGED, WindowState.EMPTY)
    assert complete_up_to(windows(*done, WindowState.HELD, WindowState.MERGED)) == at(10)
    assert complete_up_to(windows(*done, WindowState.OPEN, WindowState.MERGED)) == at(10)
    assert complete_up_to(windows(*done, WindowState.MERGED)) == at(15)


def test_nothing_is_complete_while_the_first_window_is_missing() -> None:
    assert complete_up_to(()) is None
    assert complete_up_to(windows(WindowState.REVERTED, WindowState.MERGED)) is None


def test_a_closed_gap_lets_complete_jump_to_the_next_one() -> None:
    before = windows(WindowState.MERGED, WindowState.HELD, WindowState.MERGED, WindowState.REJECTED)
    after = windows(WindowState.MERGED, WindowState.MERGED, WindowState.MERGED, WindowState.REJECTED)
    assert (complete_up_to(before), complete_up_to(after)) == (at(5), at(15))


def test_complete_does_not_depend_on_the_order_the_windows_come_in() -> None:
    mixed = windows(WindowState.MERGED, WindowState.MERGED, WindowState.HELD)
    assert complete_up_to(reversed(mixed)) == at(10)


def test_a_clock_far_ahead_of_ours_is_believed_five_minutes_ahead_only() -> None:
    assert trust_clock(at(60), at(0)) == at(5)
    assert trust_clock(at(5), at(0)) == at(5)
    assert trust_clock(at(-60), at(0)) == at(-60)


# Cutting a window by its rows


def rows_at(*minutes: int) -> list[dict[str, Any]]:
    return [{"at": minute} for minute in minutes]


def take(most: int | None, *pages: list[dict[str, Any]], floor: int = 0) -> tuple[list[int], datetime | None]:
    def read(row: Mapping[str, Any]) -> datetime | None:
        return None if row["at"] is None else at(row["at"])

    rows, cut = take_rows(pages, most, at(floor), read)
    return [row["at"] for row in rows], cut


def test_a_window_without_a_cap_brings_everything_in_any_order() -> None:
    assert take(None, rows_at(3, 1), rows_at(2)) == ([3, 1, 2], None)


def test_a_window_is_cut_at_the_last_complete_stamp() -> None:
    assert take(2, rows_at(1, 2), rows_at(3, 4)) == ([1, 2], at(2))
    assert take(2, rows_at(1, 2, 2, 2), rows_at(3)) == ([1, 2, 2, 2], at(2))


def test_rows_that_just_fill_the_cap_are_not_cut() -> None:
    assert take(3, rows_at(1, 2, 3)) == ([1, 2, 3], None)
    assert take(1, rows_at(5, 5, 5)) == ([5, 5, 5], None)


def test_rows_of_the_overlap_do_not_count_and_are_never_the_end() -> None:
    assert take(2, rows_at(1, 2, 3, 4, 5, 6), floor=3) == ([1, 2, 3, 4, 5], at(5))


def test_rows_out_of_order_cannot_be_capped() -> None:
    with pytest.raises(OutOfOrder, match=r"00:01:00.* after .*00:02:00"):
        take(5, rows_at(2), rows_at(1))


def test_rows_without_a_stamp_are_all_brought_for_the_gate_to_see() -> None:
    assert take(1, [{"at": 1}, {"at": None}, {"at": 3}, {"at": 2}]) == ([1, None, 3, 2], None)


@given(
    stamps=st.lists(st.integers(0, 15), max_size=40),
    most=st.integers(1, 8),
    size=st.integers(1, 7),
    overlap=st.integers(0, 6),
)
def test_cut_windows_together_bring_each_row_and_always_get_on(
    stamps: list[int], most: int, size: int, overlap: int
) -> None:
    ordered, brought, cursor = sorted(stamps), set(), -1
    for _ in range(100):
        lo = cursor - overlap
        mine = [(number, stamp) for number, stamp in enumerate(ordered) if stamp > lo]
        rows = [{"at": stamp, "number": number} for number, stamp in mine]
        pages = [rows[start : start + size] for start in range(0, len(rows), size)]
        taken, cut = take_rows(pages, most, at(cursor), lambda row: at(row["at"]))
        brought |= {row["number"] for row in taken}
        new = [row["at"] for row in taken if row["at"] > cursor]
        assert len(new) <= most or len(set(new[most - 1 :])) == 1
        if cut is None:
            break
        assert cut > at(cursor)
        cursor = int((cut - START).total_seconds() // 60)
    assert brought == set(range(len(ordered)))


# What closes a gap


def gap(seq: int, lo: float, hi: float, **changes: Any) -> Window:
    return replace(Window(seq, "orders", 0, at(lo), at(hi), WindowState.HELD), **changes)


def repair(seq: int, lo: float, hi: float, *repairs: int, state: WindowState = WindowState.MERGED) -> Window:
    return Window(seq, "orders", 0, at(lo), at(hi), state, backfill=True, repairs=repairs)


def test_a_backfill_that_repairs_a_gap_and_covers_it_closes_it() -> None:
    broken = gap(1, 5, 10)
    assert find_gaps([broken, repair(2, 5, 10, 1)]) == ()
    assert find_gaps([broken, repair(2, 0, 20, 1, state=WindowState.EMPTY)]) == ()
    assert find_gaps([broken, repair(3, 7, 10, 1), repair(2, 5, 7, 1)]) == ()


@pytest.mark.parametrize(
    "other",
    [
        repair(2, 5, 9, 1),
        repair(2, 6, 10, 1),
        repair(2, 5, 10),
        repair(2, 5, 10, 1, state=WindowState.OPEN),
        replace(repair(2, 5, 10, 1), backfill=False),
    ],
    ids=["ends too early", "begins too late", "repairs another one", "is under way", "is no backfill"],
)
def test_what_does_not_repair_all_of_a_gap_leaves_it_open(other: Window) -> None:
    assert find_gaps([gap(1, 5, 10), other]) == (gap(1, 5, 10),)


def test_two_backfills_with_a_gap_between_them_close_nothing() -> None:
    assert find_gaps([gap(1, 5, 10), repair(2, 5, 7, 1), repair(3, 8, 10, 1)]) == (gap(1, 5, 10),)


def test_an_unfinished_backfill_keeps_the_gap_open_whatever_others_have_left_to_it() -> None:
    under_way = repair(2, 5, 10, 1, state=WindowState.OPEN)
    left_out = repair(3, 5, 10, 1, state=WindowState.EMPTY)
    assert find_gaps([gap(1, 5, 10), under_way, left_out]) == (gap(1, 5, 10),)


def test_a_backfill_that_is_taken_out_again_is_a_gap_and_opens_what_it_closed() -> None:
    taken_out = repair(2, 5, 10, 1, state=WindowState.REVERTED)
    assert find_gaps([gap(1, 5, 10), taken_out]) == (gap(1, 5, 10), taken_out)


def test_an_accepted_gap_is_no_open_gap_and_counts_as_complete() -> None:
    accepted = gap(1, 5, 10, gap_reason="the source has lost it")
    first = Window(0, "orders", 0, at(0), at(5), WindowState.MERGED)
    last = Window(2, "orders", 0, at(10), at(15), WindowState.MERGED)
    assert find_gaps([accepted]) == ()
    assert complete_up_to([first, accepted, last]) == at(15)
    assert complete_up_to([first, replace(accepted, gap_reason=None), last]) == at(5)


def test_a_closed_gap_counts_as_complete_and_a_backfill_does_not_move_the_end() -> None:
    first = Window(0, "orders", 0, at(0), at(5), WindowState.MERGED)
    last = Window(2, "orders", 0, at(10), at(15), WindowState.MERGED)
    assert complete_up_to([first, gap(1, 5, 10), last, repair(3, 5, 10, 1)]) == at(15)
    assert complete_up_to([first, repair(3, 2, 4, state=WindowState.OPEN)]) == at(5)


def test_nothing_is_complete_beyond_what_a_backfill_failed_to_bring() -> None:
    first = Window(0, "orders", 0, at(0), at(5), WindowState.MERGED)
    assert complete_up_to([first, repair(3, 2, 4, state=WindowState.HELD)]) == at(2)


def test_what_a_claim_left_of_the_source_is_its_backlog() -> None:
    window = Window(0, "orders", 0, at(0), at(5), clock=at(12))
    assert window.backlog == timedelta(minutes=7)
    assert replace(window, clock=at(5)).backlog == replace(window, clock=None).backlog == timedelta(0)
