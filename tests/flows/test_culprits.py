"""Staging finds who turned a build red, on the real lake: code or data, and which run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.adapters.transform.project_code import digest_code
from dartifact.cli.text.status import format_status
from dartifact.commands.production.promote import promote
from dartifact.commands.production.resolution import resolve
from dartifact.commands.stack import Stack
from dartifact.commands.staging import builds
from dartifact.commands.staging.stage import stage
from dartifact.documents.status import describe_status
from dartifact.domain import errors
from dartifact.domain.dartifacts import Blame, BlameKind, Dartifact, DartifactState
from dartifact.domain.runs import Phase
from tests.conftest import PROJECT
from tests.support.sources import customer, order
from tests.support.world import World

TOO_BIG = "-- no order is above 50,000\nselect * from staging.stg_orders where amount > 50000\n"


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Iterator[World]:
    """Return a world that is live with one order, on a project of its own with one more integration test."""
    project = tmp_path / "project"
    for folder in ("checks", "dbt"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "checks" / "integration" / "not_too_big.sql").write_text(TOO_BIG)
    world.place("customers", customer(1))
    world.place("orders", order(1))
    with world.stack.dbt.of_project(project / "dbt", tmp_path / "work") as dbt:
        world.stack = replace(world.stack, project=project, dbt=dbt)
        assert stage(world.stack, actor="test").state is DartifactState.GREEN
        assert promote(world.stack, actor="test") is not None
        yield world


def break_model(stack: Stack) -> None:
    """Join orders and customers on the wrong column, so that dbt cannot build the mart."""
    model = stack.project / "dbt" / "models" / "marts" / "customer_statistics.sql"
    text = model.read_text()
    model.write_text(
        text.replace("customers.customer_id = orders.customer_id", "customers.customer_number = orders.id")
    )
    assert model.read_text() != text


def red_one(world: World) -> Dartifact:
    (red,) = world.stack.ledger.dartifacts(states=(DartifactState.RED,))
    return red


def count_builds(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the list that each build of the stack's own dbt is added to."""
    built: list[Path] = []
    original = world.stack.dbt.build

    def build(folder: Path) -> object:
        built.append(folder)
        return original(folder)

    monkeypatch.setattr(world.stack.dbt, "build", build)
    return built


def test_a_broken_model_is_refused_and_data_flows_past_with_the_last_good_code(shop: World) -> None:
    good, before = shop.stack.ledger.dartifacts()[0], resolve(shop.stack)
    break_model(shop.stack)
    broken = digest_code(shop.stack.project)
    new = shop.place("orders", order(2))
    steps: list[str] = []

    def run(name: str, step: Callable[[], object]) -> object:
        steps.append(name)
        return step()

    made = stage(shop.stack, actor="test", runner=run)  # type: ignore[arg-type]
    red = red_one(shop)
    assert red.code_digest == broken
    assert f"the culprit is code: it also fails on the data of {good.dartifact_id}" in red.reasons[-1]
    assert Blame(BlameKind.CODE, broken) in shop.stack.ledger.blames()
    assert [event.dartifact_id for event in shop.events("CodeRefused")] == [red.dartifact_id]
    assert any(f"are blocked: build with the code of {good.dartifact_id}" in step for step in steps)
    assert shop.stack.ledger.pending_reverts() == ()
    assert resolve(shop.stack) == before

    assert (made.state, made.code_digest) == (DartifactState.GREEN, good.code_digest)
    assert new.run_id in made.runs
    refused = (made.passport or {})["refused"]
    assert (refused["code"], refused["built_with"]) == (broken, good.dartifact_id)
    assert "customer_statistics" in refused["why"]
    assert promote(shop.stack, actor="test") is not None
    assert resolve(shop.stack).dartifact == made.dartifact_id
    packed = shop.lake.read_bytes(f"{PRODUCTION}@", "_dartifact/code.tar")
    assert packed == shop.lake.read_bytes(good.commit or "", "_dartifact/code.tar")
    shown = format_status(describe_status(shop.stack))
    assert "current dbt/ and checks/ are blocked: dbt model customer_statistics" in shown
    assert f"built with the code of {made.dartifact_id}" in shown

    # The refused code is not built again; nor is anything of the searches left.
    third = shop.place("orders", order(3))
    assert third.run_id in stage(shop.stack, actor="test").runs
    assert red_one(shop) == red
    assert [each.name for each in shop.stack.home.iterdir() if each.name.startswith(("probe-", "build-"))] == []
    assert shop.lake.list_branches("build-") == ()

    # Code that changes is tried again by itself.
    shutil.copy(PROJECT / "dbt/models/marts/customer_statistics.sql", shop.stack.project / "dbt/models/marts")
    again = stage(shop.stack, actor="test")
    assert (again.state, again.code_digest) == (DartifactState.GREEN, good.code_digest)
    assert "blocked" not in format_status(describe_status(shop.stack))


def test_the_run_that_turns_the_build_red_is_reverted_and_the_others_flow_past(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [shop.place("orders", order(10 + number)) for number in range(2)]
    guilty = shop.place("orders", order(20, amount=Decimal(60_000)))
    runs += [shop.place("orders", order(30 + number)) for number in range(2)]
    built = count_builds(shop, monkeypatch)
    red = stage(shop.stack, actor="test")
    assert red.state is DartifactState.RED
    assert f"the culprit is data: first fails when {guilty.run_id} is included" in red.reasons[-1]
    assert len(built) - 1 == shop.events("DartifactRed")[-1].payload["culprit"]["probes"] <= 4
    assert not [blame for blame in shop.stack.ledger.blames() if blame.kind is BlameKind.CODE]
    (pending,) = shop.stack.ledger.pending_reverts()
    assert pending.run_id == guilty.run_id
    assert [event.actor for event in shop.events("RevertRequested")] == ["policy:stage"]

    assert shop.integrate().reverted == [guilty.run_id]
    taken_out = shop.run(guilty)
    assert taken_out.phase is Phase.REVERTED
    assert "no order is above 50,000" in taken_out.reasons[0]
    green = stage(shop.stack, actor="test")
    assert green.state is DartifactState.GREEN, green.reasons
    assert {run.run_id for run in runs} <= set(green.runs)
    assert guilty.run_id not in green.runs


def test_where_policy_says_so_the_guilty_run_is_named_and_nothing_more(shop: World) -> None:
    guilty = shop.place("orders", order(20, amount=Decimal(60_000)))
    shop.with_policy(revert_culprits=False)
    assert guilty.run_id in stage(shop.stack, actor="test").reasons[-1]
    assert shop.stack.ledger.pending_reverts() == ()


def test_a_revert_that_turns_the_build_red_is_named_as_a_removal(shop: World) -> None:
    (shop.stack.project / "checks" / "integration" / "first.sql").write_text(
        "-- order 1 is there\nselect 1 where not exists (from staging.stg_orders where order_id = 1)\n"
    )
    first = shop.stack.ledger.runs(source="orders")[0]
    shop.place("orders", order(2))
    assert stage(shop.stack, actor="test").state is DartifactState.GREEN
    shop.request_revert(first)
    shop.integrate()
    red = stage(shop.stack, actor="test")
    assert f"passes with {first.run_id}, which was taken out of main, and fails without it" in red.reasons[-1]
    assert shop.events("DartifactRed")[-1].payload["culprit"]["kind"] == "removal"


def test_what_cannot_be_told_blames_nobody_and_a_retry_builds_again(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sql_checks = builds.run_sql_checks
    weather = shop.stack.home / "it-rains"
    weather.mkdir()
    (weather / "rain.sql").write_text("-- it rains\nselect 1\n")
    monkeypatch.setattr(
        builds, "run_sql_checks", lambda folder, checks: run_sql_checks(folder, weather if weather.exists() else checks)
    )
    shop.place("orders", order(2))
    red = stage(shop.stack, actor="test")
    assert red.state is DartifactState.RED
    assert "cause undetermined" in red.reasons[-1]
    assert "red when rebuilt" in red.reasons[-1]
    assert (shop.stack.ledger.blames(), shop.stack.ledger.pending_reverts()) == ((), ())
    shutil.rmtree(weather)
    assert stage(shop.stack, actor="test") == red
    again = stage(shop.stack, actor="test", retry=True)
    assert (again.dartifact_id, again.state) == (red.dartifact_id, DartifactState.GREEN)


def test_a_retry_forgets_that_the_code_was_refused(shop: World) -> None:
    break_model(shop.stack)
    stage(shop.stack, actor="test")
    red = red_one(shop)
    assert "2 probe builds" not in red.reasons[-1]  # without new data, only the old code is asked
    stage(shop.stack, actor="test", retry=True)
    assert [event.type for event in shop.events("CodeRefused", "CodeRefusalForgotten", "DartifactRetried")] == [
        "CodeRefused",
        "CodeRefusalForgotten",
        "DartifactRetried",
        "CodeRefused",
    ]


def test_code_that_was_never_green_cannot_be_told_from_its_data(world: World, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "checks", project / "checks")
    (project / "checks" / "integration" / "never.sql").write_text("-- there are no orders\nselect * from raw.orders\n")
    world.place("customers", customer(1))
    world.place("orders", order(1))
    red = stage(replace(world.stack, project=project), actor="test")
    assert red.reasons[-1] == "cause undetermined (code or data): no dartifact was green before (0 probe builds)"
    with world.stack.ledger.write() as tx:
        tx.dartifacts.add_blame(Blame(BlameKind.CODE, red.code_digest))
    with pytest.raises(errors.PolicyRefused, match="no dartifact was green with others"):
        stage(replace(world.stack, project=project), actor="test")


def test_a_search_that_is_killed_is_made_again(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    guilty = shop.place("orders", order(20, amount=Decimal(60_000)))
    shop.place("orders", order(21))
    built = count_builds(shop, monkeypatch)
    build = shop.stack.dbt.build

    def die(folder: Path) -> object:
        if len(built) == 2:
            raise KeyboardInterrupt
        return build(folder)

    with monkeypatch.context() as patch:
        patch.setattr(shop.stack.dbt, "build", die)
        with pytest.raises(KeyboardInterrupt):
            stage(shop.stack, actor="test")
    assert shop.stack.ledger.dartifacts()[0].state is DartifactState.BUILDING
    assert shop.stack.ledger.pending_reverts() == ()
    assert guilty.run_id in stage(shop.stack, actor="test").reasons[-1]


def test_a_changed_model_is_staged_without_new_data(shop: World) -> None:
    first = shop.stack.ledger.dartifacts()[0]
    model = shop.stack.project / "dbt" / "models" / "marts" / "orders_by_country.sql"
    model.write_text("select country, sum(orders) as orders from {{ ref('customer_statistics') }} group by country\n")
    second = stage(shop.stack, actor="test")
    assert second.dartifact_id != first.dartifact_id
    assert second.main_commit == first.main_commit
    assert (second.passport or {})["marts"]["orders_by_country"]["rows"] == 1
