"""A mart that goes or shrinks is a decision: shown, approved for that dartifact or declared, then promoted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dartifact.commands.gates.losses import find_losses
from dartifact.commands.production.approvals import approve_dartifact
from dartifact.commands.production.promote import promote
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.staging.stage import stage
from dartifact.commands.upkeep.notify import compose
from dartifact.domain import errors
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.decisions import Decision
from tests.support.models import ModelBuilder
from tests.support.sources import customer
from tests.support.world import World

ACTOR = "test"
EXTRA = "select customer_id from {{ ref('stg_customers') }}\n"


@pytest.fixture
def project(world: World, tmp_path: Path) -> Path:
    """Give the world a project of its own that can be edited; return its folder of marts."""
    folder = tmp_path / "project"
    for part in ("checks", "dbt"):
        for path in (world.stack.project / part).rglob("*"):
            if path.is_file() and not {"target", "logs", "probes"} & {*path.parts}:
                target = folder / path.relative_to(world.stack.project)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    world.stack = replace(world.stack, project=folder, dbt=ModelBuilder(folder / "dbt"), _contracts={})
    return folder


def deliver(world: World) -> str:
    name = stage(world.stack, actor=ACTOR).dartifact_id
    promote(world.stack, actor=ACTOR)
    return name


@pytest.fixture
def extra(world: World, project: Path) -> Path:
    """Promote a mart `extra`, then delete its model and build again; return the folder of the project."""
    model = project / "dbt" / "models" / "marts" / "extra.sql"
    model.write_text(EXTRA)
    world.place("customers", customer(1))
    deliver(world)
    model.unlink()
    return project


def test_a_mart_that_goes_waits_for_a_person_and_is_no_fault(world: World, extra: Path) -> None:
    live = world.stack.ledger.pointer().live
    smaller = stage(world.stack, actor=ACTOR)
    assert [str(loss) for loss in find_losses(world.stack, smaller)] == ["removes extra, 1 row"]
    message = compose(world.events())[-1]
    assert (message.title, "it removes extra, 1 row" in message.body) == (
        f"dartifact {smaller.dartifact_id} waits for 1 approvals",
        True,
    )
    for _ in range(2):
        with pytest.raises(errors.PolicyRefused, match="0 of the 1 approvals that it needs: it removes extra, 1 row"):
            promote(world.stack, actor=ACTOR)
    assert world.stack.ledger.dartifact(smaller.dartifact_id).state is DartifactState.GREEN
    assert world.stack.ledger.pointer().live == live

    approve_dartifact(world.stack, smaller.dartifact_id, Decision("person:ann", "nobody reads it"))
    promote(world.stack, actor=ACTOR)
    assert world.stack.ledger.pointer().live == smaller.dartifact_id
    report = world.stack.ledger.report(world.events("SlotSmoked")[-1].payload["report"])
    assert report is not None
    [warned] = [result for result in report.results if result.check == "smoke.extra.rows"]
    assert (warned.outcome.value, warned.message) == (
        "warned",
        "extra is missing; production has it with 1 rows, as was decided",
    )
    # the next data needs nobody
    world.place("customers", customer(2))
    assert deliver(world) == world.stack.ledger.pointer().live


def test_an_approval_is_of_that_dartifact_only(world: World, extra: Path) -> None:
    first = stage(world.stack, actor=ACTOR)
    approve_dartifact(world.stack, first.dartifact_id, Decision("person:ann", "nobody reads it"))
    world.place("customers", customer(2))
    second = stage(world.stack, actor=ACTOR)
    with pytest.raises(errors.PolicyRefused, match=f"{second.dartifact_id} has 0 of the 1"):
        promote(world.stack, second.dartifact_id, actor=ACTOR)


def test_a_declared_removal_needs_no_approval(world: World, extra: Path) -> None:
    (extra / "checks" / "removed.txt").write_text("# gone for good\nextra  # nobody reads it\n")
    assert deliver(world) == world.stack.ledger.pointer().live


def test_a_mart_that_shrinks_on_purpose_is_approved(world: World, project: Path) -> None:
    for number in range(1, 9):
        world.place("customers", customer(number))
    model = project / "dbt" / "models" / "marts" / "extra.sql"
    model.write_text(EXTRA)
    deliver(world)
    model.write_text(EXTRA.rstrip() + " where customer_id = 'C000001'\n")
    smaller = stage(world.stack, actor=ACTOR)
    with pytest.raises(errors.PolicyRefused, match="it shrinks extra from 8 rows to 1"):
        promote(world.stack, actor=ACTOR)
    approve_dartifact(world.stack, smaller.dartifact_id, Decision("person:ann", "only the first counts"))
    promote(world.stack, actor=ACTOR)
    assert world.stack.ledger.pointer().live == smaller.dartifact_id


def test_a_rollback_may_lose_what_has_come_since(world: World, project: Path) -> None:
    world.place("customers", customer(1))
    first = deliver(world)
    (project / "dbt" / "models" / "marts" / "extra.sql").write_text(EXTRA)
    deliver(world)
    world.place("customers", customer(2))
    deliver(world)  # the first is in no slot any more: it is smoke-tested on its way back
    assert roll_back(world.stack, first, reason="why", actor=ACTOR).returns == first


def test_a_project_without_marts_is_red_and_says_why(world: World, project: Path) -> None:
    for path in (project / "dbt" / "models" / "marts").glob("*.sql"):
        path.unlink()
    for path in (project / "checks" / "marts").glob("*.yml"):
        path.unlink()
    for path in (project / "checks" / "integration").glob("*.sql"):
        path.unlink()
    world.place("customers", customer(1))
    red = stage(world.stack, actor=ACTOR)
    assert red.state is DartifactState.RED
    assert red.reasons[0] == "the project builds no mart: no model is in the schema marts"
