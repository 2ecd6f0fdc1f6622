"""What is under way in production: where a promotion stands, how a person ends it, freezes and allows promotions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role
from dartifact.domain.plans import LivePointer, Plan, PlanKind, PromotionState, Step, StepKind
from dartifact.domain.traffic import Soak

_SWAPS = 10


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A plan that is being carried out: the number of its current step, and when that goes on if it waits."""

    plan: Plan
    number: int
    goes_on_at: datetime | None

    @property
    def step(self) -> Step:
        """Return the current step."""
        return self.plan.steps[self.number - 1]


def find_under_way(stack: Stack) -> UnderWay | None:
    """Find the promotion or rollback that is being carried out, or waits in a soak, or was left by a dead process."""
    found = next(iter(stack.ledger.promotions(state=PromotionState.RUNNING, most=1)), None)
    if found is None:
        return None
    under_way = UnderWay(found.plan, min(found.done + 1, len(found.plan.steps)), None)
    if under_way.step.kind is not StepKind.SOAK:
        return under_way
    soak = stack.ledger.soak(found.plan.plan_id, under_way.number) or Soak(0, stack.clock())
    return UnderWay(found.plan, under_way.number, soak.end(under_way.step.seconds))


def is_settled(pointer: LivePointer, plan: Plan) -> bool:
    """Say whether a plan has made all its moves; at most `production` is not published yet."""
    return pointer.plan is None and pointer.live == plan.dartifact and pointer.active == plan.slot


def abort(stack: Stack, *, reason: str, actor: str, plan_id: str | None = None) -> Plan:
    """End the promotion under way in one swap, effective at once, and freeze promotions; return what was ended.

    All consumers read what is live, the executor stops at its next step. The dartifact stays approved: once promotions
    are allowed again it is promoted, unless a newer one is green by then. Needs the ledger only. Raises UsageError when
    there is no promotion that could be ended, Conflict when it is not the one of `plan_id`.
    """
    stack.require(Role.OPERATOR, "end a promotion")
    for _ in range(_SWAPS):
        pointer, found = stack.ledger.pointer(), find_under_way(stack)
        if found is None:
            raise errors.UsageError("no promotion is under way", hint=Command("status"))
        if plan_id not in (None, found.plan.plan_id):
            message = f"another promotion is under way by now: that of {found.plan.dartifact}"
            raise errors.Conflict(message, hint=Command("status"))
        if found.plan.kind is not PlanKind.PROMOTION:
            raise errors.UsageError("what is under way is a rollback, which is not aborted", hint=Command("status"))
        if is_settled(pointer, found.plan):
            raise errors.UsageError(f"dartifact {found.plan.dartifact} is live already", hint=Command("rollback"))
        try:
            _end(stack, pointer, found, reason, actor)
        except errors.StalePointer:
            continue  # the executor took a step between the look and the swap
        return found.plan
    raise errors.Conflict("the live pointer kept moving", hint=Command("abort", "--reason WHY"))


def _end(stack: Stack, pointer: LivePointer, found: UnderWay, reason: str, actor: str) -> None:
    plan, frozen = found.plan, f"the promotion of {found.plan.dartifact} was aborted: {reason}"
    new = plans.abort(pointer, plan.slot, plan.plan_id, reason=frozen)
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(
            pointer, new, EventType.CONSUMERS_SENT_BACK, actor, plan=plan.plan_id, slot=plan.slot, reason=reason
        )
        tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED)
        tx.append(EventType.PROMOTION_ABORTED, actor, dartifact=plan.dartifact, step=str(found.step), reason=reason)


def freeze(stack: Stack, *, reason: str, actor: str) -> None:
    """Stop promotions until a person allows them again; one under way stays where it is. Rollbacks go on."""
    stack.require(Role.OPERATOR, "freeze promotions")
    pointer = stack.ledger.pointer()
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(
            pointer, plans.freeze(pointer, reason), EventType.PROMOTIONS_FROZEN, actor, reason=reason
        )


def unfreeze(stack: Stack, *, reason: str, actor: str) -> None:
    """Allow promotions again."""
    stack.require(Role.OPERATOR, "allow promotions")
    pointer = stack.ledger.pointer()
    if pointer.frozen:
        with stack.ledger.write() as tx:
            tx.production.swap_pointer(
                pointer, plans.freeze(pointer, None), EventType.PROMOTIONS_UNFROZEN, actor, reason=reason
            )
