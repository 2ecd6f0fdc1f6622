"""Roll back: bring back a dartifact that served before, in one swap; blame; revert what is guilty."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from dartifact.adapters.ledger.writer import Writer
from dartifact.commands.production.rollback_preview import UNKNOWN, Rollback, decide_rollback
from dartifact.commands.production.steps import StepContext, perform
from dartifact.commands.repair.reconcile import show_settled
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.domain import errors, plans
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role
from dartifact.domain.plans import LivePointer, Plan, PromotionState, StepKind
from dartifact.domain.runs import Phase
from dartifact.domain.texts import first_line

_SWAPS = 10
_A_MOMENT = timedelta(minutes=1)


def require_no_other(stack: Stack, to: str | None) -> None:
    """Raise Conflict when production was rolled back a moment ago and nothing is named to go back to.

    Two people who mean the same rollback would go two versions back.
    """
    last = next(iter(stack.ledger.events(type=EventType.PRODUCTION_ROLLED_BACK, most=1)), None)
    if last is None or to is not None or stack.clock() - last.at > _A_MOMENT:
        return
    if last.payload["returns"] != stack.ledger.pointer().live:
        return  # something newer has gone live since: it is about that one
    seconds = (stack.clock() - last.at).total_seconds()
    message = f"{last.actor} rolled production back {seconds:.0f} s ago, from {last.payload['leaves']}"
    raise errors.Conflict(message, hint="to go further back name what should return: --to DARTIFACT")


def roll_back(
    stack: Stack,
    to: str | None = None,
    cause: Cause = UNKNOWN,
    *,
    reason: str,
    actor: str,
    leaves: str | None = None,
    runner: Runner = run_plainly,
) -> Rollback:
    """Bring production back to a dartifact that served before; takes no lease and waits for nobody.

    With `leaves` only while that dartifact is live, else Conflict: what was previewed, or clicked twice, is done once.

    Warm (a slot still holds it): one transaction swaps the pointer, ends a running promotion, records the blame and
    puts the guilty runs into the queue to be reverted; `resolve` answers the old commit from then on, with the lake
    down too. Cold: the dartifact is published to the idle slot and smoke-tested before that. Then `production` is
    published; if the lake does not answer, `published` is False and the reconciler does it later.
    """
    stack.require(Role.OPERATOR, "roll production back")
    for _ in range(_SWAPS):
        pointer = stack.ledger.pointer()
        if leaves is not None and pointer.live != leaves:
            raise errors.Conflict(f"{leaves} is not live any more: {pointer.live} is", hint=Command("status"))
        try:
            decided = decide_rollback(stack, pointer, to, cause)
        except errors.DartifactError:
            if stack.ledger.pointer().generation != pointer.generation:
                continue  # what was read belongs to two moments
            raise
        try:
            if not decided.warm:
                _warm_up(stack, pointer, decided, actor, runner)
            swapped = runner("swap the live pointer", partial(_swap, stack, decided, reason, actor))
        except errors.StalePointer:
            continue  # somebody moved it between the look and the swap: decide again
        try:
            runner("publish production", lambda: show_settled(stack, actor))
        except errors.ChecksErrored as error:
            return replace(swapped, published=False, note=f"production follows when the lake answers: {error.message}")
        return replace(swapped, published=True)
    raise errors.Conflict("the live pointer kept moving", hint=Command("rollback"))


def _warm_up(stack: Stack, pointer: LivePointer, decided: Rollback, actor: str, runner: Runner) -> None:
    """Bring an older dartifact into the idle slot and smoke-test it; a promotion under way gives its slot up first."""
    if pointer.plan is not None:
        new = plans.abandon(pointer, pointer.idle, pointer.plan)
        with stack.ledger.write() as tx:
            tx.production.swap_pointer(
                pointer, new, EventType.SLOT_ABANDONED, actor, slot=pointer.idle, reason="rollback"
            )
            tx.production.move_promotion(pointer.plan, state=PromotionState.ABORTED)
    with _giving_back(stack, decided.plan, actor):
        for number, step in enumerate(decided.plan.steps, start=1):
            if step.kind is StepKind.SETTLE:
                return
            runner(str(step), partial(perform, StepContext(stack, decided.plan, number, actor)))


@contextlib.contextmanager
def _giving_back(stack: Stack, plan: Plan, actor: str) -> Iterator[None]:
    """Give the slot back, with what it held, when the block fails: what was left last stays warm."""
    held = stack.ledger.pointer().slots[plan.slot]
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(errors.DartifactError):
            pointer = stack.ledger.pointer()
            if pointer.plan == plan.plan_id:
                new = plans.abandon(pointer, plan.slot, plan.plan_id, held)
                why = f"the rollback could not go on: {first_line(error)}"
                with stack.ledger.write() as tx:
                    tx.production.swap_pointer(
                        pointer, new, EventType.SLOT_ABANDONED, actor, slot=plan.slot, reason=why
                    )
                    tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED)
        raise


def _swap(stack: Stack, decided: Rollback, reason: str, actor: str) -> Rollback:
    pointer = stack.ledger.pointer()
    _require_as_decided(pointer, decided)
    frozen = f"rolled back from {decided.leaves}: {reason}" if decided.freezes else pointer.frozen
    new = plans.roll_back(pointer, decided.plan.slot, frozen=frozen)
    served, before = stack.ledger.dartifact(decided.returns).runs, stack.ledger.dartifact(decided.leaves).runs
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(
            pointer,
            new,
            EventType.PRODUCTION_ROLLED_BACK,
            actor,
            plan=decided.plan.plan_id,
            reason=reason,
            leaves=decided.leaves,
            returns=decided.returns,
        )
        if decided.warm:
            tx.production.start_promotion(decided.plan)
            if pointer.plan is not None:
                tx.production.move_promotion(pointer.plan, state=PromotionState.ABORTED)
        tx.production.move_promotion(decided.plan.plan_id, done=len(decided.plan.steps), state=PromotionState.DONE)
        _exchange(tx, decided, new, reason, actor)
        tx.runs.mark_served(served, before)
        _record_blame(tx, decided, reason, actor)
    return replace(decided, commit=new.settled)


def _require_as_decided(pointer: LivePointer, decided: Rollback) -> None:
    slot = pointer.slots[decided.plan.slot]
    is_as_decided = slot.commit == decided.commit if decided.warm else pointer.plan == decided.plan.plan_id
    if pointer.live != decided.leaves or slot.dartifact != decided.returns or not is_as_decided:
        raise errors.StalePointer("production changed while the rollback was decided")


def _exchange(tx: Writer, decided: Rollback, new: LivePointer, reason: str, actor: str) -> None:
    """Call the dartifact that leaves bad, and the one that returns live."""
    tx.dartifacts.move(
        decided.leaves,
        DartifactState.BAD,
        EventType.DARTIFACT_BAD,
        actor,
        changes={"reasons": [reason]},
        reason=reason,
    )
    tx.dartifacts.move(decided.returns, DartifactState.LIVE, EventType.DARTIFACT_LIVE, actor, commit=new.settled)


def _record_blame(tx: Writer, decided: Rollback, reason: str, actor: str) -> None:
    """Record who is guilty, and put the guilty runs that `main` still holds into the queue to be reverted."""
    for blame in decided.blames:
        tx.dartifacts.add_blame(blame)
        tx.append(EventType.BLAME_RECORDED, actor, dartifact=decided.leaves, kind=blame.kind.value, value=blame.value)
    for run_id in decided.reverts:
        if tx.runs.get(run_id).phase in (Phase.MERGED, Phase.LIVE):  # else it has left since this was decided
            tx.runs.request_revert(run_id, f"rolled back: {reason}", actor)
