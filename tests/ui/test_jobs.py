"""Work that pages start and do not wait for."""

from __future__ import annotations

import threading

import pytest

from dartifact.domain.errors import NotFound
from tests.support.waiting import wait_until
from ui.stack import Jobs


def test_a_piece_of_work_is_done_once_whoever_asks_and_holds_nobody_up() -> None:
    jobs, begun, may_end = Jobs(), [], threading.Event()

    def work() -> int:
        begun.append(1)
        may_end.wait(60)
        return 42

    assert jobs.ask(("a",), work) is None
    assert jobs.ask(("a",), work, patience=0.01) is None
    may_end.set()
    wait_until(lambda: jobs.ask(("a",), work) == 42)
    assert begun == [1]


def test_what_went_wrong_is_told_once_and_begun_anew_when_it_is_asked_for_again() -> None:
    jobs, begun = Jobs(), []

    def work() -> int:
        begun.append(1)
        if len(begun) == 1:
            raise NotFound("it is not there yet")
        return 42

    with pytest.raises(NotFound):
        jobs.ask(("a",), work, patience=60)
    assert jobs.ask(("a",), work, patience=60) == 42


def test_only_the_latest_answers_are_kept() -> None:
    jobs = Jobs()
    for number in range(200):
        assert jobs.ask((str(number),), lambda: 1, patience=60) == 1
    assert len(jobs.started) <= 51
