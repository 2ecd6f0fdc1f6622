"""Approvals of dartifacts, and roles, on a real lakeFS server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from dartifact.commands import stops
from dartifact.commands.gates import waivers
from dartifact.commands.ingest import backfill as gaps
from dartifact.commands.production import approvals, rollback, under_way
from dartifact.commands.production import promote as production
from dartifact.commands.repair import adopt
from dartifact.commands.review import decide as review
from dartifact.commands.review import fix as fixes
from dartifact.commands.review.checkout import check_out
from dartifact.commands.review.split import split_run
from dartifact.commands.stack import Stack
from dartifact.commands.staging.stage import stage
from dartifact.commands.upkeep.notify import compose
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.errors import Conflict, PolicyRefused, UsageError
from dartifact.domain.events import EventType
from dartifact.domain.people import Role
from tests.support.sources import bad_order, customer, order, stamp
from tests.support.world import World


@pytest.fixture
def shop(world: World) -> World:
    world.with_policy(approvals=2)
    world.stack = replace(world.stack, is_proven=True)
    world.place("customers", customer(1))
    return world


def offer(shop: World, number: int) -> Dartifact:
    shop.place("orders", order(number))
    return stage(shop.stack, actor="test")


def test_a_dartifact_is_promoted_once_two_people_have_approved_it(shop: World) -> None:
    dartifact = offer(shop, 1)
    name = dartifact.dartifact_id
    [message] = compose(shop.events("ApprovalNeeded"))
    assert message.title == f"dartifact {name} waits for 2 approvals"
    with pytest.raises(PolicyRefused, match="has 0 of the 2 approvals"):
        production.promote(shop.stack, actor="policy:promote")
    for _ in range(2):  # a person counts once
        approvals.approve_dartifact(shop.stack, name, Decision("ann", "looks right"))
    with pytest.raises(PolicyRefused, match="has 1 of the 2 approvals"):
        production.promote(shop.stack, name, actor="policy:promote")
    approvals.approve_dartifact(shop.stack, name, Decision("bob", "so it does", Seen(dartifact.commit)))
    production.promote(shop.stack, actor="policy:promote")
    assert shop.stack.ledger.pointer().live == name


def test_a_newer_one_without_approvals_keeps_no_approved_one_waiting(shop: World) -> None:
    first = offer(shop, 1)
    for person in ("ann", "bob"):
        approvals.approve_dartifact(shop.stack, first.dartifact_id, Decision(person, "fine"))
    second = offer(shop, 2)
    assert approvals.find_approvals(shop.stack, second) == ()
    production.promote(shop.stack, actor="policy:promote")
    assert shop.stack.ledger.pointer().live == first.dartifact_id


def test_nobody_approves_what_he_has_changed(shop: World) -> None:
    bad = shop.bring("orders", bad_order(1))
    rows = [order(1, updated_at=stamp(shop.clock()))]
    fixes.fix(shop.stack, bad.run_id, Decision("ann", "asked the shop"), rows)
    shop.integrate()
    dartifact = stage(shop.stack, actor="test")
    assert approvals.find_authors(shop.stack, dartifact) == {"ann"}
    with pytest.raises(PolicyRefused, match="somebody else"):
        approvals.approve_dartifact(shop.stack, dartifact.dartifact_id, Decision("ann", "mine"))
    approvals.approve_dartifact(shop.stack, dartifact.dartifact_id, Decision("bob", "fine"))


def test_a_rejected_dartifact_is_never_promoted(shop: World) -> None:
    shop.with_policy(approvals=0)
    dartifact = offer(shop, 1)
    name = dartifact.dartifact_id
    with pytest.raises(Conflict, match="built again"):
        approvals.reject_dartifact(shop.stack, name, Decision("ann", "no", Seen("0" * 64)))
    bad = approvals.reject_dartifact(shop.stack, name, Decision("ann", "half of it is missing"))
    assert (bad.state, bad.reasons) == (DartifactState.BAD, ("rejected by ann: half of it is missing",))
    assert production.promote(shop.stack, actor="policy:promote") is None
    with pytest.raises(UsageError, match="nothing to reject"):
        approvals.reject_dartifact(shop.stack, name, Decision("ann", "no"))


DEEDS: dict[str, tuple[Role, Callable[[Stack], object]]] = {
    "approve": (Role.REVIEWER, lambda s: review.approve(s, "r", Decision("eve", "x"))),
    "reject": (Role.REVIEWER, lambda s: review.reject(s, "r", Decision("eve", "x"))),
    "recheck": (Role.REVIEWER, lambda s: review.recheck(s, "r", actor="eve")),
    "fix": (Role.REVIEWER, lambda s: fixes.fix(s, "r", Decision("eve", "x"), [])),
    "open": (Role.REVIEWER, lambda s: fixes.open_change(s, "nothing", Decision("eve", "x"))),
    "waive": (
        Role.REVIEWER,
        lambda s: waivers.waive(s, "o", "c", until=datetime(2000, 1, 1, tzinfo=UTC), reason="x", actor="eve"),
    ),
    "unwaive": (Role.REVIEWER, lambda s: waivers.withdraw(s, 1, reason="x", actor="eve")),
    "accept gap": (Role.REVIEWER, lambda s: gaps.accept_gap(s, "r", reason="x", actor="eve")),
    "approve dartifact": (Role.REVIEWER, lambda s: approvals.approve_dartifact(s, "d", Decision("eve", "x"))),
    "reject dartifact": (Role.REVIEWER, lambda s: approvals.reject_dartifact(s, "d", Decision("eve", "x"))),
    "pause": (Role.OPERATOR, lambda s: stops.pause(s, "dan", reason="x", actor="eve")),
    "resume": (Role.OPERATOR, lambda s: stops.resume(s, "dan", actor="eve")),
    "stop the line": (Role.OPERATOR, lambda s: stops.stop_line(s, reason="x", actor="eve")),
    "start the line": (Role.OPERATOR, lambda s: stops.start_line(s, actor="eve")),
    "retry code": (Role.OPERATOR, lambda s: stage(s, actor="eve", retry=True)),
    "adopt": (Role.OPERATOR, lambda s: adopt.adopt(s, cast(adopt.Adoption, None), Decision("eve", "x"))),
    "check out": (Role.REVIEWER, lambda s: check_out(s, "r", s.home / "out")),
    "split": (Role.REVIEWER, lambda s: split_run(s, "r", Decision("eve", "x"))),
    "promote": (Role.OPERATOR, lambda s: production.promote(s, "d", actor="eve")),
    "roll back": (Role.OPERATOR, lambda s: rollback.roll_back(s, reason="x", actor="eve")),
    "abort": (Role.OPERATOR, lambda s: under_way.abort(s, reason="x", actor="eve")),
    "freeze": (Role.OPERATOR, lambda s: under_way.freeze(s, reason="x", actor="eve")),
    "unfreeze": (Role.OPERATOR, lambda s: under_way.unfreeze(s, reason="x", actor="eve")),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_takes_its_role(stack: Stack, deed: str) -> None:
    needed, act = DEEDS[deed]
    for role in Role:
        if role is needed:
            break
        with pytest.raises(PolicyRefused, match=f"a {role} may not .*: this requires the role {needed}"):
            act(replace(stack, role=role, actor="person:eve"))
        refused = stack.ledger.events(type=EventType.ATTEMPT_REFUSED)
        assert [(each.actor, each.payload["role"], each.payload["needed"]) for each in refused[-1:]] == [
            ("person:eve", role, needed)
        ]
        assert refused[-1].payload["deed"]


def test_an_attempt_is_refused_also_when_that_cannot_be_written_down(stack: Stack) -> None:
    stack.ledger.refuse_writes(Conflict("the lake has another ledger"))
    with pytest.raises(PolicyRefused, match="a viewer may not freeze promotions"):
        under_way.freeze(replace(stack, role=Role.VIEWER), reason="x", actor="eve")
    stack.ledger.refuse_writes(None)
    assert not stack.ledger.events(type=EventType.ATTEMPT_REFUSED)


def test_with_approvals_only_people_count_for_whom_somebody_vouches(shop: World) -> None:
    dartifact = offer(shop, 1)
    name, proven = dartifact.dartifact_id, shop.stack
    shop.stack = replace(proven, is_proven=False)
    with pytest.raises(PolicyRefused, match=r"nobody vouches for person:bob@example\.com"):
        approvals.approve_dartifact(shop.stack, name, Decision("person:bob@example.com", "fine"))
    shop.with_policy(approvals=0)
    approvals.approve_dartifact(shop.stack, name, Decision("person:bob@example.com", "fine"))
    assert len(approvals.find_approvals(shop.stack, dartifact)) == 1
    shop.with_policy(approvals=1)
    assert approvals.find_approvals(shop.stack, dartifact) == (), "given when nobody asked who it was"
    shop.stack = replace(shop.stack, is_proven=True)
    for name_of in ("person:bob@example.com", "person:Bob@Example.com"):  # one person
        approvals.approve_dartifact(shop.stack, name, Decision(name_of, "fine"))
    assert len(approvals.find_approvals(shop.stack, dartifact)) == 1


def test_who_waives_a_check_of_a_dataset_does_not_approve_what_it_let_pass(shop: World) -> None:
    until = shop.clock() + timedelta(days=9)
    waivers.waive(shop.stack, "orders", "orders.status.invalid", until=until, reason="known", actor="ann", rows=1)
    dartifact = offer(shop, 1)
    with pytest.raises(PolicyRefused, match="somebody else"):
        approvals.approve_dartifact(shop.stack, dartifact.dartifact_id, Decision("Ann", "mine"))
    approvals.approve_dartifact(shop.stack, dartifact.dartifact_id, Decision("bob", "fine"))
