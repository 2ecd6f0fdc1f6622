"""What databases refuse is cut, cleaned, or refused by us: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind
from dartifact.domain.events import EventType
from dartifact.domain.marks import HIDDEN, hide_values
from dartifact.domain.runs import Phase
from dartifact.domain.sources import Ingestor, Source
from dartifact.domain.traffic import Consumer
from tests.adapters.test_ledger import ACTOR, NOON, at, claim, merged, move

pytestmark = pytest.mark.both_databases


LONG = "very long and then some " * 60  # 1,440 characters
NUL = "a\x00b"


def test_texts_of_people_and_programs_are_taken_at_any_length(ledger: Ledger) -> None:
    run = merged(ledger)
    with ledger.used_from(LONG).write() as tx:
        tx.stops.add(LONG, LONG, EventType.LINE_STOPPED, LONG)
        tx.runs.request_revert(run.run_id, LONG, LONG)
        tx.waivers.add(LONG, LONG, 3, at(60), LONG, LONG)
        assert tx.leases.take(LONG, LONG, 60) is None
        assert tx.leases.take(LONG, "another", 60) is not None
        tx.cursors.start(LONG)
        consumer = Consumer(LONG, "blue", "d1", "c1", "p1", NOON)
        tx.production.note_consumer(consumer)
        tx.runs.note_attempt(run.run_id, LONG, LONG)
    assert ledger.run(run.run_id).revert_reason == LONG[:499] + "…"
    assert ledger.run(run.run_id).reasons == (LONG,)
    [waiver] = ledger.waivers()
    assert (waiver.reason, waiver.rows) == (LONG[:499] + "…", 3)
    assert len(waiver.check) == 500
    assert ledger.waivers(datasets=[LONG]) == (waiver,)
    [stop] = ledger.stops()
    assert len(stop.actor) == 300
    assert ledger.events(actor=LONG)[-1].payload["reason"] == LONG
    assert len(ledger.events(actor=LONG)) == len(ledger.events()) - 4  # who is looked for by a whole name is found
    assert len(ledger.cursors([LONG])) == 1
    found = ledger.consumer(LONG)
    assert found is not None
    assert found.dartifact == "d1"
    assert ledger.find_broken_event() is None
    with ledger.write() as tx:
        tx.leases.drop(LONG, LONG)
        assert tx.leases.take(LONG, "another", 60) is None


def test_the_report_of_what_a_stopped_run_and_main_have_in_common_is_kept(ledger: Ledger) -> None:
    # this one once stopped the line for ever: 64 characters of main's content, and the id of a run
    report = Report(Gate.INTEGRATION, "c" * 64, f"{'f' * 64}/{'r' * 187}", ())
    with ledger.write() as tx:
        digest = tx.reports.save(report, Verdict(VerdictKind.FAIL))
    assert ledger.report(digest) == report


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_come_back_as_they_were(ledger: Ledger, number: float) -> None:
    result = Result("a.check", "orders", Outcome.FAILED, "it is not", measured=number)
    report = Report(Gate.LOCAL, "c1", "m1", (result,))
    with ledger.write() as tx:
        digest = tx.reports.save(report, Verdict(VerdictKind.FAIL))
        tx.append("SourceClockAhead", ACTOR, seconds=number, source="orders", trusted=[number, {"a": number}])
    kept = ledger.report(digest)
    assert kept is not None
    assert repr(kept.results[0].measured) == repr(number)
    assert kept.digest == digest
    word = ledger.events()[-1].payload["seconds"]
    assert repr(float(word)) == repr(number)
    assert ledger.find_broken_event() is None


def test_nul_and_halves_of_characters_are_stored_as_what_people_can_see(ledger: Ledger) -> None:
    bad, seen = "a\x00b\ud800", "a␀b?"
    run = merged(ledger)
    with ledger.used_from(bad).write() as tx:
        tx.stops.add("line", bad, EventType.LINE_STOPPED, bad)
        tx.runs.note_attempt(run.run_id, bad, bad)
        tx.append("RunFailed", bad, run=run.run_id, reasons=[bad], branch={bad: bad})
        tx.waivers.add("orders", bad, 1, at(60), bad, ACTOR)
    event = next(each for each in ledger.events(actor=bad) if each.type == "RunFailed")
    assert (event.actor, event.place, event.payload) == (seen, seen, {"reasons": [seen], "branch": {seen: seen}})
    assert ledger.stops()[0].reason == ledger.waivers()[0].check == seen
    assert ledger.run(run.run_id).reasons == (seen,)
    assert ledger.find_broken_event() is None


@pytest.mark.parametrize("name", ["r" * 201, NUL, "a\ud800"])
def test_an_id_that_cannot_be_kept_as_it_is_is_refused_and_nothing_else_is_written(ledger: Ledger, name: str) -> None:
    def write() -> None:
        with ledger.write() as tx:
            tx.append("PromotionsFrozen", ACTOR, reason="it goes with the other")
            tx.append("RunFailed", ACTOR, run=name, reasons=[])

    with pytest.raises(errors.LedgerRefused, match=r"the id .* is "):
        write()
    with pytest.raises(errors.LedgerRefused, match=r"the id .* is "), ledger.write() as tx:
        tx.intents.open(name, "advance", {})
    assert ledger.events() == ()
    with pytest.raises(errors.NotFound):
        ledger.run(name)
    assert ledger.runs(names=[name]) == ()


@pytest.mark.parametrize("source", ["s" * 81, "sources"])
def test_names_that_would_make_an_id_too_long_are_refused_before_a_claim(ledger: Ledger, source: str) -> None:
    ingestor = "i" * (81 if source == "sources" else 3)
    with pytest.raises(ValueError, match="has 81 characters; 80 are possible"):
        Source(source, ("key",), (Ingestor(ingestor),))
    longest = Source("s" * 80, ("key",), (Ingestor("i" * 80),))
    run = claim(ledger, source=longest, ingestor="i" * 80)
    assert ledger.run(run.run_id).source == "s" * 80


def test_a_number_that_no_column_holds_is_refused(ledger: Ledger) -> None:
    run = merged(ledger)
    with pytest.raises(errors.LedgerRefused), ledger.write() as tx:
        tx.runs.move(run.run_id, Phase.LIVE, "RunMerged", ACTOR, changes={"rows": 2**70})
    assert ledger.run(run.run_id) == run
    move(ledger, run, Phase.LIVE)


def test_what_a_refusal_says_of_the_values_is_marked(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.intents.open("o1", "advance", {})
    with pytest.raises(errors.LedgerRefused) as caught, ledger.write() as tx:
        tx.intents.open("o1", "advance", {})
    assert hide_values(caught.value.message).endswith(f"refuses this: {HIDDEN}")
    assert not caught.value.retryable
    assert caught.value.__cause__ is not None
