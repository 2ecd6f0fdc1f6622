"""How long a slot was watched, whatever the clock does, and what its readers' errors come to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.checks import Outcome
from dartifact.domain.marks import show_values
from dartifact.domain.traffic import LOOK_AT_MOST, Consumer, ReportedError, Soak, judge_readers

NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)
steps = st.lists(st.integers(-(10**6), 10**6), max_size=30)


def look_after(*seconds: int) -> Soak:
    """Look again after each of these seconds of our clock, which may jump."""
    soak, now = Soak(0, NOON), NOON
    for each in seconds:
        now += timedelta(seconds=each)
        soak = soak.look(now)
    return soak


def test_time_between_looks_counts() -> None:
    soak = look_after(30, 60)
    assert (soak.seconds, soak.end(120)) == (90, NOON + timedelta(seconds=120))


def test_it_ends_at_once_when_it_has_lasted_long_enough() -> None:
    assert look_after(90).end(60) == NOON + timedelta(seconds=90)


def test_a_clock_set_back_neither_prolongs_nor_restarts_it() -> None:
    soak = look_after(50, -3600)
    assert soak.seconds == 50
    assert soak.end(60) == NOON + timedelta(seconds=50 - 3600 + 10)


def test_a_clock_set_forward_by_a_day_ends_no_long_one() -> None:
    assert look_after(10, 86_400).seconds == 10 + LOOK_AT_MOST.total_seconds()


@given(steps)
def test_each_look_counts_between_nothing_and_two_minutes(seconds: list[int]) -> None:
    soak, now = Soak(0, NOON), NOON
    for each in seconds:
        now += timedelta(seconds=each)
        looked = soak.look(now)
        assert 0 <= looked.seconds - soak.seconds <= LOOK_AT_MOST.total_seconds()
        soak = looked


@given(st.lists(st.integers(0, 120), max_size=30))
def test_without_jumps_it_makes_no_difference_how_often_is_looked(seconds: list[int]) -> None:
    assert look_after(*seconds).seconds == sum(seconds)


def reader(name: str) -> Consumer:
    return Consumer(name, "green", "d2", "c2", "p", NOON)


def test_one_reported_error_is_red_and_names_the_consumer_once() -> None:
    results = judge_readers(
        (reader("dashboard"), reader("forecast")),
        [ReportedError("dashboard", "no revenue"), ReportedError("dashboard", "still none")],
    )
    assert [(each.dataset, each.outcome) for each in results] == [
        ("dashboard", Outcome.FAILED),
        ("forecast", Outcome.PASSED),
    ]
    assert show_values(results[0].message) == "consumer dashboard reported 2 errors: no revenue"


def test_an_error_of_a_consumer_that_never_asked_counts_too() -> None:
    (result,) = judge_readers((), [ReportedError("somebody", "odd")])
    assert result.outcome is Outcome.FAILED


def test_no_reader_is_no_evidence() -> None:
    assert judge_readers((), ()) == ()
