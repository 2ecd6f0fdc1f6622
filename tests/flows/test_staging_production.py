"""Staging and production on real systems: dartifacts, promotion, resolve, rollback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.lake import PRODUCTION, STAGING, Lake
from dartifact.adapters.tables import duck
from dartifact.adapters.transform.project_code import digest_code
from dartifact.commands.production import steps
from dartifact.commands.production.promote import promote
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.rollback_preview import preview_rollback
from dartifact.commands.production.steps import StepContext
from dartifact.commands.production.under_way import find_under_way, unfreeze
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.stack import Stack
from dartifact.commands.staging.assembly import Inputs, build_dartifact
from dartifact.commands.staging.stage import stage
from dartifact.commands.upkeep.doctor_stores import look_at_code
from dartifact.commands.upkeep.findings import Unwell
from dartifact.domain import errors
from dartifact.domain.dartifacts import Cause, Dartifact, DartifactState
from dartifact.domain.plans import PromotionState, StepKind
from dartifact.domain.runs import Phase, Run
from tests.conftest import PROJECT
from tests.support.models import with_real_dbt
from tests.support.sources import customer, order
from tests.support.world import World

T = TypeVar("T")

FENCE = "_dartifact/published.json"


def deliver(world: World, *amounts: int) -> tuple[Run, Dartifact]:
    """Land one run of orders with these amounts, stage and promote it, without soaks."""
    first = 1 + sum(run.rows or 0 for run in world.stack.ledger.runs(source="orders"))
    rows = [order(number, amount=Decimal(amount)) for number, amount in enumerate(amounts, start=first)]
    run = world.place("orders", *rows)
    dartifact = stage(world.stack, actor="test")
    assert dartifact.state is DartifactState.GREEN, dartifact.reasons
    assert promote(world.stack, actor="test") is not None
    return world.run(run), world.stack.ledger.dartifact(dartifact.dartifact_id)


def promote_through(world: World) -> None:
    """Promote as the schedule does, a minute after the other, until nothing is under way."""
    promote(world.stack, actor="test")
    while find_under_way(world.stack):
        world.tick(timedelta(minutes=1))
        promote(world.stack, actor="test")


@pytest.fixture
def shop(world: World) -> World:
    """Return a world in which one customer is in `main`."""
    world.place("customers", customer(1))
    return world


def revenue(world: World, commit: str) -> Decimal:
    """Sum the revenue that a commit of production shows."""
    objects = world.lake.list_objects(commit, "marts/customer_statistics")
    with duck.connect() as connection:
        duck.create_view(connection, "mart", world.lake.locate(commit, objects), world.lake.access)
        row = connection.execute("SELECT sum(revenue) FROM mart").fetchone()
    assert row is not None
    return Decimal(row[0])


def test_an_empty_main_cannot_be_staged(world: World) -> None:
    with pytest.raises(errors.UsageError, match="no data yet"):
        stage(world.stack, actor="test")


@with_real_dbt
def test_a_dartifact_carries_its_passport_marts_and_code(shop: World) -> None:
    run = shop.place("orders", order(1))
    dartifact = stage(shop.stack, actor="test")
    assert dartifact.state is DartifactState.GREEN
    head = shop.lake.head(STAGING).commit_id
    paths = {each.path for each in shop.lake.list_objects(head)}
    assert paths == {FENCE, "_dartifact/passport.json", "_dartifact/code.tar", "marts/customer_statistics.parquet"}
    passport = shop.lake.read_json(head, "_dartifact/passport.json")
    assert passport["dartifact"] == dartifact.dartifact_id
    assert run.run_id in passport["runs"]
    assert passport["main"]["commit"] == shop.head.commit_id
    assert passport["marts"]["customer_statistics"]["rows"] == 1
    assert shop.lake.read_json(head, FENCE)["wanted"] == dartifact.commit


def test_the_same_inputs_are_the_same_dartifact_and_are_not_built_again(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("orders", order(1))
    first = stage(shop.stack, actor="test")
    head = shop.lake.head(STAGING)
    monkeypatch.setattr(shop.stack.dbt, "build", lambda _: pytest.fail("it was built again"))
    assert stage(shop.stack, actor="test") == first
    assert shop.lake.head(STAGING) == head


def test_a_changed_model_is_another_dartifact_without_new_data(shop: World, tmp_path: Path) -> None:
    shop.place("orders", order(1))
    first = stage(shop.stack, actor="test")
    changed = copy_project(tmp_path)
    model = changed / "checks" / "integration" / "one_more.sql"
    model.write_text("-- nothing is wrong\nselect 1 where false\n")
    second = stage(replace(shop.stack, project=changed), actor="test")
    assert second.dartifact_id != first.dartifact_id
    assert second.main_commit == first.main_commit
    assert second.state is DartifactState.GREEN


def test_a_failing_integration_test_makes_a_red_dartifact_that_is_not_promoted(shop: World, tmp_path: Path) -> None:
    shop.place("orders", order(1))
    broken = copy_project(tmp_path)
    (broken / "checks" / "integration" / "never.sql").write_text("-- there are no orders\nselect * from raw.orders\n")
    stack = replace(shop.stack, project=broken)
    before = shop.lake.head(STAGING)
    dartifact = stage(stack, actor="test")
    assert dartifact.state is DartifactState.RED
    assert any("there are no orders" in reason or "never" in reason for reason in dartifact.reasons)
    assert shop.lake.head(STAGING) == before
    assert promote(stack, actor="test") is None


def test_code_that_changes_during_the_build_is_refused(
    shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("orders", order(1))
    project = copy_project(tmp_path)
    build = shop.stack.dbt.build

    def edit_meanwhile(folder: Path) -> object:
        (project / "checks" / "integration" / "late.sql").write_text("-- late\nselect 1 where false\n")
        return build(folder)

    monkeypatch.setattr(shop.stack.dbt, "build", edit_meanwhile)
    stack = replace(shop.stack, project=project)
    with pytest.raises(errors.Conflict, match="changed during the build"):
        stage(stack, actor="test")
    monkeypatch.undo()
    assert stage(stack, actor="test").state is DartifactState.GREEN


def test_a_build_killed_before_it_was_recorded_is_finished_by_the_next(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("orders", order(1))
    tag = shop.lake.tag
    monkeypatch.setattr(shop.lake, "tag", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stage(shop.stack, actor="test")
    monkeypatch.setattr(shop.lake, "tag", tag)
    (left,) = shop.stack.ledger.dartifacts()
    assert left.state is DartifactState.BUILDING
    assert stage(shop.stack, actor="test").state is DartifactState.GREEN


def test_promotion_moves_readers_and_runs_become_live(shop: World) -> None:
    run, dartifact = deliver(shop, 10, 20)
    assert run.phase is Phase.LIVE
    assert dartifact.state is DartifactState.LIVE
    plain, named = resolve(shop.stack), resolve(shop.stack, "dashboard")
    assert plain.commit == named.commit
    assert revenue(shop, plain.commit) == 30
    shown = shop.lake.head(PRODUCTION)
    assert shop.lake.read_json(shown.commit_id, FENCE)["wanted"] == plain.commit
    changed = shop.lake.diff(dartifact.commit or "", shown.commit_id)
    assert [change.path for change in changed] == [FENCE]


def test_promotion_alternates_slots_and_supersedes(shop: World) -> None:
    _, first = deliver(shop, 10)
    _, second = deliver(shop, 20)
    pointer = shop.stack.ledger.pointer()
    assert {name: slot.dartifact for name, slot in pointer.slots.items()} == {
        "blue": first.dartifact_id,
        "green": second.dartifact_id,
    }
    assert pointer.active == "green"
    assert dict(pointer.weights) == {"blue": 0, "green": 100}
    assert shop.stack.ledger.dartifact(first.dartifact_id).state is DartifactState.SUPERSEDED
    assert promote(shop.stack, actor="test") is None


@pytest.mark.parametrize("kind", list(StepKind))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_killed_at_any_step_is_finished_by_the_next(
    shop: World, monkeypatch: pytest.MonkeyPatch, kind: StepKind, when: str
) -> None:
    deliver(shop, 10)
    shop.place("orders", order(2, amount=Decimal(20)))
    dartifact = stage(shop.stack, actor="test")
    shop.with_policy(weights=(5, 100), soak=timedelta(minutes=1))
    original = steps.perform

    def die(context: StepContext) -> None:
        if context.step.kind is kind and when == "before":
            raise KeyboardInterrupt
        original(context)
        if context.step.kind is kind:
            raise KeyboardInterrupt

    monkeypatch.setattr(steps, "perform", die)
    with pytest.raises(KeyboardInterrupt):
        promote_through(shop)
    monkeypatch.undo()
    reader = resolve(shop.stack).commit
    assert revenue(shop, reader) in (10, 30)  # never half of it

    promote_through(shop)
    pointer = shop.stack.ledger.pointer()
    assert pointer.live == dartifact.dartifact_id
    assert pointer.plan is None
    assert revenue(shop, resolve(shop.stack).commit) == 30
    assert shop.lake.read_json(f"{PRODUCTION}@", FENCE)["wanted"] == pointer.settled
    assert shop.stack.ledger.promotions(state=PromotionState.RUNNING) == ()
    assert shop.stack.ledger.open_intents() == ()


def test_a_red_smoke_test_leaves_production_alone_and_makes_the_dartifact_bad(shop: World, tmp_path: Path) -> None:
    deliver(shop, 10)
    before = resolve(shop.stack)
    shop.place("orders", order(2))
    dartifact = stage(shop.stack, actor="test")
    probes = tmp_path / "project" / "checks" / "probes"
    probes.mkdir(parents=True)
    (probes / "dashboard.sql").write_text("select nothing from marts.customer_statistics")
    with pytest.raises(errors.Aborted, match="smoke test"):
        promote(replace(shop.stack, project=tmp_path / "project"), actor="test")
    after = resolve(shop.stack)
    assert (after.commit, after.slot) == (before.commit, before.slot)
    assert shop.stack.ledger.dartifact(dartifact.dartifact_id).state is DartifactState.BAD
    assert shop.stack.ledger.pointer().plan is None
    assert promote(shop.stack, actor="test") is None


def test_rollback_answers_the_old_commit_and_takes_the_blamed_run_out_of_main(shop: World) -> None:
    deliver(shop, 10)
    old = resolve(shop.stack, "dashboard")
    guilty, bad = deliver(shop, 1000)
    shown = preview_rollback(shop.stack, cause=Cause((guilty.run_id,)))
    assert (shown.leaves, shown.commit, shown.warm) == (bad.dartifact_id, old.commit, True)
    assert shown.runs_out == shown.reverts == (guilty.run_id,)
    assert resolve(shop.stack, "dashboard").commit != old.commit  # a preview does nothing

    done = roll_back(shop.stack, cause=Cause((guilty.run_id,)), reason="too big", actor="person:test")
    assert done.published
    assert resolve(shop.stack, "dashboard").commit == old.commit
    assert shop.lake.read_json(f"{PRODUCTION}@", FENCE)["wanted"] == old.commit
    assert shop.stack.ledger.dartifact(bad.dartifact_id).state is DartifactState.BAD
    assert shop.integrate().reverted == [guilty.run_id]
    assert guilty.run_id not in shop.runs_in_main()
    assert shop.run(guilty).phase is Phase.REVERTED
    assert [run_id for _, run_id in shop.stack.ledger.gaps()] == [guilty.run_id]


def test_after_a_rollback_the_same_content_is_known_and_new_data_goes_on_without_the_blamed_run(shop: World) -> None:
    deliver(shop, 10)
    guilty, _ = deliver(shop, 1000)
    roll_back(shop.stack, cause=Cause((guilty.run_id,)), reason="too big", actor="person:test")
    shop.integrate()
    again = stage(shop.stack, actor="test")
    assert again.dartifact_id == shop.stack.ledger.pointer().live  # main's rows are those that are live
    assert promote(shop.stack, actor="test") is None
    deliver(shop, 5)
    assert revenue(shop, resolve(shop.stack).commit) == 15


def test_a_dartifact_that_contains_a_blamed_run_is_refused(shop: World) -> None:
    deliver(shop, 10)
    guilty, _ = deliver(shop, 1000)
    shop.place("orders", order(7))
    waiting = stage(shop.stack, actor="test")
    assert guilty.run_id in waiting.runs
    roll_back(shop.stack, cause=Cause((guilty.run_id,)), reason="too big", actor="person:test")
    with pytest.raises(errors.PolicyRefused, match=guilty.run_id):
        promote(shop.stack, actor="test")


def test_unknown_blame_freezes_promotions_until_a_person_says(shop: World) -> None:
    deliver(shop, 10)
    deliver(shop, 20)
    roll_back(shop.stack, reason="something is odd", actor="person:test")
    shop.place("orders", order(9))
    stage(shop.stack, actor="test")
    with pytest.raises(errors.PolicyRefused, match="something is odd"):
        promote(shop.stack, actor="test")
    unfreeze(shop.stack, reason="it was the weather", actor="person:test")
    assert promote(shop.stack, actor="test") is not None


def test_blamed_code_is_stood_in_for_by_the_last_good_one_and_other_code_is_not(shop: World, tmp_path: Path) -> None:
    deliver(shop, 10)
    changed = copy_project(tmp_path)
    (changed / "checks" / "integration" / "extra.sql").write_text("-- nothing\nselect 1 where false\n")
    stack = replace(shop.stack, project=changed)
    stage(stack, actor="test")
    promote(stack, actor="test")
    roll_back(stack, cause=Cause(code=True), reason="wrong formula", actor="person:test")
    shop.place("orders", order(9))
    made = stage(stack, actor="test")
    assert made.code_digest == digest_code(PROJECT)
    assert (made.passport or {})["refused"]["why"] == "rolled back: wrong formula"
    assert promote(stack, actor="test") is not None
    assert stage(shop.stack, actor="test").dartifact_id == made.dartifact_id


def test_a_cold_rollback_publishes_the_older_dartifact_first(shop: World) -> None:
    _, first = deliver(shop, 10)
    deliver(shop, 20)
    deliver(shop, 40)
    done = roll_back(shop.stack, first.dartifact_id, reason="back to the start", actor="person:test")
    assert not done.warm
    assert revenue(shop, resolve(shop.stack).commit) == 10
    assert shop.stack.ledger.pointer().live == first.dartifact_id


def test_a_cold_rollback_that_dies_before_its_first_step_leaves_nothing_under_way(shop: World) -> None:
    _, first = deliver(shop, 10)
    deliver(shop, 20)
    deliver(shop, 40)
    before = shop.stack.ledger.pointer()

    def die(name: str, step: Callable[[], T], /) -> T:
        raise KeyboardInterrupt(name)

    with pytest.raises(KeyboardInterrupt):
        roll_back(shop.stack, first.dartifact_id, reason="back to the start", actor="person:test", runner=die)
    assert find_under_way(shop.stack) is None
    assert shop.stack.ledger.pointer() == before


def test_a_rollback_ends_a_promotion_under_way(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(shop, 10)
    old = resolve(shop.stack)
    deliver(shop, 20)
    shop.place("orders", order(5))
    stage(shop.stack, actor="test")
    original = steps.smoke_test

    def roll_back_meanwhile(*args: object) -> object:
        monkeypatch.undo()
        roll_back(shop.stack, cause=Cause(every_run=True), reason="now", actor="person:test")
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "smoke_test", roll_back_meanwhile)
    # The slot that holds the old dartifact was claimed by the promotion, so this rollback is a cold one.
    with pytest.raises(errors.Aborted, match="stopped before"):
        promote(shop.stack, actor="test")
    assert shop.stack.ledger.pointer().live == old.dartifact
    assert revenue(shop, resolve(shop.stack).commit) == 10


def test_rollback_moves_readers_with_the_lake_down_and_production_follows_later(shop: World) -> None:
    deliver(shop, 10)
    old = resolve(shop.stack)
    deliver(shop, 20)
    down = replace(shop.stack, lake=Lake(LakeAccess("http://127.0.0.1:9", "k", "s"), shop.lake.repository))
    done = roll_back(down, cause=Cause(every_run=True), reason="now", actor="person:test")
    assert not done.published
    assert "when the lake answers" in done.note
    assert resolve(down).commit == old.commit
    assert shop.lake.read_json(f"{PRODUCTION}@", FENCE)["wanted"] != old.commit
    reconcile(shop.stack)
    assert shop.lake.read_json(f"{PRODUCTION}@", FENCE)["wanted"] == old.commit


def test_nothing_to_roll_back_to_is_said(shop: World) -> None:
    with pytest.raises(errors.UsageError, match="nothing is live"):
        preview_rollback(shop.stack)
    deliver(shop, 10)
    with pytest.raises(errors.UsageError, match="no dartifact that served before"):
        preview_rollback(shop.stack)
    with pytest.raises(errors.UsageError, match="is not in production"):
        preview_rollback(shop.stack, cause=Cause(("orders-dan-20210101T0005Z-999",)))


def test_staging_reads_through_the_gateway_when_the_store_is_elsewhere(shop: World) -> None:
    shop.place("orders", order(1, amount=Decimal(7)))
    access = replace(shop.lake.access, gateway_only=True)
    remote = replace(shop.stack, lake=Lake(access, shop.lake.repository))
    dartifact = stage(remote, actor="test")
    assert dartifact.state is DartifactState.GREEN
    assert promote(remote, actor="test") is not None
    assert revenue(shop, resolve(remote).commit) == 7


def test_two_builds_of_the_same_inputs_are_byte_identical(shop: World, make_lake: Callable[[], Lake]) -> None:
    shop.place("orders", order(1), order(2))
    first = stage(shop.stack, actor="test")
    objects = shop.lake.list_objects(shop.head.commit_id, "raw/")
    inputs = Inputs(shop.head, objects, digest_code(PROJECT))
    with shop.stack.ledger.write() as tx:
        tx.dartifacts.add("dagain", code_digest="x", main_commit=shop.head.commit_id, runs=(), actor="test")
    build_dartifact(shop.stack, "dagain", inputs, None, "test")
    again = shop.stack.ledger.dartifact("dagain")
    assert json.dumps((again.passport or {})["marts"]) == json.dumps((first.passport or {})["marts"])


def copy_project(tmp_path: Path) -> Path:
    """Copy what the code of a dartifact is."""
    project = tmp_path / "project"
    for folder in ("checks", "dbt"):
        shutil.copytree(PROJECT / folder, project / folder)
    return project


# Two checkouts on one line


@pytest.fixture
def checkouts(shop: World, tmp_path: Path) -> tuple[Stack, Stack]:
    """Return two stations of one line: that of the checkout, and one whose code has a comment more."""
    shop.place("orders", order(1))
    other = copy_project(tmp_path)
    (other / "checks" / "integration" / "more.sql").write_text("-- nothing is wrong\nselect 1 where false\n")
    return shop.stack, replace(shop.stack, project=other)


def codes(stack: Stack) -> list[str]:
    return [each.payload["code"][:12] for each in stack.ledger.events(type="CodeChanged")]


def test_two_checkouts_do_not_take_production_to_and_fro(shop: World, checkouts: tuple[Stack, Stack]) -> None:
    one, other = checkouts
    digests = [digest_code(stack.project)[:12] for stack in checkouts]
    stage(one, actor="policy:stage")
    newest = stage(replace(other, ledger=other.ledger.used_from("Prefect on b")), actor="policy:stage").dartifact_id
    assert promote(shop.stack, actor="test") is not None
    for rows in ((), (customer(7),), ()):  # also where there is something new to build
        for row in rows:
            shop.place("customers", row)
        with pytest.raises(errors.PolicyRefused) as refused:
            stage(one, actor="policy:stage")
        assert digests[0] in refused.value.message
        assert f"the line went over to {digests[1]} on" in refused.value.message
        assert "(policy:stage, Prefect on b)" in refused.value.message
        assert "dartifact stage --code" in str(refused.value.hint)
        last = stage(other, actor="policy:stage")
        assert last.code_digest.startswith(digests[1])
    assert promote(shop.stack, actor="test") is not None
    assert shop.stack.ledger.pointer().live == last.dartifact_id != newest
    assert codes(one) == digests


def test_a_person_lets_the_line_go_back_to_an_older_code(checkouts: tuple[Stack, Stack]) -> None:
    one, other = checkouts
    first = stage(one, actor="policy:stage")
    stage(other, actor="policy:stage")
    assert stage(one, actor="person:ann", go_over=True).dartifact_id == first.dartifact_id
    assert stage(one, actor="policy:stage").dartifact_id == first.dartifact_id
    with pytest.raises(errors.PolicyRefused, match=r"\(person:ann, "):
        stage(other, actor="policy:stage")


def test_a_code_that_was_red_is_not_what_the_line_goes_over_to(checkouts: tuple[Stack, Stack]) -> None:
    one, other = checkouts
    stage(one, actor="policy:stage")
    (other.project / "checks" / "integration" / "never.sql").write_text("-- no orders\nselect * from raw.orders\n")
    assert stage(other, actor="policy:stage").code_digest == digest_code(one.project)
    assert stage(one, actor="policy:stage").state is DartifactState.GREEN
    assert codes(one) == [digest_code(one.project)[:12]]


def test_after_a_code_was_found_guilty_the_one_before_it_is_staged_again(
    shop: World, checkouts: tuple[Stack, Stack]
) -> None:
    one, other = checkouts
    for stack in checkouts:
        stage(stack, actor="policy:stage")
        promote(stack, actor="test")
    roll_back(shop.stack, None, Cause.parse(["code"]), reason="wrong", actor="ann")
    shop.place("customers", customer(7))
    assert stage(one, actor="policy:stage").code_digest == digest_code(one.project)
    assert stage(other, actor="policy:stage").code_digest == digest_code(one.project)


def test_the_doctor_names_a_checkout_that_was_forgotten(checkouts: tuple[Stack, Stack]) -> None:
    one, other = checkouts
    assert "the line" not in look_at_code(one.ledger, one.project)
    stage(one, actor="policy:stage")
    assert "the new code" in look_at_code(one.ledger, other.project)
    stage(other, actor="policy:stage")
    assert look_at_code(one.ledger, other.project).endswith("as the line")
    with pytest.raises(Unwell, match="the line went over to"):
        look_at_code(one.ledger, one.project)
