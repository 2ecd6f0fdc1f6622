"""Promote: go on with what was begun, else bring what is chosen live. Rolling back stands in `rollback.py`."""

from __future__ import annotations

import time

from dartifact.adapters.ledger.values import Promotion
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.choice import choose_promotion, plan_promotion
from dartifact.commands.production.steps import Patience, execute
from dartifact.commands.production.under_way import is_settled
from dartifact.commands.repair.reconcile import bring_in_line
from dartifact.commands.stack import Runner, Stack, new_operation, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import plans
from dartifact.domain.dartifacts import WAITING, Dartifact, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.people import Role
from dartifact.domain.plans import LivePointer, Plan, PlanKind, PromotionState
from dartifact.domain.progress import Progress, keep_quiet


def promote(
    stack: Stack,
    dartifact: str | None = None,
    *,
    actor: str,
    runner: Runner = run_plainly,
    patience: float = 0,
    progress: Progress = keep_quiet,
) -> Plan | None:
    """Bring the newest green dartifact (or the named one) live; None when nothing waits.

    A promotion that waits in a soak or was killed half-way is gone on with first. Of soaks, `patience` seconds in all
    are waited for, with `progress`; then the plan returns unfinished (`find_under_way` says until when it waits): call
    again. Raises PolicyRefused, Aborted when the smoke or the traffic gate, a person or a rollback ended it (production
    is as it was), Locked, ChecksErrored when it could not be finished: run it again.
    """
    stack.require(Role.OPERATOR, "promote")
    refuse_while_stopped(stack.ledger)
    waits = Patience(time.monotonic() + patience, progress)
    with hold_lease(stack.ledger, "promote"):
        bring_in_line(stack, actor)
        pointer, begun = _find_begun(stack, actor)
        if begun is not None:
            execute(stack, begun.plan, begun.done, actor, runner, waits)
            return begun.plan
        chosen = choose_promotion(stack, dartifact)
        if chosen is None:
            return None
        plan = plan_promotion(stack, pointer, chosen.dartifact_id, new_operation())
        _approve(stack, chosen, actor)
        execute(stack, plan, 0, actor, runner, waits)
        return plan


def _find_begun(stack: Stack, actor: str) -> tuple[LivePointer, Promotion | None]:
    """Return the promotion to go on with, with the pointer as it is then; what cannot be gone on with is ended."""
    pointer = stack.ledger.pointer()
    for begun in stack.ledger.promotions(state=PromotionState.RUNNING):
        is_ours = pointer.plan == begun.plan.plan_id or is_settled(pointer, begun.plan)
        if begun.plan.kind is PlanKind.PROMOTION and is_ours:
            return pointer, begun
        pointer = _abandon(stack, pointer, begun.plan, actor)
    return pointer, None


def _abandon(stack: Stack, pointer: LivePointer, plan: Plan, actor: str) -> LivePointer:
    with stack.ledger.write() as tx:
        if pointer.plan == plan.plan_id:
            # A rollback killed while it warmed a slot: its blame died with it, so a person asks again.
            abandoned = plans.abandon(pointer, plan.slot, plan.plan_id)
            pointer = tx.production.swap_pointer(pointer, abandoned, EventType.SLOT_ABANDONED, actor, slot=plan.slot)
        tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED)
    return pointer


def _approve(stack: Stack, chosen: Dartifact, actor: str) -> None:
    """Approve by policy what was chosen; the older ones that wait are superseded."""
    with stack.ledger.write() as tx:
        if chosen.state is DartifactState.GREEN:
            tx.dartifacts.move(
                chosen.dartifact_id, DartifactState.APPROVED, EventType.DARTIFACT_APPROVED, "policy:promote"
            )
        for older in stack.ledger.dartifacts(states=WAITING):
            if older.created < chosen.created:
                tx.dartifacts.move(older.dartifact_id, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor)
