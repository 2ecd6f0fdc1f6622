"""The slot of a promotion at a gate: what it shows, and what a gate that says no does."""

from __future__ import annotations

from collections.abc import Mapping

from dartifact.adapters.ledger.writer import Writer
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, Plan, PromotionState, Step


def find_shown(stack: Stack, plan: Plan, step: Step) -> tuple[LivePointer, str]:
    """Return the live pointer and the commit in the slot; StalePointer when the plan no longer holds the pointer."""
    pointer = stack.ledger.pointer()
    commit = pointer.slots[step.slot].commit
    if pointer.plan != plan.plan_id or commit is None:
        raise errors.StalePointer(f"plan {plan.plan_id} no longer holds the live pointer")
    return pointer, commit


def refuse_promotion(
    tx: Writer,
    plan: Plan,
    step: Step,
    pointer: LivePointer,
    event: EventType,
    actor: str,
    reasons: list[str],
    details: Mapping[str, object] | None = None,
) -> None:
    """Give the slot up, end the promotion, and call its dartifact bad, all in the given transaction.

    `details` go into the event beside slot and reasons.
    """
    abandoned = plans.abandon(pointer, step.slot, plan.plan_id)
    tx.production.swap_pointer(pointer, abandoned, event, actor, slot=step.slot, reasons=reasons, **details or {})
    tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED)
    tx.dartifacts.move(
        plan.dartifact,
        DartifactState.BAD,
        EventType.DARTIFACT_BAD,
        actor,
        changes={"reasons": reasons},
        reasons=reasons,
    )
