"""Slow traffic on real systems: soaks, the traffic gate, aborts by a person, freezes, rollbacks in between."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.lake import PRODUCTION, Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.gates.traffic import report_error
from dartifact.commands.production import promote as production
from dartifact.commands.production import steps
from dartifact.commands.production.choice import plan_promotion
from dartifact.commands.production.promote import promote
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.rollback_preview import preview_rollback
from dartifact.commands.production.steps import StepContext
from dartifact.commands.production.under_way import abort, find_under_way, freeze, unfreeze
from dartifact.commands.staging.stage import stage
from dartifact.commands.upkeep.notify import compose
from dartifact.domain import errors, plans
from dartifact.domain.checks import Outcome, Report
from dartifact.domain.dartifacts import Cause, Dartifact, DartifactState
from dartifact.domain.marks import mark
from dartifact.domain.plans import PromotionState, StepKind
from tests.support.sources import customer, order
from tests.support.waiting import wait_until
from tests.support.world import World

FENCE = "_dartifact/published.json"
ACTOR = "policy:promote"
PERSON = "person:test"
MINUTE = timedelta(minutes=1)
# Before the first step there is nothing to abort, after settling only `production` is left to publish.
ENDS = (StepKind.CLAIM, StepKind.PUBLISH_PRODUCTION)
NAMES = tuple(f"consumer-{number}" for number in range(400))


@pytest.fixture
def shop(world: World) -> World:
    """Return a world in which a first dartifact is live and a second one is green; soaks last a minute each."""
    world.place("customers", customer(1))
    world.place("orders", order(1, amount=Decimal(10)))
    stage(world.stack, actor="test")
    assert promote(world.stack, actor=ACTOR) is not None
    world.with_policy(weights=(5, 25, 100), soak=MINUTE)
    offer(world, 2)
    return world


def offer(world: World, number: int) -> Dartifact:
    """Make a green dartifact with one more order."""
    world.place("orders", order(number, amount=Decimal(10)))
    return stage(world.stack, actor="test")


def soak(world: World, looks: int = 1) -> None:
    """Promote, as the schedule does each minute."""
    for look in range(looks):
        if look:
            world.tick(MINUTE)
        promote(world.stack, actor=ACTOR)


def finish(world: World) -> None:
    """Promote until nothing is under way."""
    soak(world)
    while find_under_way(world.stack):
        world.tick(MINUTE)
        promote(world.stack, actor=ACTOR)


def newest(world: World) -> Dartifact:
    return world.stack.ledger.dartifacts(most=1)[0]


def weights(world: World) -> dict[str, int]:
    return dict(world.stack.ledger.pointer().weights)


def reader_of(world: World, slot: str) -> str:
    """Find the name of a consumer that reads a slot now, as nobody has asked yet."""
    pointer = world.stack.ledger.pointer()
    return next(name for name in NAMES if plans.choose_slot(pointer, name) == slot)


def last_report(world: World, event: str) -> Report:
    digest = world.events(event)[-1].payload["report"]
    report = world.stack.ledger.report(digest)
    assert report is not None
    return report


def states(world: World) -> list[str]:
    """Return the states of promotions and rollbacks, oldest first."""
    return [each.state for each in reversed(world.stack.ledger.promotions())]


# The steps


@pytest.mark.both_databases
def test_traffic_moves_in_shares_with_a_soak_after_each_and_plain_readers_follow_last(shop: World) -> None:
    first = resolve(shop.stack)
    seen = []
    soak(shop)
    while (under_way := find_under_way(shop.stack)) is not None:
        assert under_way.step.kind is StepKind.SOAK
        assert under_way.goes_on_at == shop.clock() + MINUTE
        assert resolve(shop.stack).commit == first.commit
        seen.append(weights(shop)["green"])
        shop.tick(MINUTE)
        promote(shop.stack, actor=ACTOR)
    assert seen == [5, 25, 100]
    assert resolve(shop.stack).dartifact == newest(shop).dartifact_id
    assert [event.payload["weight"] for event in shop.events("TrafficSoaked")] == [5, 25, 100]
    assert states(shop) == ["done", "done"]


def test_the_plan_that_is_shown_is_the_plan_that_is_carried_out(shop: World) -> None:
    pointer = shop.stack.ledger.pointer()
    shown = plan_promotion(shop.stack, pointer, newest(shop).dartifact_id, "-")
    soak(shop)
    assert shop.stack.ledger.promotions(most=1)[0].plan.steps == shown.steps
    assert str(shown.steps[4]) == "soak green at 5 % for 60 s, then ask the traffic gate"


def test_nobody_is_waited_for_before_anything_is_live(world: World) -> None:
    world.with_policy(weights=(5, 100), soak=MINUTE)
    world.place("customers", customer(1))
    offer(world, 1)
    promote(world.stack, actor=ACTOR)
    assert find_under_way(world.stack) is None
    assert world.stack.ledger.pointer().live == newest(world).dartifact_id


def test_a_consumer_that_was_sent_on_is_not_sent_back_by_a_greater_share(shop: World) -> None:
    there: set[str] = set()
    soak(shop)
    while find_under_way(shop.stack):
        pointer = shop.stack.ledger.pointer()
        now = {name for name in NAMES if plans.choose_slot(pointer, name) == "green"}
        assert there <= now
        there = now
        shop.tick(MINUTE)
        promote(shop.stack, actor=ACTOR)
    assert there == set(NAMES)


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(days=2)], ids=["back", "forward"])
def test_a_clock_that_jumps_does_not_lose_or_prolong_a_soak_of_ten_minutes(shop: World, jump: timedelta) -> None:
    shop.with_policy(weights=(50, 100), soak=timedelta(minutes=10))
    soak(shop, looks=4)
    shop.tick(jump)
    promote(shop.stack, actor=ACTOR)
    under_way = find_under_way(shop.stack)
    assert under_way is not None
    assert under_way.goes_on_at is not None
    assert timedelta(minutes=5) <= under_way.goes_on_at - shop.clock() <= timedelta(minutes=7)


def test_a_soak_counts_while_nobody_is_there_and_is_not_begun_again(shop: World) -> None:
    soak(shop)
    shop.tick(timedelta(seconds=40))
    promote(shop.stack, actor=ACTOR)  # another process: it knows the ledger only
    under_way = find_under_way(shop.stack)
    assert under_way is not None
    assert under_way.goes_on_at == shop.clock() + timedelta(seconds=20)


def test_who_is_patient_waits_for_the_soak_and_is_told(shop: World) -> None:
    real = replace(shop.stack, ledger=Ledger(shop.stack.ledger.url), clock=Ledger(shop.stack.ledger.url)._clock)
    real = replace(real, policy=replace(real.policy, soak=timedelta(seconds=0.2)))
    told: list[str] = []
    promote(real, actor=ACTOR, patience=math.inf, progress=told.append)
    assert real.ledger.pointer().live == newest(shop).dartifact_id
    assert [line.split(" until")[0] for line in told] == [f"green is watched at {share} %" for share in (5, 25, 100)]


def test_a_newer_green_dartifact_waits_for_the_promotion_under_way_and_the_newest_follows(shop: World) -> None:
    second = newest(shop)
    soak(shop)
    third, fourth = offer(shop, 3), offer(shop, 4)
    promote(shop.stack, actor=ACTOR)
    assert find_under_way(shop.stack).plan.dartifact == second.dartifact_id  # type: ignore[union-attr]
    finish(shop)
    assert resolve(shop.stack).dartifact == second.dartifact_id
    finish(shop)
    assert resolve(shop.stack).dartifact == fourth.dartifact_id
    assert shop.stack.ledger.dartifact(third.dartifact_id).state is DartifactState.SUPERSEDED


# The traffic gate


def test_with_no_consumer_the_probes_are_the_evidence(shop: World) -> None:
    finish(shop)
    checks = {each.check: each.outcome for each in last_report(shop, "TrafficSoaked").results}
    assert checks["traffic.probe.revenue_by_segment"] is Outcome.PASSED
    assert checks["traffic.customer_statistics.rows"] is Outcome.PASSED


def test_consumers_that_read_the_slot_and_say_nothing_are_the_evidence(shop: World) -> None:
    soak(shop)
    name = reader_of(shop, "green")
    resolve(shop.stack, name)
    resolve(shop.stack, reader_of(shop, "blue"))
    shop.tick(MINUTE)
    promote(shop.stack, actor=ACTOR)
    checks = {each.check for each in last_report(shop, "TrafficSoaked").results}
    assert f"traffic.{name}.errors" in checks
    assert not any("probe" in check or "blue" in check for check in checks)


@pytest.mark.both_databases
@pytest.mark.parametrize("share", [5, 25, 100])
def test_a_reported_error_sends_everybody_back_and_makes_the_dartifact_bad(shop: World, share: int) -> None:
    before = {name: resolve(shop.stack, name).commit for name in NAMES[:5]}
    plain = resolve(shop.stack)
    shown = shop.lake.head(PRODUCTION)
    bad = newest(shop)
    soak(shop, looks=1 + (5, 25, 100).index(share))
    assert weights(shop)["green"] == share
    name = reader_of(shop, "green")
    resolve(shop.stack, name)
    kept = report_error(shop.stack, name, "revenue is negative", actor=PERSON)
    assert kept.dartifact == bad.dartifact_id
    assert kept.stops is not None
    with pytest.raises(errors.Aborted, match="revenue is negative"):
        promote(shop.stack, actor=ACTOR)
    assert {each: resolve(shop.stack, each).commit for each in before} == before
    assert resolve(shop.stack, name).commit == plain.commit
    assert shop.lake.head(PRODUCTION) == shown
    assert weights(shop) == {"blue": 100, "green": 0}
    assert shop.stack.ledger.dartifact(bad.dartifact_id).state is DartifactState.BAD
    (event,) = shop.events("TrafficRefused")
    assert event.payload["reasons"] == [f"consumer {name} reported an error: {mark('revenue is negative')}"]
    assert states(shop) == ["done", "aborted"]
    assert promote(shop.stack, actor=ACTOR) is None
    titles = [message.title for message in compose(shop.events())]
    assert titles == [f"dartifact {bad.dartifact_id} failed at the traffic gate on slot green"]


def test_an_error_in_what_is_live_does_not_stop_what_follows_it(shop: World) -> None:
    soak(shop)
    name = reader_of(shop, "blue")
    resolve(shop.stack, name)
    assert report_error(shop.stack, name, "odd", actor=PERSON).stops is None
    finish(shop)
    assert resolve(shop.stack).dartifact == newest(shop).dartifact_id


def test_an_error_is_kept_with_the_commit_its_consumer_says_it_read(shop: World) -> None:
    soak(shop)
    live = shop.stack.ledger.pointer().settled
    report_error(shop.stack, reader_of(shop, "green"), "odd", actor=PERSON, commit=live)
    (event,) = shop.events("ErrorReported")
    assert (event.payload["commit"], event.payload["slot"], event.payload["plan"]) == (live, "blue", None)


def test_a_red_probe_refuses_at_the_end_of_the_soak(shop: World, tmp_path: Path) -> None:
    soak(shop)
    shop.with_policy(smoke_least_share=99.0)  # the new mart would have to be 99 times as long
    shop.tick(MINUTE)
    with pytest.raises(errors.Aborted, match="traffic gate refuses"):
        promote(shop.stack, actor=ACTOR)
    assert weights(shop) == {"blue": 100, "green": 0}
    assert newest(shop).state is DartifactState.BAD


@pytest.mark.parametrize(
    ("query", "said"),
    [("select nothing from marts.customer_statistics", "failed"), ("select 1 where false", "returned no rows")],
)
def test_a_query_of_a_consumer_that_breaks_on_the_new_marts_stops_at_the_smoke_gate(
    shop: World, tmp_path: Path, query: str, said: str
) -> None:
    probes = tmp_path / "project" / "checks" / "probes"
    probes.mkdir(parents=True)
    (probes / "dashboard.sql").write_text(query)
    with pytest.raises(errors.Aborted, match=f"probe dashboard {said}"):
        promote(replace(shop.stack, project=tmp_path / "project"), actor=ACTOR)


def test_a_gate_that_could_not_ask_waits_and_is_asked_again(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    soak(shop)
    shop.tick(MINUTE)
    down = replace(shop.stack, lake=Lake(LakeAccess("http://127.0.0.1:9", "k", "s"), shop.lake.repository))
    monkeypatch.setattr(production, "bring_in_line", lambda *_: ())
    with pytest.raises(errors.LakeUnavailable):
        promote(down, actor=ACTOR)
    monkeypatch.undo()
    assert weights(shop)["green"] == 5
    finish(shop)
    assert resolve(shop.stack).dartifact == newest(shop).dartifact_id


# Who asks is written down


def consumers(world: World) -> list[str]:
    with world.stack.ledger._database.read() as connection:
        return list(connection.execute(sa.text("SELECT name FROM consumers ORDER BY name")).scalars())


@pytest.mark.both_databases
def test_a_consumer_that_asks_all_the_time_is_written_down_once_a_minute(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = Ledger.write
    monkeypatch.setattr(Ledger, "write", lambda self, **options: writes.append(1) or write(self, **options))
    for _ in range(20):
        resolve(shop.stack, "dashboard")
    assert len(writes) == 1
    shop.tick(MINUTE)
    resolve(shop.stack, "dashboard")
    resolve(shop.stack)
    assert len(writes) == 2
    assert consumers(shop) == ["dashboard"]


@pytest.fixture
def busy(shop: World) -> Iterator[World]:
    """Return the shop while another process writes to its ledger and does not end."""
    with contextlib.closing(Ledger(shop.stack.ledger.url)) as other, other.write():
        yield shop


@pytest.mark.both_databases
def test_resolve_answers_while_the_ledger_is_being_written(busy: World) -> None:
    assert resolve(busy.stack, "dashboard").commit == busy.stack.ledger.pointer().settled
    assert consumers(busy) == []


def test_resolve_answers_from_a_ledger_that_cannot_be_written(shop: World) -> None:
    readonly = Ledger(shop.stack.ledger.url)
    sa.event.listen(
        readonly._database.engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON")
    )
    answer = resolve(replace(shop.stack, ledger=readonly), "dashboard")
    assert answer.commit == shop.stack.ledger.pointer().settled
    assert consumers(shop) == []


def test_a_name_that_is_too_long_is_refused(shop: World) -> None:
    with pytest.raises(errors.UsageError, match="200"):
        resolve(shop.stack, "x" * 201)


# A person ends it


def test_an_abort_sends_everybody_back_at_once_and_nothing_begins_it_again(shop: World) -> None:
    soak(shop, looks=2)
    before = resolve(shop.stack)
    down = replace(shop.stack, lake=Lake(LakeAccess("http://127.0.0.1:9", "k", "s"), shop.lake.repository))
    ended = abort(down, reason="the boss is nervous", actor=PERSON)
    assert ended.dartifact == newest(shop).dartifact_id
    assert {resolve(down, name).commit for name in NAMES} == {before.commit}
    assert newest(shop).state is DartifactState.APPROVED
    assert states(shop) == ["done", "aborted"]
    with pytest.raises(errors.PolicyRefused, match="the boss is nervous"):
        promote(shop.stack, actor=ACTOR)
    unfreeze(shop.stack, reason="all is well", actor=PERSON)
    finish(shop)
    assert resolve(shop.stack).dartifact == ended.dartifact


def test_after_an_abort_a_newer_green_dartifact_is_promoted_instead(shop: World) -> None:
    soak(shop)
    ended = abort(shop.stack, reason="no", actor=PERSON)
    newer = offer(shop, 3)
    unfreeze(shop.stack, reason="the next one is better", actor=PERSON)
    finish(shop)
    assert resolve(shop.stack).dartifact == newer.dartifact_id
    assert shop.stack.ledger.dartifact(ended.dartifact).state is DartifactState.SUPERSEDED


@pytest.mark.parametrize(
    "kind", [kind for kind in StepKind if kind not in (StepKind.CLAIM, StepKind.PUBLISH_PRODUCTION)]
)
def test_an_executor_stops_at_its_next_step_after_an_abort(
    shop: World, monkeypatch: pytest.MonkeyPatch, kind: StepKind
) -> None:
    shop.with_policy(weights=(100,), soak=MINUTE)
    original = steps.perform

    def perform(context: StepContext) -> None:
        if context.step.kind is kind and not shop.stack.ledger.pointer().frozen:
            abort(shop.stack, reason="no", actor=PERSON)
        original(context)

    before = resolve(shop.stack)
    monkeypatch.setattr(steps, "perform", perform)
    with pytest.raises(errors.Aborted):
        finish(shop)
    assert (resolve(shop.stack).commit, weights(shop)) == (before.commit, {"blue": 100, "green": 0})
    assert shop.stack.ledger.pointer().plan is None
    assert len(shop.events("PromotionAborted")) == 1
    assert newest(shop).state is DartifactState.APPROVED


def test_an_abort_ends_a_wait_in_another_process(shop: World) -> None:
    real = replace(shop.stack, ledger=Ledger(shop.stack.ledger.url), clock=Ledger(shop.stack.ledger.url)._clock)
    real = replace(real, policy=replace(real.policy, soak=timedelta(hours=1)))
    said: list[str] = []

    def wait() -> None:
        try:
            promote(real, actor=ACTOR, patience=math.inf)
        except errors.Aborted as error:
            said.append(error.message)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: weights(shop)["green"] == 5)
    abort(shop.stack, reason="no", actor=PERSON)
    thread.join(30)
    assert len(said) == 1
    assert "soak green at 5 %" in said[0]


def test_only_a_promotion_that_is_under_way_can_be_aborted(shop: World) -> None:
    with pytest.raises(errors.UsageError, match="no promotion is under way"):
        abort(shop.stack, reason="no", actor=PERSON)
    finish(shop)
    with pytest.raises(errors.UsageError, match="no promotion is under way"):
        abort(shop.stack, reason="no", actor=PERSON)
    assert shop.stack.ledger.pointer().frozen is None


def test_a_freeze_holds_a_promotion_where_it_is(shop: World) -> None:
    soak(shop)
    freeze(shop.stack, reason="audit", actor=PERSON)
    for _ in range(2):
        shop.tick(MINUTE)
        with pytest.raises(errors.PolicyRefused, match="audit"):
            promote(shop.stack, actor=ACTOR)
        assert weights(shop)["green"] == 5
    unfreeze(shop.stack, reason="it is over", actor=PERSON)
    finish(shop)
    assert resolve(shop.stack).dartifact == newest(shop).dartifact_id


# Rollbacks in between


@pytest.mark.both_databases
def test_a_rollback_during_a_soak_ends_the_promotion_and_sends_everybody_to_what_returns(shop: World) -> None:
    finish(shop)
    offer(shop, 3)
    soak(shop, looks=2)
    first = shop.events("DartifactLive")[0].dartifact_id
    assert "abort" in preview_rollback(shop.stack).note
    done = roll_back(shop.stack, cause=Cause(every_run=True), reason="now", actor=PERSON)
    assert done.returns == first
    assert {resolve(shop.stack, name).dartifact for name in NAMES} == {first}
    assert shop.stack.ledger.pointer().plan is None
    assert shop.stack.ledger.promotions(state=PromotionState.RUNNING) == ()
    assert shop.lake.read_json(f"{PRODUCTION}@", FENCE)["wanted"] == resolve(shop.stack).commit


@pytest.mark.both_databases
def test_two_rollbacks_go_two_dartifacts_back(shop: World) -> None:
    shop.with_policy(soak=timedelta(0))
    finish(shop)
    offer(shop, 3)
    finish(shop)
    served = [event.dartifact_id for event in shop.events("DartifactLive")]
    first = roll_back(shop.stack, cause=Cause(every_run=True), reason="one", actor=PERSON)
    second = roll_back(shop.stack, cause=Cause(every_run=True), reason="two", actor=PERSON)
    assert (first.warm, first.returns) == (True, served[1])
    assert (second.warm, second.returns) == (False, served[0])
    assert resolve(shop.stack).dartifact == served[0]
    assert {shop.stack.ledger.dartifact(name or "").state for name in served[1:]} == {DartifactState.BAD}


def test_a_cold_rollback_with_the_lake_down_changes_nothing(shop: World) -> None:
    shop.with_policy(soak=timedelta(0))
    finish(shop)
    offer(shop, 3)
    finish(shop)
    first = shop.events("DartifactLive")[0].dartifact_id
    before = resolve(shop.stack)
    down = replace(shop.stack, lake=Lake(LakeAccess("http://127.0.0.1:9", "k", "s"), shop.lake.repository))
    with pytest.raises(errors.LakeUnavailable):
        roll_back(down, first, reason="now", actor=PERSON)
    assert resolve(shop.stack).commit == before.commit
    done = roll_back(shop.stack, first, reason="now", actor=PERSON)  # asked again, with the lake back
    assert (done.returns, resolve(shop.stack).dartifact) == (first, first)
