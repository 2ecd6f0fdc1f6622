"""Rollbacks that meet each other, or fail half-way: production goes back once, and what was left stays warm."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from dartifact.commands.production import rollback as rollbacks
from dartifact.commands.production import steps
from dartifact.commands.production.promote import promote
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.rollback_preview import Rollback, preview_rollback
from dartifact.commands.staging.stage import stage
from dartifact.domain import errors
from dartifact.domain.events import EventType
from tests.conftest import Call
from tests.support.sources import customer
from tests.support.world import World


@pytest.fixture
def served(named_world: World) -> tuple[World, list[str]]:
    """Return a world in which three dartifacts have served, with their names; the last is live."""
    names = []
    for number in (1, 2, 3):
        named_world.place("customers", customer(number))
        names.append(stage(named_world.stack, actor="test").dartifact_id)
        promote(named_world.stack, actor="test")
    return named_world, names


@pytest.mark.both_databases
def test_twelve_people_who_saw_the_same_go_back_one_version(served: tuple[World, list[str]]) -> None:
    world, (_, second, third) = served
    shown = preview_rollback(world.stack)

    def click(number: int) -> Rollback | errors.Conflict:
        try:
            return roll_back(world.stack, shown.returns, reason="why", actor=f"p{number}", leaves=shown.leaves)
        except errors.Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(click, range(12)))
    assert len([found for found in done if isinstance(found, Rollback)]) == 1
    assert {found.message for found in done if isinstance(found, errors.Conflict)} == {
        f"{third} is not live any more: {second} is"
    }
    pointer = world.stack.ledger.pointer()
    assert pointer.live == second
    assert {slot.dartifact for slot in pointer.slots.values()} == {second, third}
    assert all(slot.commit for slot in pointer.slots.values()), "the version just left is still warm"
    assert len(world.events("ProductionRolledBack")) == 1


def test_who_comes_a_moment_later_has_to_name_what_returns(served: tuple[World, list[str]], call: Call) -> None:
    world, (first, second, third) = served
    roll_back(world.stack, reason="why", actor="person:ann")
    world.clock.advance(timedelta(seconds=20))
    with pytest.raises(errors.Conflict, match=f"person:ann rolled production back 20 s ago, from {third}"):
        rollbacks.require_no_other(world.stack, None)
    rollbacks.require_no_other(world.stack, first)
    world.clock.advance(timedelta(seconds=41))
    rollbacks.require_no_other(world.stack, None)
    code, _, why = call("rollback", "--to", first, "--reason", "further")
    assert code == 0, why
    assert world.stack.ledger.pointer().live == first
    code, _, why = call("rollback", "--reason", "who was first?")
    assert code == 6
    assert "--to DARTIFACT" in why
    assert second


@pytest.mark.parametrize("stops", ["publish_to_slot", "smoke_test"])
def test_a_cold_rollback_that_fails_before_its_swap_gives_the_slot_back(
    served: tuple[World, list[str]], monkeypatch: pytest.MonkeyPatch, stops: str
) -> None:
    world, (first, second, third) = served
    before = world.stack.ledger.pointer()
    assert {slot.dartifact for slot in before.slots.values()} == {second, third}

    def gone(*_: object, **__: object) -> None:
        raise errors.LakeUnavailable("the lake does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "smoke_test" if stops == "smoke_test" else "publish", gone)
        with pytest.raises(errors.LakeUnavailable):
            roll_back(world.stack, first, reason="why", actor="person:ann")
    after = world.stack.ledger.pointer()
    assert (after.slots, after.weights, after.settled, after.plan) == (
        before.slots,
        before.weights,
        before.settled,
        None,
    )
    assert [found.state for found in world.stack.ledger.promotions(most=1)] == ["aborted"]
    warm = preview_rollback(world.stack)
    assert (warm.returns, warm.warm) == (second, True)
    assert roll_back(world.stack, reason="why", actor="person:ann").returns == second
    assert world.stack.lake.list_objects(world.stack.ledger.pointer().settled or "", "marts/")


def test_a_rollback_sweeps_and_repairs_nothing_on_its_way(
    served: tuple[World, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = served
    called: list[str] = []
    real: Callable[..., tuple[str, ...]] = world.lake.list_branches

    def note(prefix: str) -> tuple[str, ...]:
        called.append(prefix)
        return real(prefix)

    monkeypatch.setattr(world.lake, "list_branches", note)
    roll_back(world.stack, reason="why", actor="person:ann")
    assert called == []
    assert world.events(EventType.PRODUCTION_ROLLED_BACK)
