"""Bad days of a source or a lake: a clear error each, nothing lost, and the next run works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dartifact.adapters.lakefs.lake import Lake, LakeAccess
from dartifact.adapters.sources.rest import RestSource
from dartifact.commands.gates.failing_rows import read_failing_rows
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.stack import Stack
from dartifact.demo.company import CompanyState
from dartifact.demo.server import DEFAULT, SimulatedSources, simulated_sources
from dartifact.domain import errors
from dartifact.domain.runs import Phase, Run
from dartifact.domain.windows import WindowState
from tests.support.proxy import Fault, Proxy
from tests.support.sources import bad_order, customer, order
from tests.support.world import Clock, World


@pytest.fixture
def company(tmp_path: Path) -> Iterator[SimulatedSources]:
    """Run a small simulated company over HTTP, one tick old."""
    state = CompanyState(DEFAULT.seed, DEFAULT.start, DEFAULT.start, orders_per_tick=20, customers=10)
    with simulated_sources(tmp_path / "company.json", initial=state) as company:
        company.advance()
        yield company


@pytest.fixture
def bring(stack: Stack, clock: Clock, company: SimulatedSources) -> Callable[[str], tuple[Run, ...]]:
    """Return what runs one real ingest over HTTP, at the company's time."""

    def bring(dataset: str) -> tuple[Run, ...]:
        clock.now = company.now
        source = stack.source(dataset)
        extractor = RestSource(company.url, f"/{dataset}", timeout=0.5, attempts=1)
        return ingest(stack, source, extractor, source.ingestors[0].name, actor="test")

    return bring


def land_customers(stack: Stack, bring: Callable[[str], tuple[Run, ...]]) -> None:
    """Bring the population first, so that orders find their customers."""
    bring("customers")
    assert integrate(stack, actor="test").merged


@pytest.mark.parametrize(
    ("outage", "error"),
    [
        ("down", errors.SourceUnavailable),
        ("html", errors.SourceMalformed),
        ("half_page", errors.SourceMalformed),
        ("slow", errors.SourceUnavailable),
    ],
)
def test_an_outage_of_a_source_loses_nothing(
    stack: Stack,
    company: SimulatedSources,
    bring: Callable[[str], tuple[Run, ...]],
    outage: str,
    error: type[errors.DartifactError],
) -> None:
    land_customers(stack, bring)
    company.set_outage("orders", outage)
    with pytest.raises(error, match="/orders"):
        bring("orders")
    stuck = stack.ledger.runs(source="orders")[0]
    assert stuck.phase is Phase.EXTRACTING
    assert stuck.attempts == 1
    assert "orders" in stuck.reasons[0]

    company.set_outage("orders", "none")
    company.advance()
    first, second = bring("orders")
    assert first.run_id == stuck.run_id
    assert (first.rows, first.phase, second.phase) == (20, Phase.QUEUED, Phase.QUEUED)
    assert first.window.hi < second.window.hi == company.now
    done = integrate(stack, actor="test")
    assert set(done.merged) == {first.run_id, second.run_id}
    assert stack.ledger.gaps() == ()


def test_a_source_that_never_recovers_leaves_a_gap_and_is_flowed_past(
    stack: Stack, company: SimulatedSources, bring: Callable[[str], tuple[Run, ...]]
) -> None:
    land_customers(stack, bring)
    company.set_outage("orders", "html")
    for _ in range(stack.policy.attempts):
        with pytest.raises(errors.SourceMalformed):
            bring("orders")
    (window, run_id), *others = stack.ledger.gaps()
    assert not others
    assert window.state is WindowState.HELD
    assert stack.ledger.run(run_id).reasons[0].startswith("gave up after 3 attempts")

    company.set_outage("orders", "none")
    company.advance()
    (flowing,) = bring("orders")
    assert flowing.run_id != run_id
    assert flowing.phase is Phase.QUEUED
    assert flowing.window.hi == company.now


def test_a_source_whose_clock_does_not_answer_claims_nothing(
    stack: Stack, company: SimulatedSources, bring: Callable[[str], tuple[Run, ...]]
) -> None:
    company.stop()
    with pytest.raises(errors.SourceUnavailable, match="/clock"):
        bring("orders")
    assert stack.ledger.runs() == ()


def test_nothing_new_is_not_a_run(world: World) -> None:
    world.bring("customers", customer(1))
    assert world.ingest("customers") == ()
    assert len(world.stack.ledger.runs()) == 1


def test_an_empty_batch_is_an_empty_window_without_a_branch(world: World) -> None:
    run = world.bring("customers")
    assert run.phase is Phase.EMPTY
    assert run.window.state is WindowState.EMPTY
    assert not world.lake.has_branch(run.branch)
    assert world.stack.ledger.gaps() == ()
    assert world.bring("customers", customer(1)).phase is Phase.QUEUED


def test_failed_run_leaves_main_untouched_and_its_rows_readable(world: World) -> None:
    world.land("customers", customer(1))
    before = world.head
    failed = world.bring("orders", order(1), bad_order(2))
    assert failed.phase is Phase.FAILED
    assert world.integrate().merged == []
    assert world.head == before
    report = world.stack.ledger.report(failed.report or "")
    assert report is not None
    (result,) = [each for each in report.results if each.failing_rows]
    rows = read_failing_rows(world.stack, failed, result)
    assert [row["order_id"] for row in rows] == [2]
    assert world.land("orders", order(3)).phase is Phase.MERGED
    assert world.keys("orders") == [3]


def test_rows_of_a_failed_run_do_not_come_back_through_the_overlap_of_the_next(world: World) -> None:
    world.land("customers", customer(1))
    failed = world.bring("orders", bad_order(1))  # stamped at the very end of its window: inside the next overlap
    follower = world.land("orders", order(2))
    assert follower.window.lo < failed.window.hi
    assert world.keys("orders") == [2]
    assert follower.rows == 1


def test_a_late_row_inside_the_overlap_is_brought_once(world: World) -> None:
    world.land("customers", customer(1))
    world.land("orders", order(1))
    late = (world.sources["orders"].now - world.stack.source("orders").overlap / 2).isoformat()
    run = world.land("orders", order(2, updated_at=late), order(3))
    assert run.rows == 2
    assert world.keys("orders") == [1, 2, 3]


def test_a_lake_killed_in_mid_run_leaves_a_run_that_the_next_ingest_finishes(
    world: World, proxy: Proxy, lakefs: LakeAccess
) -> None:
    world.land("customers", customer(1))
    world.tick()
    world.sources["orders"].add(order(1))
    broken = world.through(proxy.url)
    proxy.add(r"POST .*/objects", Fault.CUT_BEFORE, times=None)
    source = broken.source("orders")
    with pytest.raises(errors.ChecksErrored, match="upload"):
        ingest(broken, source, world.sources["orders"], "dan", actor="test")
    (stuck,) = world.stack.ledger.runs(source="orders")
    assert stuck.phase is Phase.EXTRACTING

    (finished,) = world.ingest("orders")
    assert (finished.run_id, finished.phase) == (stuck.run_id, Phase.QUEUED)
    assert world.integrate().merged == [stuck.run_id]
    assert world.keys("orders") == [1]


def test_a_batch_committed_without_an_answer_is_adopted_not_brought_again(world: World, proxy: Proxy) -> None:
    world.tick()
    world.sources["customers"].add(customer(1))
    broken = world.through(proxy.url)
    proxy.add(r"POST .*/commits", Fault.CUT_AFTER)
    with pytest.raises(errors.OutcomeUnknown):
        ingest(broken, broken.source("customers"), world.sources["customers"], "dana", actor="test")
    asked = len(world.sources["customers"].fetched)
    (run,) = world.ingest("customers")
    assert run.phase is Phase.QUEUED
    assert run.rows == 1
    assert len(world.sources["customers"].fetched) == asked  # the committed batch was taken as it is


def test_a_lake_that_is_down_is_named_before_anything_is_claimed_twice(world: World) -> None:
    nowhere = Lake(LakeAccess("http://127.0.0.1:9", "key", "secret"), world.lake.repository)
    world.tick()
    world.sources["customers"].add(customer(1))
    down = replace(world.stack, lake=nowhere)
    for attempt in (1, 2):
        with pytest.raises(errors.LakeUnavailable, match="does not answer"):
            ingest(down, down.source("customers"), world.sources["customers"], "dana", actor="test")
        assert [run.attempts for run in world.stack.ledger.runs()] == [attempt]
    (run,) = world.ingest("customers")
    assert run.phase is Phase.QUEUED


def test_a_column_that_cannot_be_typed_fails_the_run_and_keeps_every_value(world: World) -> None:
    world.land("customers", customer(1))
    run = world.bring("orders", order(1), order(2, amount="n/a"))
    assert run.phase is Phase.FAILED
    assert any("decimal(12,2)" in reason for reason in run.reasons)
    assert world.content(run.commit or "", run.folder)


def test_a_source_clock_that_is_off_by_less_than_the_overlap_loses_nothing(
    stack: Stack, company: SimulatedSources, bring: Callable[[str], tuple[Run, ...]]
) -> None:
    land_customers(stack, bring)
    brought = 0
    for skew in (20, -20, 25, 0):
        company.set_clock_skew(skew)
        brought += sum(run.rows or 0 for run in bring("orders"))
        company.advance()
    brought += sum(run.rows or 0 for run in bring("orders"))
    start = stack.source("orders").start
    told = [row for page in RestSource(company.url, "/orders").fetch(start, company.now) for row in page]
    assert brought == len(told) > 0
    bring("customers")  # the orders of new ones wait for them
    integrate(stack, actor="test")
    assert len(stack.ledger.runs(source="orders", phases=(Phase.MERGED,))) == 5
