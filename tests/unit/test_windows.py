"""Which stretch of time a run claims, and what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.domain.windows import Window, WindowState, complete_up_to, find_holes, next_window

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


def test_held_rejected_and_reverted_windows_are_holes_in_claiming_order() -> None:
    mixed = windows(
        WindowState.REVERTED,
        WindowState.MERGED,
        WindowState.HELD,
        WindowState.EMPTY,
        WindowState.OPEN,
        WindowState.REJECTED,
    )
    assert [window.seq for window in find_holes(reversed(mixed))] == [0, 2, 5]


def test_complete_is_the_end_of_the_unbroken_prefix() -> None:
    done = (WindowState.MERGED, WindowState.EMPTY)
    assert complete_up_to(windows(*done, WindowState.HELD, WindowState.MERGED)) == at(10)
    assert complete_up_to(windows(*done, WindowState.OPEN, WindowState.MERGED)) == at(10)
    assert complete_up_to(windows(*done, WindowState.MERGED)) == at(15)


def test_nothing_is_complete_while_the_first_window_is_missing() -> None:
    assert complete_up_to(()) is None
    assert complete_up_to(windows(WindowState.REVERTED, WindowState.MERGED)) is None


def test_a_closed_hole_lets_complete_jump_to_the_next_one() -> None:
    before = windows(WindowState.MERGED, WindowState.HELD, WindowState.MERGED, WindowState.REJECTED)
    after = windows(WindowState.MERGED, WindowState.MERGED, WindowState.MERGED, WindowState.REJECTED)
    assert (complete_up_to(before), complete_up_to(after)) == (at(5), at(15))


def test_complete_does_not_depend_on_the_order_the_windows_come_in() -> None:
    mixed = windows(WindowState.MERGED, WindowState.MERGED, WindowState.HELD)
    assert complete_up_to(reversed(mixed)) == at(10)
