"""Windows on the real lake: caps, backfills, accepted gaps, columns and clocks that change, stops."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.ingest.backfill import accept_gap, backfill
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production import promote as production
from dartifact.commands.staging import stage as staging
from dartifact.commands.stops import pause, resume, start_line, stop_line
from dartifact.domain import errors
from dartifact.domain.checks import Outcome
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.people import Role
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Evolve
from dartifact.domain.windows import WindowState
from tests.support.proxy import Fault, Proxy
from tests.support.sources import Row, bad_customer, customer, order, stamp
from tests.support.world import World

DANA = ("dana",)


def declare(world: World, dataset: str = "customers", **changes: Any) -> None:
    """Change what a source declares."""
    world.stack.sources[dataset] = replace(world.stack.source(dataset), **changes)  # type: ignore[index]


def publish_every_minute(world: World, *rows: Row) -> None:
    """Let the source publish one row each minute, and our clock move with it."""
    for row in rows:
        world.tick(timedelta(minutes=1))
        world.sources["customers"].add(row)


def fill(world: World, run: Run, **options: Any) -> tuple[Run, ...]:
    """Backfill the window of a run."""
    source = world.stack.source(run.source)
    window = run.window
    extractor = world.sources[run.source]
    return backfill(world.stack, source, extractor, DANA, window.lo, window.hi, actor="test", **options)


def names(*numbers: int) -> list[str]:
    return [f"C{number:06}" for number in numbers]


@pytest.mark.both_databases
def test_after_an_outage_runs_of_max_rows_bring_everything_once(world: World) -> None:
    declare(world, max_rows=2)
    publish_every_minute(world, *map(customer, range(1, 6)))
    runs = [world.ingest("customers")[-1] for _ in range(3)]
    assert [run.rows for run in runs] == [2, 2, 1]
    assert [run.window.backlog for run in runs] == [timedelta(minutes=3), timedelta(minutes=1), timedelta(0)]
    assert len(world.events("WindowShortened")) == 2
    assert world.ingest("customers") == ()
    world.integrate()
    assert world.keys("customers") == names(1, 2, 3, 4, 5)


def test_rows_out_of_order_are_the_sources_fault_when_they_are_to_be_capped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(world, max_rows=1)
    publish_every_minute(world, customer(1), customer(2))
    source = world.sources["customers"]
    monkeypatch.setattr(source, "fetch", lambda *_, **__: iter([list(reversed(source.rows))]))
    with pytest.raises(errors.SourceMalformed, match="in the order of updated_at"):
        world.ingest("customers")


@pytest.mark.both_databases
def test_a_run_killed_between_its_commit_and_the_ledger_loses_nothing_behind_its_cut(
    world: World, proxy: Proxy
) -> None:
    declare(world, max_rows=2)
    publish_every_minute(world, *map(customer, range(1, 4)))
    broken = world.through(proxy.url)
    proxy.add(r"POST .*/commits", Fault.CUT_AFTER)
    with pytest.raises(errors.OutcomeUnknown):
        ingest(broken, broken.source("customers"), world.sources["customers"], "dana", actor="test")
    (cut_off,) = world.stack.ledger.runs()
    assert cut_off.window.hi == world.clock.now
    first, second = world.ingest("customers")
    assert (first.run_id, first.rows, second.rows) == (cut_off.run_id, 2, 1)
    assert first.window.hi < cut_off.window.hi == second.window.hi
    world.integrate()
    assert world.keys("customers") == names(1, 2, 3)


def test_a_backfill_closes_the_gap_that_a_corrected_source_left(world: World) -> None:
    world.land("customers", customer(1))
    failed = world.bring("customers", bad_customer(2), customer(3))
    world.land("customers", customer(4))
    source = world.sources["customers"]
    source.rows[1]["segment"] = "consumer"  # the source corrects it, and keeps the stamp
    cursor = world.stack.ledger.last_claim("customers", 0)

    (run,) = fill(world, failed)
    assert (run.rows, run.phase, run.window.backfill) == (2, Phase.QUEUED, True)
    assert run.window.seq > failed.window.seq
    assert len(world.stack.ledger.gaps()) == 1
    assert world.integrate().merged == [run.run_id]
    assert world.keys("customers") == names(1, 2, 3, 4)
    assert world.stack.ledger.gaps() == ()
    assert world.stack.ledger.last_claim("customers", 0) == cursor


def test_a_backfill_brings_nothing_that_main_or_the_queue_has(world: World) -> None:
    landed = world.land("customers", customer(1))
    queued = world.bring("customers", customer(2))
    source, extractor = world.stack.source("customers"), world.sources["customers"]
    lo, hi = landed.window.lo, queued.window.hi
    (run,) = backfill(world.stack, source, extractor, DANA, lo, hi, actor="test")
    assert (run.phase, run.window.state) == (Phase.EMPTY, WindowState.EMPTY)


def test_a_backfill_does_not_bring_back_a_version_that_has_changed_since(world: World) -> None:
    failed = world.bring("customers", customer(1, name="old"), bad_customer(2))
    world.land("customers", customer(1, name="new"))
    world.sources["customers"].rows[1]["segment"] = "consumer"
    (run,) = fill(world, failed)
    assert run.rows == 1
    assert world.lake.commit_of(run.commit or "").metadata["outdated"] == "1"
    world.integrate()
    assert [row["name"] for row in world.rows("customers")] == ["new", "Customer 2"]


@pytest.mark.both_databases
def test_a_backfill_goes_in_chunks_and_flows_past_a_bad_one(world: World) -> None:
    declare(world, max_window=timedelta(minutes=5), max_rows=1)
    failed = world.bring("customers", bad_customer(1))
    world.bring("customers")
    last = world.bring("customers", customer(2))
    source, extractor = world.stack.source("customers"), world.sources["customers"]
    told: list[Run] = []
    lo, to = failed.window.lo, last.window.hi
    runs = backfill(world.stack, source, extractor, DANA, lo, to, actor="test", show=told.append)
    assert [run.phase for run in runs] == [Phase.FAILED, Phase.EMPTY, Phase.EMPTY]
    assert told == list(runs)
    assert [run.window.lo for run in runs[1:]] == [run.window.hi for run in runs[:-1]]
    assert [run_id for _, run_id in world.stack.ledger.gaps()] == [failed.run_id, runs[0].run_id]


def test_a_backfill_of_what_was_never_claimed_is_refused_before_anything_is_claimed(world: World) -> None:
    run = world.bring("customers", customer(1))
    source, extractor = world.stack.source("customers"), world.sources["customers"]
    lo, hi = run.window.lo, run.window.hi
    for first, last, reason in ((hi, lo, "nothing lies between"), (lo, hi + timedelta(seconds=1), "cannot go to")):
        with pytest.raises(errors.UsageError, match=reason):
            backfill(world.stack, source, extractor, DANA, first, last, actor="test")
    assert len(world.stack.ledger.runs()) == 1


def test_a_backfill_is_an_operators(world: World) -> None:
    run = world.bring("customers", customer(1))
    source, extractor = world.stack.source("customers"), world.sources["customers"]
    stack = replace(world.stack, role=Role.REVIEWER)
    with pytest.raises(errors.PolicyRefused, match="a reviewer may not ingest an interval again"):
        backfill(stack, source, extractor, DANA, run.window.lo, run.window.hi, actor="person:rita")
    assert len(world.stack.ledger.runs()) == 1


@pytest.mark.both_databases
def test_an_accepted_gap_is_no_gap_any_more_and_only_a_gap_can_be_accepted(world: World) -> None:
    failed = world.bring("customers", bad_customer(1))
    with pytest.raises(errors.UsageError, match="a reason is required"):
        accept_gap(world.stack, failed.run_id, reason=" ", actor="person:test")
    accept_gap(world.stack, failed.run_id, reason="nobody needs it", actor="person:test")
    assert world.stack.ledger.gaps() == ()
    with pytest.raises(errors.UsageError, match="no open gap"):
        accept_gap(world.stack, failed.run_id, reason="again", actor="person:test")


@pytest.mark.parametrize(
    ("evolve", "phase"), [(Evolve.ADD_NULLABLE, Phase.QUEUED), (Evolve.HOLD, Phase.HELD), (Evolve.FAIL, Phase.FAILED)]
)
def test_an_unknown_column_follows_the_policy_of_the_source(world: World, evolve: Evolve, phase: Phase) -> None:
    declare(world, evolve=evolve)
    run = world.bring("customers", customer(1, vip="yes"))
    assert run.phase is phase
    report = world.stack.ledger.report(run.report or "")
    assert report is not None
    (told,) = [each for each in report.results if each.column == "vip"]
    assert told.outcome is (Outcome.WARNED if evolve is Evolve.ADD_NULLABLE else Outcome.FAILED)
    assert ("checks/customers.yml" in told.message) == (evolve is not Evolve.FAIL)
    again = world.ingest("customers")
    assert [each.phase for each in again] == ([Phase.HELD] if phase is Phase.HELD else [])


@pytest.mark.parametrize(
    ("evolve", "phase"), [(Evolve.ADD_NULLABLE, Phase.FAILED), (Evolve.HOLD, Phase.HELD), (Evolve.FAIL, Phase.FAILED)]
)
def test_a_retyped_column_is_never_taken_silently(world: World, evolve: Evolve, phase: Phase) -> None:
    declare(world, evolve=evolve)
    world.tick()
    world.sources["customers"].add(customer(1) | {"updated_at": stamp(world.clock.now).removesuffix("Z")})
    world.sources["customers"].fetch = lambda *_, **__: iter([world.sources["customers"].rows])  # type: ignore[method-assign]
    (run,) = world.ingest("customers")
    assert run.phase is phase


def test_a_column_more_in_main_breaks_no_build(world: World) -> None:
    declare(world, evolve=Evolve.ADD_NULLABLE)
    world.land("customers", customer(1))
    world.land("customers", customer(2, vip="yes"))
    assert {row["vip"] for row in world.rows("customers")} == {None, "yes"}
    world.land("orders", order(1))
    dartifact = staging.stage(world.stack, actor="test")
    assert dartifact.state is DartifactState.GREEN, dartifact.reasons


def test_a_clock_that_went_back_claims_nothing_and_says_so(world: World) -> None:
    world.bring("customers", customer(1))
    world.sources["customers"].now -= timedelta(seconds=90)
    said: list[str] = []
    source = world.stack.source("customers")
    assert ingest(world.stack, source, world.sources["customers"], "dana", actor="test", progress=said.append) == ()
    assert said == ["the clock of customers is 90 s behind the last claim: nothing is claimed"]
    assert [event.payload["seconds"] for event in world.events("SourceClockBehind")] == [90]


def test_rows_stamped_later_inside_an_unbelievable_future_are_not_lost(world: World) -> None:
    world.tick()
    source = world.sources["customers"]
    source.now = world.clock.now + timedelta(hours=1)
    (first,) = world.ingest("customers")
    assert first.window.hi == world.clock.now + timedelta(minutes=5)
    assert world.events("SourceClockAhead")
    world.tick(timedelta(minutes=10))  # the source's clock is set right
    source.add(customer(1))
    (second,) = world.ingest("customers")
    assert (second.rows, second.window.lo < second.window.hi == world.clock.now) == (1, True)


def test_a_row_that_replaces_a_newer_one_is_a_warning_at_the_integration_gate(world: World) -> None:
    first = world.land("customers", customer(1, name="newer"))
    late = stamp(first.window.hi - timedelta(seconds=5))
    run = world.land("customers", customer(1, name="older", updated_at=late))
    report = check_candidate(world.stack, world.head, (run,))
    results = [each for each in report.results if each.check == "customers.updated_at.order"]
    assert [(each.outcome, each.measured) for each in results] == [(Outcome.WARNED, 1)]


@pytest.mark.both_databases
def test_a_stopped_line_refuses_at_once_and_names_who_stopped_it(world: World) -> None:
    run = world.bring("customers", customer(1))
    stop_line(world.stack, reason="look at the prices", actor="person:eva")
    world.tick()
    for refused in (
        lambda: world.ingest("customers"),
        world.integrate,
        lambda: staging.stage(world.stack, actor="test"),
        lambda: production.promote(world.stack, actor="test"),
    ):
        with pytest.raises(errors.Stopped, match=r"paused by person:eva at 2021-01-01 .*look at the prices") as caught:
            refused()
        assert str(caught.value.hint) == "dartifact resume --all"
    assert [each.run_id for each in world.stack.ledger.runs()] == [run.run_id]
    assert start_line(world.stack, actor="person:eva")
    assert world.integrate().merged == [run.run_id]


@pytest.mark.both_databases
def test_a_paused_ingestor_brings_nothing_and_the_others_go_on(world: World) -> None:
    pause(world.stack, "dana", reason="their release", actor="person:eva")
    with pytest.raises(errors.Stopped, match="dana was paused by person:eva"):
        world.bring("customers", customer(1))
    assert world.bring("orders").phase is Phase.EMPTY
    with pytest.raises(errors.UsageError, match="no ingestor nobody"):
        pause(world.stack, "nobody", reason="why", actor="person:eva")
    assert resume(world.stack, "dana", actor="person:eva")
    assert not resume(world.stack, "dana", actor="person:eva")
    assert world.ingest("customers")[-1].rows == 1
