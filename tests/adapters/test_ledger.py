"""The ledger's contract, on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.connections import read_url
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.leases import hold_lease
from dartifact.domain import errors, plans
from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind
from dartifact.domain.dartifacts import Blame, BlameKind, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, PromotionState, Slot
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Ingestor, Source
from dartifact.domain.windows import Window, WindowState

pytestmark = pytest.mark.both_databases
T = TypeVar("T")

PROJECT = Path(__file__).resolve().parents[2]
START = datetime(2021, 1, 1, tzinfo=UTC)
NOON = datetime(2021, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ORDERS = Source("orders", ("order_id",), (Ingestor("dan"), Ingestor("dave")))
CUSTOMERS = Source("customers", ("customer_id",), (Ingestor("dana"),))
ACTOR = "person:tester"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
def url(ledger_url: str) -> str:
    return ledger_url


@pytest.fixture
def open_ledger(url: str) -> Iterator[Callable[..., Ledger]]:
    opened: list[Ledger] = []

    def open_(clock: Callable[[], datetime] = lambda: NOON) -> Ledger:
        opened.append(Ledger(url, clock))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger()


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", lambda: NOON)
    yield ledger
    ledger.close()


def claim(ledger: Ledger, lo: float = 0, hi: float = 5, *, source: Source = ORDERS, ingestor: str = "dan") -> Run:
    last = ledger.last_claim(source.name, source.shard(ingestor))
    with ledger.write() as tx:
        return tx.windows.claim(source, ingestor, at(lo), at(hi), after=last, actor=ACTOR)


STEPS = {
    Phase.CHECKING: EventType.BATCH_COMMITTED,
    Phase.QUEUED: EventType.MERGE_REQUESTED,
    Phase.MERGED: EventType.RUN_MERGED,
    Phase.LIVE: EventType.RUN_MERGED,
    Phase.FAILED: EventType.RUN_FAILED,
    Phase.HELD: EventType.RUN_HELD,
    Phase.REJECTED: EventType.RUN_REJECTED,
    Phase.REVERTED: EventType.RUN_REVERTED,
    Phase.EMPTY: EventType.RUN_EMPTY,
}


def move(ledger: Ledger, run: Run, *phases: Phase) -> Run:
    for phase in phases:
        with ledger.write() as tx:
            run = tx.runs.move(run.run_id, phase, STEPS[phase], ACTOR)
    return run


def merged(ledger: Ledger, lo: float = 0, hi: float = 5, **who: Any) -> Run:
    return move(ledger, claim(ledger, lo, hi, **who), Phase.CHECKING, Phase.QUEUED, Phase.MERGED)


def open_engine(url: str) -> sa.Engine:
    return sa.create_engine(read_url(url))


def types(ledger: Ledger, **which: Any) -> list[str]:
    return [event.type for event in ledger.events(**which)]


def at_once(count: int, work: Callable[[int], T]) -> list[T | errors.DartifactError]:
    """Do the same in threads that begin together; return what each returned or which error of ours it raised."""
    barrier = threading.Barrier(count)
    results: dict[int, Any] = {}

    def begin(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except errors.DartifactError as error:
            results[number] = error

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count, "a thread ended with an error that is not ours"
    return [results[number] for number in range(count)]


def start_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )


# One transaction


def test_an_exception_in_the_block_leaves_neither_state_nor_event(ledger: Ledger) -> None:
    run = claim(ledger)
    with pytest.raises(RuntimeError), ledger.write() as tx:  # noqa: PT012  (the block is what is tested)
        tx.runs.move(run.run_id, Phase.CHECKING, "BatchCommitted", ACTOR)
        tx.intents.open("op", "advance", {})
        tx.production.swap_pointer(LivePointer(), plans.freeze(LivePointer(), "why"), "PromotionsFrozen", ACTOR)
        assert tx.runs.get(run.run_id).phase is Phase.CHECKING
        raise RuntimeError
    assert ledger.run(run.run_id) == run
    assert types(ledger) == ["WindowClaimed"]
    assert ledger.open_intents() == ()
    assert ledger.pointer() == LivePointer()


def test_a_claim_that_is_taken_back_leaves_its_window_to_the_next(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.write() as tx:  # noqa: PT012  (the block is what is tested)
        tx.windows.claim(ORDERS, "dan", at(0), at(5), after=None, actor=ACTOR)
        raise RuntimeError
    assert claim(ledger).number == 100


def test_a_process_killed_inside_a_transaction_leaves_the_old_state(ledger: Ledger, url: str) -> None:
    run = move(ledger, claim(ledger), Phase.CHECKING)
    code = """
import sys
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.runs import Phase
with Ledger(sys.argv[1]).write() as tx:
    tx.runs.move(sys.argv[2], Phase.QUEUED, "MergeRequested", "person:killed")
    print(tx.runs.get(sys.argv[2]).phase, flush=True)
    sys.stdin.read()
"""
    with start_python(code, url, run.run_id) as process:
        assert process.stdout
        assert process.stdout.readline() == "queued\n"
        process.kill()
    assert ledger.run(run.run_id) == run
    assert types(ledger) == ["WindowClaimed", "BatchCommitted"]
    assert move(ledger, run, Phase.FAILED).phase is Phase.FAILED  # and nobody waits for the dead one's lock


def test_reading_and_opening_do_not_wait_for_a_long_write(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    run = claim(ledger)
    with ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.CHECKING, "BatchCommitted", ACTOR)
        other = open_ledger()  # a new process does this first; waiting, it would give up with an error
        assert other.run(run.run_id).phase is Phase.EXTRACTING
        assert other.pointer() == ledger.pointer() == LivePointer()
    assert other.run(run.run_id).phase is Phase.CHECKING


# Claims


def test_a_claim_is_a_run_a_window_and_an_event(ledger: Ledger) -> None:
    run = claim(ledger)
    assert run == Run(
        "orders-dan-20210101T0005Z-100", "orders", "dan", 100, Window(1, "orders", 0, at(0), at(5), WindowState.OPEN),
        Phase.EXTRACTING, NOON,
    )  # fmt: skip
    assert ledger.run(run.run_id) == run
    (event,) = ledger.events()
    assert (event.type, event.actor, event.run_id, event.at) == ("WindowClaimed", ACTOR, run.run_id, NOON)
    assert event.payload == {"seq": 1, "lo": at(0).isoformat(), "hi": at(5).isoformat()}


def test_events_say_from_where_and_their_types_and_actors_are_listed(ledger: Ledger) -> None:
    claim(ledger)
    with ledger.used_from("browser on desk").write() as tx:
        tx.append("PromotionsFrozen", "person:ann", reason="holidays")
    with ledger.write() as tx:
        tx.append("PromotionsUnfrozen", "person:ann", reason="over")
    assert [each.place for each in ledger.events()] == ["", "browser on desk", ""]
    assert ledger.event_names("type") == ["PromotionsFrozen", "PromotionsUnfrozen", "WindowClaimed"]
    assert ledger.event_names("actor") == sorted(["person:ann", ACTOR])


def test_numbers_count_per_ingestor_and_claims_over_all_sources(ledger: Ledger) -> None:
    runs = [claim(ledger), claim(ledger, ingestor="dave"), claim(ledger, 5, 10),
            claim(ledger, source=CUSTOMERS, ingestor="dana")]  # fmt: skip
    assert [(run.ingestor, run.number) for run in runs] == [("dan", 100), ("dave", 100), ("dan", 101), ("dana", 100)]
    assert [run.window.seq for run in runs] == [1, 2, 3, 4]
    assert [run.window.shard for run in runs] == [0, 1, 0, 0]


def test_a_claim_on_an_outdated_look_is_a_conflict(ledger: Ledger) -> None:
    claim(ledger)
    with pytest.raises(errors.Conflict), ledger.write() as tx:
        tx.windows.claim(ORDERS, "dan", at(0), at(6), after=None, actor=ACTOR)
    assert types(ledger) == ["WindowClaimed"]


def test_of_eight_who_claim_the_same_window_exactly_one_wins(open_ledger: Callable[..., Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(8)]

    def race(number: int) -> Run:
        with ledgers[number].write() as tx:
            # Different ends: no unique index could make this decision.
            return tx.windows.claim(ORDERS, "dan", at(0), at(5 + number), after=None, actor=f"person:{number}")

    results = at_once(8, race)
    (winner,) = [each for each in results if isinstance(each, Run)]
    assert [type(each) for each in results if not isinstance(each, Run)] == [errors.Conflict] * 7
    assert ledgers[0].windows("orders", 0) == (winner.window,)
    assert types(ledgers[0]) == ["WindowClaimed"]


# Moves of runs


def test_a_run_and_its_window_move_together(ledger: Ledger) -> None:
    run = move(ledger, claim(ledger), Phase.CHECKING)
    with ledger.write() as tx:
        changes = {"commit_id": "c1", "rows": 7, "reasons": ["why"], "held_until": at(60)}
        failed = tx.runs.move(run.run_id, Phase.FAILED, "RunFailed", ACTOR, expect=Phase.CHECKING, gate=Gate.LOCAL,
                             operation="op", changes=changes, branch=run.branch)  # fmt: skip
    assert failed == ledger.run(run.run_id)
    assert (failed.phase, failed.window.state, failed.gate) == (Phase.FAILED, WindowState.HELD, Gate.LOCAL)
    assert (failed.commit, failed.rows, failed.reasons, failed.held_until) == ("c1", 7, ("why",), at(60))
    event = ledger.events(type="RunFailed")[0]
    assert event.operation == "op"
    assert event.payload == {"from": "checking", "gate": "local", "branch": run.branch}


def test_a_move_on_an_outdated_look_is_a_conflict_and_writes_nothing(ledger: Ledger) -> None:
    run = move(ledger, claim(ledger), Phase.CHECKING)
    with pytest.raises(errors.Conflict, match="is now checking, not extracting"), ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.QUEUED, "MergeRequested", ACTOR, expect=Phase.EXTRACTING)
    assert ledger.run(run.run_id) == run
    assert types(ledger) == ["WindowClaimed", "BatchCommitted"]


def test_an_illegal_transition_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    run = claim(ledger)
    told = "extracting; it can become checking, empty, held, rejected, not merged"
    with pytest.raises(errors.IllegalTransition, match=told):
        move(ledger, run, Phase.MERGED)
    assert ledger.run(run.run_id) == run
    assert types(ledger) == ["WindowClaimed"]


def test_a_fact_of_the_lake_is_adopted_against_the_table(ledger: Ledger) -> None:
    run = claim(ledger)
    with ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.MERGED, "RunMerged", ACTOR, adopt=True, by_hand=True)
    assert (ledger.run(run.run_id).phase, ledger.run(run.run_id).window.state) == (Phase.MERGED, WindowState.MERGED)
    assert ledger.events(type="RunMerged")[0].payload == {"from": "extracting", "by_hand": True}


def test_of_eight_who_move_the_same_run_exactly_one_wins(open_ledger: Callable[..., Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(8)]
    run = move(ledgers[0], claim(ledgers[0]), Phase.CHECKING)

    def race(number: int) -> Run:
        with ledgers[number].write() as tx:
            return tx.runs.move(run.run_id, Phase.QUEUED, "MergeRequested", ACTOR, expect=Phase.CHECKING)

    results = at_once(8, race)
    assert sum(isinstance(each, Run) for each in results) == 1
    assert sum(type(each) is errors.Conflict for each in results) == 7
    assert types(ledgers[0], type="MergeRequested") == ["MergeRequested"]


def test_a_run_that_is_being_merged_is_left_alone_until_that_is_over(ledger: Ledger) -> None:
    run = move(ledger, claim(ledger), Phase.CHECKING, Phase.QUEUED)
    other = move(ledger, claim(ledger, ingestor="dave"), Phase.CHECKING, Phase.QUEUED)
    with ledger.write() as tx:
        tx.intents.open("op", "advance", {"lands": {run.run_id: "c1"}})
    with pytest.raises(errors.Locked, match=f"run {run.run_id} is being merged right now"):
        move(ledger, run, Phase.REJECTED)
    assert ledger.run(run.run_id) == run
    assert move(ledger, other, Phase.REJECTED).phase is Phase.REJECTED
    with ledger.write() as tx:
        tx.intents.close("op", "lost")
    assert move(ledger, run, Phase.REJECTED).phase is Phase.REJECTED


def test_an_unknown_run_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(errors.NotFound, match="there is no run x"):
        ledger.run("x")
    with pytest.raises(errors.NotFound, match="there is no run x"), ledger.write() as tx:
        tx.runs.move("x", Phase.CHECKING, "BatchCommitted", ACTOR)


def test_attempts_are_counted_with_their_reason(ledger: Ledger) -> None:
    run = claim(ledger)
    for expected in (1, 2):
        with ledger.write() as tx:
            assert tx.runs.note_attempt(run.run_id, ACTOR, f"reason {expected}") == expected
    assert (ledger.run(run.run_id).attempts, ledger.run(run.run_id).reasons) == (2, ("reason 2",))
    assert types(ledger, type="RunErrored") == ["RunErrored"] * 2


def test_a_revert_waits_in_the_queue_until_it_is_done(ledger: Ledger) -> None:
    run = merged(ledger)
    with ledger.write() as tx:
        tx.runs.request_revert(run.run_id, "x" * 600, ACTOR)
    assert [(each.run_id, each.revert_reason) for each in ledger.pending_reverts()] == [(run.run_id, "x" * 499 + "…")]
    with ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.REVERTED, "RunReverted", ACTOR, changes={"revert_reason": None})
    assert ledger.pending_reverts() == ()


def test_only_what_is_in_main_can_be_asked_to_leave_it(ledger: Ledger) -> None:
    run = claim(ledger)
    with pytest.raises(errors.IllegalTransition), ledger.write() as tx:
        tx.runs.request_revert(run.run_id, "why", ACTOR)
    assert ledger.pending_reverts() == ()


def test_runs_become_live_and_merged_again_with_what_production_shows(ledger: Ledger) -> None:
    one, two, three = merged(ledger), merged(ledger, 5, 10), claim(ledger, 10, 15)
    phases = lambda: [ledger.run(each.run_id).phase for each in (one, two, three)]  # noqa: E731
    with ledger.write() as tx:
        tx.runs.mark_served([one.run_id, two.run_id, three.run_id], [])
    assert phases() == [Phase.LIVE, Phase.LIVE, Phase.EXTRACTING]
    with ledger.write() as tx:
        tx.runs.mark_served([one.run_id], [one.run_id, two.run_id])
    assert phases() == [Phase.LIVE, Phase.MERGED, Phase.EXTRACTING]


# Lists


def test_runs_are_listed_newest_first_and_filtered(ledger: Ledger) -> None:
    one = claim(ledger)
    two = claim(ledger, ingestor="dave")
    three = move(ledger, claim(ledger, source=CUSTOMERS, ingestor="dana"), Phase.CHECKING)
    assert ledger.runs() == (three, two, one)
    assert ledger.runs(most=2) == (three, two)
    assert ledger.runs(source="orders") == (two, one)
    assert ledger.runs(ingestor="dan") == (one,)
    assert ledger.runs(phases=(Phase.CHECKING, Phase.QUEUED)) == (three,)
    assert ledger.runs(phases=()) == ()
    assert ledger.runs(names=[one.run_id, three.run_id, "x"], phases=(Phase.EXTRACTING,)) == (one,)
    assert ledger.runs(names=[]) == ()
    assert ledger.count_runs() == {Phase.EXTRACTING: 2, Phase.CHECKING: 1}


def test_gaps_name_the_run_that_left_them_in_claiming_order(ledger: Ledger) -> None:
    held = move(ledger, claim(ledger), Phase.HELD)
    merged(ledger, 5, 10)
    failed = move(ledger, claim(ledger, ingestor="dave"), Phase.CHECKING, Phase.FAILED)
    reverted = move(ledger, merged(ledger, 10, 15), Phase.REVERTED)
    rejected = move(ledger, claim(ledger, 15, 20), Phase.CHECKING, Phase.FAILED, Phase.REJECTED)
    assert [(window.seq, window.state.value, run_id) for window, run_id in ledger.gaps()] == [
        (1, "held", held.run_id),
        (3, "held", failed.run_id),
        (4, "reverted", reverted.run_id),
        (5, "rejected", rejected.run_id),
    ]


def test_windows_are_those_of_one_shard(ledger: Ledger) -> None:
    one, _, three = claim(ledger), claim(ledger, ingestor="dave"), claim(ledger, 5, 10)
    assert ledger.windows("orders", 0) == (one.window, three.window)
    assert ledger.windows("customers", 0) == ()


def test_the_last_claim_is_of_one_shard_whatever_became_of_it(ledger: Ledger) -> None:
    assert ledger.last_claim("orders", 0) is None
    move(ledger, claim(ledger), Phase.HELD)
    claim(ledger, 5, 7, ingestor="dave")
    assert (ledger.last_claim("orders", 0), ledger.last_claim("orders", 1)) == (at(5), at(7))
    claim(ledger, 4, 10)
    assert ledger.last_claim("orders", 0) == at(10)
    assert ledger.last_claim("customers", 0) is None


def test_events_are_the_newest_ones_in_the_order_they_happened(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for number in range(5):
            name = ("RunFailed", "RunMerged")[number % 2]
            tx.append(name, ACTOR, run=f"r{number % 3}", dartifact=f"d{number}", value=number)
    assert [event.payload["value"] for event in ledger.events()] == [0, 1, 2, 3, 4]
    assert [event.payload["value"] for event in ledger.events(most=2)] == [3, 4]
    assert [event.payload["value"] for event in ledger.events(run_id="r1")] == [1, 4]
    assert [event.payload["value"] for event in ledger.events(dartifact_id="d2")] == [2]
    assert [event.payload["value"] for event in ledger.events(type="RunMerged", most=1)] == [3]


def test_a_cursor_sees_each_event_that_comes_after_it_once(ledger: Ledger) -> None:
    def append(*names: str) -> None:
        with ledger.write() as tx:
            for name in names:
                tx.append(name, ACTOR)

    append("RunFailed")
    with ledger.write() as tx:
        tx.cursors.start("mail")
        tx.cursors.start("mail")
    start = ledger.cursors(["mail", "unknown"])["mail"]
    append("RunHeld", "RunMerged", "RunHeld")
    found = ledger.events_after(start, ("RunFailed", "RunHeld"), 10)
    assert [event.sequence - start for event in found] == [1, 3]
    assert ledger.events_after(start, ("RunFailed", "RunHeld"), 1) == found[:1]
    with ledger.write() as tx:
        tx.cursors.advance("mail", found[1].sequence)
        tx.cursors.advance("mail", found[0].sequence)  # never back
    assert ledger.cursors(["mail"]) == {"mail": found[1].sequence}
    assert ledger.events_after(found[1].sequence, ("RunFailed", "RunHeld"), 10) == ()


def test_the_database_refuses_to_write_down_a_fact_of_an_operation_twice(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.append("RunMerged", ACTOR, run="r1", operation="op")
        tx.append("RunMerged", ACTOR, run="r2", operation="op")
    with pytest.raises(errors.LedgerRefused), ledger.write() as tx:
        tx.append("RunMerged", ACTOR, run="r1", operation="op")


# Reports


def test_a_report_is_kept_once_under_its_digest(ledger: Ledger) -> None:
    report = Report(Gate.LOCAL, "c1", "m1", (Result("c", "orders", Outcome.FAILED, "m", measured=5, failing_rows=5),))
    for _ in range(2):
        with ledger.write() as tx:
            assert tx.reports.save(report, Verdict(VerdictKind.FAIL, ("m",))) == report.digest
    assert ledger.report(report.digest) == report
    assert ledger.report("x") is None


@pytest.mark.parametrize(
    ("gate", "verdict", "is_green"),
    [
        (Gate.INTEGRATION, VerdictKind.PASS, True),
        (Gate.INTEGRATION, VerdictKind.FAIL, False),
        (Gate.INTEGRATION, VerdictKind.HOLD, False),
        (Gate.LOCAL, VerdictKind.PASS, False),
    ],
)
def test_main_is_tested_only_by_a_green_integration_report_of_its_exact_content(
    ledger: Ledger, gate: Gate, verdict: VerdictKind, is_green: bool
) -> None:
    with ledger.write() as tx:
        tx.reports.save(Report(gate, "c1", "m1", ()), Verdict(verdict))
    assert ledger.has_green_report("m1") is is_green
    assert not ledger.has_green_report("m2")


# Intents


def test_an_intent_is_open_until_it_is_closed_and_closed_once(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.intents.open("op", "advance", {"head": "h"})
    (intent,) = ledger.open_intents()
    assert (intent.operation, intent.kind, intent.at, intent.payload) == ("op", "advance", NOON, {"head": "h"})
    with ledger.write() as tx:
        assert tx.intents.close("op", "done") is True
        assert tx.intents.close("op", "lost") is False
        assert tx.intents.close("unknown", "done") is False
    assert ledger.open_intents() == ()


def test_of_eight_who_close_an_intent_exactly_one_adopts_its_facts(open_ledger: Callable[..., Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(8)]
    with ledgers[0].write() as tx:
        tx.intents.open("op", "advance", {})

    def race(number: int) -> bool:
        with ledgers[number].write() as tx:
            return tx.intents.close("op", "done")

    assert sorted(at_once(8, race)) == [False] * 7 + [True]


# Dartifacts and production


def test_a_dartifact_is_built_green_and_listed_newest_first(ledger: Ledger) -> None:
    for name in ("d1", "d2"):
        with ledger.write() as tx:
            tx.dartifacts.add(name, code_digest="code", main_commit="m", runs=["b", "a"], actor=ACTOR)
    with ledger.write() as tx:
        changes = {"commit_id": "c1", "meta_range": "mr", "passport": {"marts": {}}, "reasons": []}
        tx.dartifacts.move("d1", DartifactState.GREEN, "DartifactGreen", ACTOR, changes=changes)
    one = ledger.dartifact("d1")
    assert (one.state, one.commit, one.meta_range, one.passport) == (DartifactState.GREEN, "c1", "mr", {"marts": {}})
    assert (one.runs, one.created, one.created_at) == (("a", "b"), 1, NOON)
    assert [each.dartifact_id for each in ledger.dartifacts()] == ["d2", "d1"]
    assert [each.dartifact_id for each in ledger.dartifacts(most=1)] == ["d2"]
    assert [each.dartifact_id for each in ledger.dartifacts(states=(DartifactState.GREEN,))] == ["d1"]
    assert types(ledger, dartifact_id="d1") == ["DartifactStarted", "DartifactGreen"]


def test_of_two_that_start_a_dartifact_the_second_is_told_and_nothing_changes(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.dartifacts.add("d0", code_digest="code", main_commit="first", runs=["a"], actor=ACTOR)
    with pytest.raises(errors.Conflict, match="d0"), ledger.write() as tx:
        tx.dartifacts.add("d0", code_digest="code", main_commit="second", runs=["a"], actor=ACTOR)
    assert [each.main_commit for each in ledger.dartifacts()] == ["first"]
    assert len(ledger.events(type="DartifactStarted")) == 1


def test_a_dartifact_does_not_skip_its_way(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.dartifacts.add("d1", code_digest="code", main_commit="m", runs=[], actor=ACTOR)
    refused = pytest.raises(errors.IllegalTransition, match="d1 is building; it can become green, red, not live")
    with refused, ledger.write() as tx:
        tx.dartifacts.move("d1", DartifactState.LIVE, "DartifactLive", ACTOR)
    with pytest.raises(errors.NotFound, match="there is no dartifact d9"), ledger.write() as tx:
        tx.dartifacts.move("d9", DartifactState.GREEN, "DartifactGreen", ACTOR)
    assert types(ledger) == ["DartifactStarted"]


def test_a_new_ledger_has_nothing_live(ledger: Ledger) -> None:
    assert ledger.pointer() == LivePointer()


def test_the_pointer_is_swapped_only_from_the_generation_that_was_read(ledger: Ledger) -> None:
    old = ledger.pointer()
    new = plans.claim(old, "blue", "d1", "p1")
    with ledger.write() as tx:
        assert tx.production.swap_pointer(old, new, "SlotClaimed", ACTOR, slot="blue") == new
    assert ledger.pointer() == new
    assert ledger.pointer().slots == {"blue": Slot("d1"), "green": Slot()}
    assert ledger.events()[0].payload == {"generation": 1, "pointer": new.to_json(), "slot": "blue"}
    with pytest.raises(errors.StalePointer, match="moved past generation 0"), ledger.write() as tx:
        tx.production.swap_pointer(old, plans.freeze(old, "why"), "PromotionsFrozen", ACTOR)
    assert ledger.pointer() == new
    assert types(ledger) == ["SlotClaimed"]


def test_of_eight_swappers_exactly_one_wins_each_generation(open_ledger: Callable[..., Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(8)]

    def race(number: int) -> list[int]:
        won: list[int] = []
        while len(won) < 5:
            old = ledgers[number].pointer()
            try:
                with ledgers[number].write() as tx:
                    new = tx.production.swap_pointer(old, plans.freeze(old, str(number)), "PromotionsFrozen", ACTOR)
            except errors.StalePointer:
                continue
            won.append(new.generation)
        return won

    won = at_once(8, race)
    assert sorted(generation for each in won for generation in each) == list(range(1, 41))  # type: ignore[union-attr]
    assert ledgers[0].pointer().generation == 40
    assert [event.payload["generation"] for event in ledgers[0].events(type="PromotionsFrozen")] == list(range(1, 41))


def test_a_promotion_is_written_down_with_its_steps(ledger: Ledger) -> None:
    plan = plans.plan_promotion(LivePointer(), "d1", plan_id="p1")
    with ledger.write() as tx:
        tx.production.start_promotion(plan)
        tx.production.move_promotion("p1", done=2)
    (running,) = ledger.promotions(state=PromotionState.RUNNING)
    assert (running.plan, running.done, running.started_at, running.ended_at) == (plan, 2, NOON, None)
    with ledger.write() as tx:
        assert tx.production.move_promotion("p1", done=6, state=PromotionState.DONE) is True
        assert tx.production.move_promotion("p1", state=PromotionState.ABORTED) is False  # it has ended
    assert ledger.promotions(state=PromotionState.RUNNING) == ()
    assert [(each.done, each.state, each.ended_at) for each in ledger.promotions()] == [(6, "done", NOON)]


def test_a_blame_is_kept_once_and_can_be_dropped(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for _ in range(2):
            tx.dartifacts.add_blame(Blame(BlameKind.RUN, "r1"))
        tx.dartifacts.add_blame(Blame(BlameKind.CODE, "r1"))
    assert sorted(blame.kind for blame in ledger.blames()) == ["code", "run"]
    with ledger.write() as tx:
        assert [tx.dartifacts.drop_blame(Blame(BlameKind.RUN, "r1")) for _ in range(2)] == [True, False]
    assert ledger.blames() == (Blame(BlameKind.CODE, "r1"),)


# Times


def test_times_come_back_as_utc_with_microseconds(open_ledger: Callable[..., Ledger]) -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    ledger = open_ledger(lambda: datetime(2021, 3, 28, 2, 30, 0, 654_321, tzinfo=kolkata))
    lo, hi = datetime(2021, 1, 1, 0, 0, 0, 1, tzinfo=kolkata), datetime(2021, 1, 1, 0, 0, 0, 999_999, tzinfo=kolkata)
    with ledger.write() as tx:
        name = tx.windows.claim(ORDERS, "dan", lo, hi, after=None, actor=ACTOR).run_id
    run, event = ledger.run(name), ledger.events()[0]
    expected = datetime(2021, 3, 27, 21, 0, 0, 654_321, tzinfo=UTC)
    assert (run.created_at, event.at) == (expected, expected)
    assert (run.window.lo, run.window.hi) == (lo, hi)
    assert {time.utcoffset() for time in (run.created_at, event.at, run.window.lo, run.window.hi)} == {timedelta(0)}
    with ledger.write() as tx:  # what was read is the cursor of the next claim
        tx.windows.claim(ORDERS, "dan", hi, at(0), after=run.window.hi, actor=ACTOR)


def test_a_naive_time_is_refused(ledger: Ledger) -> None:
    refused = pytest.raises(sa.exc.StatementError, match="a naive time cannot be stored: 2021-01-01 00:00:00")
    with refused, ledger.write() as tx:
        tx.windows.claim(ORDERS, "dan", datetime(2021, 1, 1), at(5), after=None, actor=ACTOR)  # noqa: DTZ001
    assert ledger.runs() == ()


# Leases


def take(ledger: Ledger, holder: str, seconds: float = 60) -> str | None:
    with ledger.write() as tx:
        return tx.leases.take("promote", holder, seconds)


def test_a_lease_has_one_holder_who_may_renew_it(ledger: Ledger) -> None:
    assert take(ledger, "one") is None
    assert take(ledger, "two") == "one"
    assert take(ledger, "one") is None
    with ledger.write() as tx:
        assert tx.leases.take("stage", "two", 60) is None


def test_only_the_holder_gives_a_lease_back(ledger: Ledger) -> None:
    take(ledger, "one")
    with ledger.write() as tx:
        tx.leases.drop("promote", "two")
    assert take(ledger, "two") == "one"
    with ledger.write() as tx:
        tx.leases.drop("promote", "one")
    assert take(ledger, "two") is None


def test_a_lease_ends_by_the_clock_of_the_database(open_ledger: Callable[..., Ledger]) -> None:
    # The clocks of these two would say that it never ends, and that it ended long ago.
    past, future = open_ledger(lambda: at(-1e6)), open_ledger(lambda: at(1e7))
    assert take(past, "one", 60) is None
    assert take(future, "two") == "one"
    assert take(past, "one", 0.05) is None
    time.sleep(0.1)
    assert take(past, "two") is None


def test_of_eight_who_want_a_lease_exactly_one_gets_it(open_ledger: Callable[..., Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(8)]
    results = at_once(8, lambda number: take(ledgers[number], f"holder {number}"))
    assert results.count(None) == 1
    winner = f"holder {results.index(None)}"
    assert {each for each in results if each is not None} == {winner}


def test_a_held_lease_names_its_process(ledger: Ledger) -> None:
    with hold_lease(ledger, "promote"):
        (holder,) = at_once(1, lambda _: take(ledger, "other"))
        assert str(holder).startswith(f"{socket.gethostname()}/{os.getpid()}/")

        def second(_: int) -> None:
            with hold_lease(ledger, "promote"):
                raise AssertionError("two have it")

        (locked,) = at_once(1, second)
        assert isinstance(locked, errors.Locked)
        assert locked.message == f"promote is being done by process {os.getpid()} on {socket.gethostname()}"
    assert take(ledger, "other") is None


def test_a_lease_is_kept_while_the_block_runs(ledger: Ledger) -> None:
    with hold_lease(ledger, "promote", seconds=0.3):
        time.sleep(0.7)
        assert take(ledger, "other") is not None


def test_the_lease_of_a_dead_process_is_taken_over_at_once(ledger: Ledger) -> None:
    with start_python("import sys; sys.stdin.read()") as dead:
        dead.kill()
    take(ledger, f"{socket.gethostname()}/{dead.pid}/1/1", 3600)
    with hold_lease(ledger, "promote"):
        pass


def test_the_lease_of_a_process_on_another_machine_is_waited_for(ledger: Ledger) -> None:
    take(ledger, f"elsewhere.{socket.gethostname()}/1/1/1", 3600)
    with pytest.raises(errors.Locked, match="by process 1 on elsewhere"), hold_lease(ledger, "promote"):
        pass


# Many writers


def test_twenty_processes_that_write_at_once_all_finish(ledger: Ledger, url: str) -> None:
    code = """
import os, sys, time
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain import errors, plans
begin = time.monotonic() + 0.3
children = []
for number in range(20):
    pid = os.fork()
    if pid == 0:
        time.sleep(max(0, begin - time.monotonic()))
        ledger = Ledger(sys.argv[1])
        for _ in range(5):
            with ledger.write() as tx:
                tx.append("LeftoverNoted", f"person:{number}")
        os._exit(0)
    children.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""
    with start_python(code, url) as process:
        output, _ = process.communicate()
    assert output == f"{[0] * 20}\n"
    events = ledger.events(type="LeftoverNoted")
    assert len(events) == 100
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})


def test_twenty_processes_that_create_the_same_ledger_make_one(url: str, open_ledger: Callable[..., Ledger]) -> None:
    code = """
import os, sys, time
from dartifact.adapters.ledger.ledger import Ledger
begin = time.monotonic() + 0.3
children = []
for number in range(20):
    pid = os.fork()
    if pid == 0:
        time.sleep(max(0, begin - time.monotonic()))
        Ledger(sys.argv[1])
        os._exit(0)
    children.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""
    with start_python(code, url) as process:
        output, _ = process.communicate()
    assert output == f"{[0] * 20}\n"
    assert open_ledger().pointer() == LivePointer()


# The chain of events


def append_some(ledger: Ledger) -> None:
    """Append events with all that a payload can hold."""
    with ledger.write() as tx:
        tx.append("PromotionsFrozen", ACTOR, reason="größer als \u2068'x'\u2069")
        tx.append("RunFailed", ACTOR, run="orders-dan-1", reasons=("a", "b"), rows=3, share=0.1, gate=Gate.LOCAL)
    with ledger.used_from("a test").write() as tx:
        tx.append("PromotionsUnfrozen", ACTOR, reason=None)


@pytest.mark.parametrize("deed", ["UPDATE events SET actor = 'eve' WHERE sequence = 2", "DELETE FROM events"])
def test_the_database_refuses_to_change_an_event(ledger: Ledger, url: str, deed: str) -> None:
    append_some(ledger)
    engine = open_engine(url)
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql(deed)
    engine.dispose()
    assert ledger.find_broken_event() is None
    assert len(ledger.events()) == 3


@pytest.mark.parametrize(
    ("deed", "broken"),
    [
        ("UPDATE events SET actor = 'eve' WHERE sequence = 2", 2),
        ("UPDATE events SET payload = '{}' WHERE sequence = 1", 1),
        ("UPDATE events SET at = '2020-01-01 00:00:00.000000' WHERE sequence = 3", 3),
        ("DELETE FROM events WHERE sequence = 1", 2),
        ("DELETE FROM events WHERE sequence = 3", None),  # who cuts off the end leaves a chain that fits
    ],
)
def test_a_change_behind_the_back_of_the_database_is_found(
    ledger: Ledger, url: str, deed: str, broken: int | None
) -> None:
    append_some(ledger)
    engine = open_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            for name in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER events_no_{name}")
        else:
            connection.exec_driver_sql("DROP TRIGGER events_no_change ON events")
        connection.exec_driver_sql(deed)
    engine.dispose()
    assert ledger.find_broken_event() == broken


def test_events_of_an_older_ledger_are_sealed_when_it_is_migrated(
    ledger: Ledger, url: str, open_ledger: Callable[..., Ledger]
) -> None:
    append_some(ledger)
    engine = open_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            for name in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER events_no_{name}")
        else:
            connection.exec_driver_sql("DROP TRIGGER events_no_change ON events")
        connection.exec_driver_sql("ALTER TABLE events DROP COLUMN seal")
        connection.exec_driver_sql("DROP TABLE identity")
        connection.exec_driver_sql("UPDATE schema_version SET version = 6")
    engine.dispose()
    again = open_ledger()
    assert again.find_broken_event() is None
    assert all(len(event.seal) == 64 for event in again.events())
    assert len(again.ledger_id) == 32


# Whose ledger it is


def test_two_ledgers_have_two_ids_and_each_keeps_its_own(
    ledger: Ledger, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    assert open_ledger().ledger_id == ledger.ledger_id
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        assert other.ledger_id != ledger.ledger_id


def test_a_ledger_that_refuses_writes_is_still_read(ledger: Ledger) -> None:
    append_some(ledger)
    ledger.refuse_writes(errors.ForeignLedger("not of this lake"))
    with pytest.raises(errors.ForeignLedger, match="not of this lake"), ledger.write():
        pass
    assert len(ledger.events()) == 3
    ledger.refuse_writes(None)
    append_some(ledger)


# What cannot be opened


def test_another_schema_version_is_refused_by_name(ledger: Ledger, url: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(errors.UsageError, match=f"schema version 99, this dartifact needs {t.VERSION}") as caught:
        Ledger(url)
    assert caught.value.hint


def test_an_older_ledger_gets_the_tables_it_lacks_and_keeps_what_it_has(
    open_ledger: Callable[..., Ledger], url: str
) -> None:
    run = claim(open_ledger())
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE cursors"))
        connection.execute(sa.text("UPDATE schema_version SET version = 1"))
    again = open_ledger()
    assert again.runs() == (run,)
    assert again.cursors(["any"]) == {}
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_version")).scalars().all() == [t.VERSION]
    engine.dispose()


def test_a_ledger_that_was_there_is_opened_and_not_created_anew(open_ledger: Callable[..., Ledger]) -> None:
    first = open_ledger()
    run = claim(first)
    frozen = plans.freeze(first.pointer(), "why")
    with first.write() as tx:
        tx.production.swap_pointer(first.pointer(), frozen, "PromotionsFrozen", ACTOR)
    again = open_ledger()
    assert again.pointer() == frozen
    assert again.runs() == (run,)


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}").close()
    assert (tmp_path / "a" / "b" / "ledger.db").exists()


def test_a_path_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(errors.UsageError, match=r"file/ledger\.db cannot be opened"):
        Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.UsageError, match="folder cannot be opened"):
        Ledger(f"sqlite:///{tmp_path / 'folder'}")


def test_a_file_that_is_no_database_is_refused_by_name_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is not a database, " * 200)
    with pytest.raises(errors.DartifactError, match=r"ledger\.db cannot be opened: file is not a database"):
        Ledger(f"sqlite:///{path}")
    assert path.read_bytes() == b"this is not a database, " * 200


def test_a_damaged_database_is_refused_by_name(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    for number in range(50):
        claim(sqlite_ledger, 5 * number, 5 * number + 5)
    sqlite_ledger.close()
    path = tmp_path / "ledger.db"
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))
    with pytest.raises(errors.DartifactError, match=r"ledger\.db cannot be opened: .*malformed"):
        Ledger(f"sqlite:///{path}")


def test_a_ledger_that_is_damaged_while_it_is_used_names_the_file(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    claim(sqlite_ledger)
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    sqlite_ledger.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    with pytest.raises(errors.LedgerUnavailable, match=r"ledger\.db cannot be used: .*malformed") as caught:
        sqlite_ledger.runs()
    assert caught.value.hint
    assert sqlite_ledger.pointer() == LivePointer()  # what is not damaged still answers


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgres//user:secret@host/db", "the URL of the ledger cannot be read"),
        ("oracl://user:secret@host/db", "oracl"),
        ("postgresql+pg8000://user:secret@127.0.0.1:9/db", "cannot be kept in postgresql.pg8000: it is SQLite, or"),
        ("postgresql+asyncpg://user:secret@127.0.0.1:9/db", "PostgreSQL by psycopg"),
        ("sqlite+aiosqlite:///ledger.db?password=secret", "cannot be kept in sqlite.aiosqlite"),
        ("postgresql://user:secret@127.0.0.1:9/db?sslpassword=secret", r"user:\*\*\*@127.0.0.1:9/db cannot be opened"),
    ],
)
def test_a_url_that_names_no_database_is_a_usage_error_without_its_secret(url: str, what: str) -> None:
    with pytest.raises(errors.UsageError, match=what) as caught:
        Ledger(url)
    assert "secret" not in caught.value.message


def test_what_is_committed_is_flushed_to_the_disk(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


# Ledgers of older versions

_OLD_WINDOWS = """
CREATE TABLE windows (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, source VARCHAR(80) NOT NULL, shard INTEGER NOT NULL,
    lo DATETIME NOT NULL, hi DATETIME NOT NULL, state VARCHAR(12) NOT NULL, UNIQUE (source, shard, hi)
)
"""
_OLD_WINDOWS_POSTGRESQL = """
CREATE TABLE windows (
    seq BIGSERIAL NOT NULL PRIMARY KEY, source VARCHAR(80) NOT NULL, shard INTEGER NOT NULL,
    lo TIMESTAMP WITH TIME ZONE NOT NULL, hi TIMESTAMP WITH TIME ZONE NOT NULL, state VARCHAR(12) NOT NULL,
    UNIQUE (source, shard, hi)
)
"""


def write_version_2(url: str) -> None:
    """Write a ledger as schema version 2 had it: one merged run, one that failed."""
    engine = open_engine(url)
    old = sa.MetaData()
    for table in t.metadata.sorted_tables:
        if table not in (t.windows, t.stops):
            table.to_metadata(old)
    with engine.begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql(_OLD_WINDOWS if is_sqlite else _OLD_WINDOWS_POSTGRESQL)
        connection.exec_driver_sql("CREATE INDEX windows_state ON windows (state)")
        stub = sa.Table("windows", old, autoload_with=connection)
        old.create_all(connection, tables=[table for table in old.sorted_tables if table is not stub])
        for column in ("place", "seal"):
            connection.exec_driver_sql(f"ALTER TABLE events DROP COLUMN {column}")
        connection.execute(t.schema_version.insert().values(version=2))
        connection.execute(t.live_pointer.insert().values(one=1, generation=0, body=LivePointer().to_json()))
        for number, (phase, state) in enumerate((("merged", "merged"), ("failed", "held"))):
            lo, hi = at(5 * number), at(5 * number + 5)
            window = sa.insert(t.windows).values(seq=number + 1, source="orders", shard=0, lo=lo, hi=hi, state=state)
            connection.execute(window)
            connection.execute(t.runs.insert().values(
                run_id=f"orders-dan-{number}", source="orders", ingestor="dan", number=100 + number, seq=number + 1,
                phase=phase, created_at=hi, reasons=[], attempts=0))  # fmt: skip
        if not is_sqlite:  # its counter does not see a number that it was given
            connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence('windows', 'seq'), 2)")
    engine.dispose()


def test_a_ledger_of_the_version_before_is_brought_to_this_one_with_all_that_is_in_it(url: str) -> None:
    write_version_2(url)
    with contextlib.closing(Ledger(url, lambda: NOON)) as ledger:
        windows = ledger.windows("orders", 0)
        assert [(w.seq, w.lo, w.hi, w.state.value) for w in windows] == [
            (1, at(0), at(5), "merged"),
            (2, at(5), at(10), "held"),
        ]
        assert [(w.clock, w.backfill, w.repairs, w.gap_reason) for w in windows] == [(None, False, (), None)] * 2
        assert [run.run_id for run in ledger.runs()] == ["orders-dan-1", "orders-dan-0"]
        assert ledger.stops() == ()
        with ledger.used_from("a test").write() as tx:
            tx.append("PromotionsFrozen", ACTOR, reason="none")
        [event] = ledger.events()
        assert event.place == "a test"
        with ledger.write() as tx:
            again = tx.windows.claim_backfill(ORDERS, "dan", at(5), at(10), actor=ACTOR)
        assert again.window.seq == 3
        assert again.window.repairs == (2,)
        assert claim(ledger, 10, 15).window.seq == 4
        with pytest.raises(errors.LedgerRefused), ledger.write() as tx:
            tx.runs._tx.execute(t.runs.insert().values(
                run_id="x", source="orders", ingestor="dan", number=1, seq=77, phase="merged", created_at=NOON,
                reasons=[], attempts=0))  # fmt: skip
    with contextlib.closing(Ledger(url, lambda: NOON)) as ledger:
        assert len(ledger.windows("orders", 0)) == 4


# Backfills, shorter windows, accepted gaps, stops


def test_a_backfill_moves_no_cursor_and_may_end_where_a_claim_ended(ledger: Ledger) -> None:
    claim(ledger, 0, 5)
    broken = move(ledger, claim(ledger, 5, 10), Phase.CHECKING, Phase.FAILED)
    with ledger.write() as tx:
        again = tx.windows.claim_backfill(ORDERS, "dan", at(0), at(10), actor=ACTOR)
    assert (again.window.backfill, again.window.repairs) == (True, (broken.window.seq,))
    assert ledger.last_claim("orders", 0) == at(10)
    assert claim(ledger, 10, 15).window.hi == at(15)
    assert ledger.last_claim("orders", 0, before=broken.window.seq) == at(5)
    with pytest.raises(errors.LedgerRefused), ledger.write() as tx:
        tx.windows._add_run(ORDERS, "dan", at(0), at(10), "WindowClaimed", ACTOR)


def test_a_gap_is_listed_until_a_backfill_over_it_is_merged(ledger: Ledger) -> None:
    broken = move(ledger, claim(ledger, 0, 5), Phase.CHECKING, Phase.FAILED)
    with ledger.write() as tx:
        again = tx.windows.claim_backfill(ORDERS, "dan", at(0), at(5), actor=ACTOR)
    again = move(ledger, again, Phase.CHECKING, Phase.QUEUED)
    assert [run_id for _, run_id in ledger.gaps()] == [broken.run_id]
    again = move(ledger, again, Phase.MERGED)
    assert ledger.gaps() == ()
    move(ledger, again, Phase.REVERTED)
    assert [run_id for _, run_id in ledger.gaps()] == [broken.run_id, again.run_id]


def test_only_the_last_claim_can_end_earlier_and_only_while_it_is_extracting(ledger: Ledger) -> None:
    run = claim(ledger, 0, 10)
    with ledger.write() as tx:
        tx.windows.shorten(run.run_id, at(4), ACTOR)
        tx.windows.shorten(run.run_id, at(4), ACTOR)
    assert ledger.last_claim("orders", 0) == at(4)
    (event,) = ledger.events(type="WindowShortened")
    assert event.payload == {"hi": at(4).isoformat(), "was": at(10).isoformat()}
    for wrong in (at(0), at(9)):
        with pytest.raises(errors.Conflict, match="can no longer end"), ledger.write() as tx:
            tx.windows.shorten(run.run_id, wrong, ACTOR)
    following = claim(ledger, 4, 10)
    with pytest.raises(errors.Conflict, match="can no longer end"), ledger.write() as tx:
        tx.windows.shorten(run.run_id, at(2), ACTOR)
    move(ledger, following, Phase.CHECKING)
    with pytest.raises(errors.Conflict, match="can no longer end"), ledger.write() as tx:
        tx.windows.shorten(following.run_id, at(7), ACTOR)


def test_an_accepted_gap_is_kept_with_its_reason_until_the_run_is_merged(ledger: Ledger) -> None:
    run = move(ledger, claim(ledger), Phase.CHECKING, Phase.FAILED)
    with ledger.write() as tx:
        assert (
            tx.windows.accept_gap(run.run_id, "the source has lost it", ACTOR).window.gap_reason
            == "the source has lost it"
        )
    assert ledger.gaps() == ()
    (event,) = ledger.events(run_id=run.run_id, type="GapAccepted")
    assert (event.actor, event.payload["reason"]) == (ACTOR, "the source has lost it")
    merged = move(ledger, run, Phase.CHECKING, Phase.QUEUED, Phase.MERGED)
    assert merged.window.gap_reason is None
    move(ledger, merged, Phase.REVERTED)
    assert [run_id for _, run_id in ledger.gaps()] == [run.run_id]
    live = claim(ledger, 5, 10)
    with pytest.raises(errors.UsageError, match="it is not a gap"), ledger.write() as tx:
        tx.windows.accept_gap(live.run_id, "why not", ACTOR)


def test_the_newest_claim_of_each_shard_is_no_backfill(ledger: Ledger) -> None:
    claim(ledger, 0, 5)
    claim(ledger, 0, 7, ingestor="dave")
    newest = claim(ledger, 5, 10)
    with ledger.write() as tx:
        tx.windows.claim_backfill(ORDERS, "dan", at(0), at(5), actor=ACTOR)
    assert [(w.shard, w.hi) for w in ledger.newest_claims()] == [(0, newest.window.hi), (1, at(7))]


def test_who_stopped_first_is_named_until_it_is_started(ledger: Ledger) -> None:
    for actor in ("person:one", "person:two"):
        with ledger.write() as tx:
            tx.stops.add("dan", f"{actor} wants it", "IngestorPaused", actor)
    (stop,) = ledger.stops()
    assert (stop.name, stop.actor, stop.reason) == ("dan", "person:one", "person:one wants it")
    with ledger.write() as tx:
        assert tx.stops.remove("dan", "IngestorResumed", ACTOR)
        assert not tx.stops.remove("dan", "IngestorResumed", ACTOR)
    assert ledger.stops() == ()
    assert [event.type for event in ledger.events()] == ["IngestorPaused", "IngestorPaused", "IngestorResumed"]
