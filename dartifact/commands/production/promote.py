"""Production: promote a dartifact, resolve what a reader should read. Rolling back stands in `rollback.py`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.commands.gates import traffic
from dartifact.commands.gates.slots import find_shown, refuse_promotion
from dartifact.commands.gates.smoke import smoke_test
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.approvals import refuse_unapproved
from dartifact.commands.production.publication import publish
from dartifact.commands.production.under_way import is_settled
from dartifact.commands.repair.reconcile import reconcile, show_settled
from dartifact.commands.stack import Runner, Stack, new_operation, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors, plans
from dartifact.domain.checks import VerdictKind, judge
from dartifact.domain.dartifacts import WAITING, Dartifact, DartifactState, find_blamed
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role
from dartifact.domain.plans import LivePointer, Plan, PlanKind, PromotionState, Step, StepKind
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.traffic import Soak

# Between two looks at a soak, while somebody waits for it.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a reader should read now: a commit id, the only repeatable read."""

    consumer: str | None
    slot: str
    branch: str
    dartifact: str
    commit: str
    generation: int


def resolve(stack: Stack, consumer: str | None = None) -> Resolution:
    """Say which commit a named consumer, or a plain reader of `production`, reads now.

    Needs the ledger only, and to read it: that a consumer has asked is written down if that is possible at once.
    """
    if consumer is not None:
        traffic.check_name(consumer)
    pointer = stack.ledger.pointer()
    slot = pointer.active if consumer is None else plans.choose_slot(pointer, consumer)
    if slot is None:
        raise errors.NotFound("nothing is live yet", hint=Command("promote"))
    if consumer is not None:
        traffic.note_consumer(stack, consumer, slot, pointer)
    shown = pointer.slots[slot]
    branch = f"{PRODUCTION}-{slot}" if consumer else PRODUCTION
    return Resolution(consumer, slot, branch, shown.dartifact or "", shown.commit or "", pointer.generation)


def choose_promotion(stack: Stack, dartifact: str | None = None) -> Dartifact | None:
    """Choose what would be promoted: the named dartifact, else the newest green one; None when nothing waits.

    Raises PolicyRefused while promotions are frozen or the dartifact contains what a rollback blamed.
    """
    pointer = stack.ledger.pointer()
    if pointer.frozen:
        raise errors.PolicyRefused(f"promotions are frozen: {pointer.frozen}", hint=Command("unfreeze", "--reason WHY"))
    if dartifact is not None:
        chosen = stack.ledger.dartifact(dartifact)
        if chosen.state not in WAITING:
            raise errors.IllegalTransition(
                f"dartifact {dartifact} is {chosen.state}, not green", hint=Command("status")
            )
    else:
        chosen = _find_newest(stack)  # type: ignore[assignment]
    if chosen is None or chosen.dartifact_id == pointer.live:
        return None
    blamed = find_blamed(chosen, stack.ledger.blames())
    if blamed:
        message = f"dartifact {chosen.dartifact_id} contains what was rolled back: {blamed[0]}"
        raise errors.PolicyRefused(message, hint=(Command("integrate"), ", then ", Command("stage")))
    refuse_unapproved(stack, chosen)
    return chosen


def _find_newest(stack: Stack) -> Dartifact | None:
    """Return the newest waiting dartifact that has its approvals, else the newest one."""
    waiting = stack.ledger.dartifacts(states=WAITING, most=None if stack.policy.approvals else 1)
    for each in waiting:
        try:
            refuse_unapproved(stack, each)
        except errors.PolicyRefused:
            continue
        return each
    return next(iter(waiting), None)


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
    deadline = time.monotonic() + patience
    with hold_lease(stack.ledger, "promote"):
        reconcile(stack, actor)
        pointer = stack.ledger.pointer()
        for left in stack.ledger.promotions(state=PromotionState.RUNNING):
            is_ours = pointer.plan == left.plan.plan_id or is_settled(pointer, left.plan)
            if left.plan.kind is PlanKind.PROMOTION and is_ours:
                execute(stack, left.plan, left.done, actor, runner, deadline, progress)
                return left.plan
            with stack.ledger.write() as tx:
                if pointer.plan == left.plan.plan_id:
                    # A rollback killed while it warmed a slot: its blame died with it, so a person asks again.
                    abandoned = plans.abandon(pointer, left.plan.slot, left.plan.plan_id)
                    pointer = tx.production.swap_pointer(
                        pointer, abandoned, EventType.SLOT_ABANDONED, actor, slot=left.plan.slot
                    )
                tx.production.move_promotion(left.plan.plan_id, state=PromotionState.ABORTED)
        chosen = choose_promotion(stack, dartifact)
        if chosen is None:
            return None
        plan = plan_promotion(stack, pointer, chosen.dartifact_id, new_operation())
        with stack.ledger.write() as tx:
            if chosen.state is DartifactState.GREEN:
                tx.dartifacts.move(
                    chosen.dartifact_id, DartifactState.APPROVED, EventType.DARTIFACT_APPROVED, "policy:promote"
                )
            for older in stack.ledger.dartifacts(states=WAITING):
                if older.created < chosen.created:
                    tx.dartifacts.move(
                        older.dartifact_id, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor
                    )
        execute(stack, plan, 0, actor, runner, deadline, progress)
        return plan


def plan_promotion(stack: Stack, pointer: LivePointer, dartifact: str, plan_id: str) -> Plan:
    """Plan the promotion of a dartifact as the policy says."""
    weights, soak = stack.policy.weights, stack.policy.soak.total_seconds()
    return plans.plan_promotion(pointer, dartifact, plan_id=plan_id, weights=weights, soak=soak)


def execute(
    stack: Stack,
    plan: Plan,
    done: int,
    actor: str,
    runner: Runner,
    deadline: float = 0,
    progress: Progress = keep_quiet,
) -> None:
    """Carry out the steps of a plan from the first one not done; each is one swap of the live pointer at most.

    Returns early at a soak that is not over by `deadline`, on the monotonic clock.
    """
    for number, step in enumerate(plan.steps[done:], start=done + 1):
        try:
            if step.kind is StepKind.SOAK and not _wait(stack, plan, step, number, actor, deadline, progress):
                return
            runner(str(step), partial(perform, stack, plan, step, number, actor))
        except errors.StalePointer as error:
            with stack.ledger.write() as tx:
                if tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED):
                    tx.append(
                        EventType.PROMOTION_ABORTED,
                        actor,
                        dartifact=plan.dartifact,
                        step=str(step),
                        reason=error.message,
                    )
            raise errors.Aborted(f"the {plan.kind} stopped before «{step}»: {error.message}") from error


def perform(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> None:
    """Carry out one step: the lake's part first, then one transaction with the pointer's swap and the step's event."""
    ledger = stack.ledger
    match step.kind:
        case StepKind.CLAIM:
            pointer = ledger.pointer()
            if plan.kind is PlanKind.PROMOTION:
                _refuse_unless_promotable(stack, plan)
            with ledger.write() as tx:
                tx.production.start_promotion(plan)
                tx.production.swap_pointer(
                    pointer,
                    plans.claim(pointer, step.slot, plan.dartifact, plan.plan_id),
                    EventType.SLOT_CLAIMED,
                    actor,
                    plan=plan.plan_id,
                    slot=step.slot,
                )
                tx.production.move_promotion(plan.plan_id, done=number)
        case StepKind.PUBLISH:
            _publish_slot(stack, plan, step, number, actor)
        case StepKind.SMOKE:
            _smoke(stack, plan, step, number, actor)
        case StepKind.SHIFT:
            pointer = ledger.pointer()
            _swap(
                stack,
                plan,
                number,
                pointer,
                plans.shift(pointer, step.slot, step.weight, plan.plan_id),
                EventType.TRAFFIC_SHIFTED,
                actor,
                slot=step.slot,
                weight=step.weight,
            )
        case StepKind.SOAK:
            traffic.close_soak(stack, plan, step, number, actor)
        case StepKind.SETTLE:
            _settle(stack, plan, step, number, actor)
        case StepKind.PUBLISH_PRODUCTION:
            show_settled(stack, actor)
            with ledger.write() as tx:
                tx.production.move_promotion(plan.plan_id, done=number, state=PromotionState.DONE)
                tx.append(EventType.PROMOTION_FINISHED, actor, dartifact=plan.dartifact, plan=plan.plan_id)


def _wait(stack: Stack, plan: Plan, step: Step, number: int, actor: str, deadline: float, progress: Progress) -> bool:
    """Look at a soak until it is over, True, or the deadline has passed."""
    told = ""
    while (until := traffic.look(stack, plan, step, number, actor)) is not None:
        left = (until - stack.clock()).total_seconds()
        pause = min(left, _LOOK_SECONDS, deadline - time.monotonic())
        if pause <= 0:
            return False
        line = f"{step.slot} is watched at {step.weight} % until {until:%H:%M:%S} UTC"
        if line != told:
            progress(line)
            told = line
        time.sleep(pause)
    return True


def _refuse_unless_promotable(stack: Stack, plan: Plan) -> None:
    # A rollback since the choice would be undone. One that comes after this look moves the pointer under the claim.
    try:
        chosen = choose_promotion(stack, plan.dartifact)
    except (errors.PolicyRefused, errors.IllegalTransition) as error:
        raise errors.StalePointer(error.message) from error
    if chosen is None:
        raise errors.StalePointer(f"dartifact {plan.dartifact} is live already")


def _swap(
    stack: Stack,
    plan: Plan,
    number: int,
    old: LivePointer,
    new: LivePointer,
    event: EventType,
    actor: str,
    **payload: object,
) -> None:
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(old, new, event, actor, plan=plan.plan_id, **payload)
        if not tx.production.move_promotion(plan.plan_id, done=number):
            raise errors.StalePointer(f"plan {plan.plan_id} has ended")
        if plan.steps[number].kind is StepKind.SOAK:
            tx.production.keep_soak(plan.plan_id, number + 1, Soak(0, stack.clock()))


def _publish_slot(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> None:
    dartifact = stack.ledger.dartifact(plan.dartifact)
    if dartifact.commit is None:
        raise errors.IllegalTransition(f"dartifact {plan.dartifact} was never built", hint=Command("stage"))
    wanted = stack.lake.commit_of(dartifact.commit)
    for _ in range(5):
        pointer = stack.ledger.pointer()
        if pointer.plan != plan.plan_id:
            raise errors.StalePointer(f"plan {plan.plan_id} no longer holds the live pointer")
        try:
            commit = publish(
                stack,
                f"{PRODUCTION}-{step.slot}",
                wanted,
                dartifact=plan.dartifact,
                generation=pointer.generation,
                actor=actor,
            )
        except errors.StalePointer:
            raise
        except errors.Conflict:
            continue  # another publisher won: go on only while the pointer still asks for this
        _swap(
            stack,
            plan,
            number,
            pointer,
            plans.record(pointer, step.slot, commit, plan.plan_id),
            EventType.SLOT_PUBLISHED,
            actor,
            slot=step.slot,
            commit=commit,
        )
        return
    raise errors.Conflict(f"slot {step.slot} kept moving while it was published", hint=Command("promote"))


def _smoke(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> None:
    pointer, commit = find_shown(stack, plan, step)
    report = smoke_test(stack, commit, pointer.settled)
    verdict = judge(report.results)
    if report.has_errors:
        raise errors.ChecksErrored(f"the smoke test could not ask: {verdict.reasons[0]}", hint=Command("promote"))
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        if verdict.kind is VerdictKind.PASS:
            tx.production.move_promotion(plan.plan_id, done=number)
            tx.append(
                EventType.SLOT_SMOKED,
                actor,
                dartifact=plan.dartifact,
                slot=step.slot,
                commit=commit,
                report=report.digest,
            )
            return
        refuse_promotion(tx, plan, step, pointer, EventType.SLOT_ABANDONED, actor, list(verdict.reasons))
    raise errors.Aborted(f"the smoke test of {plan.dartifact} on {step.slot} is red: {verdict.reasons[0]}")


def _settle(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> None:
    pointer = stack.ledger.pointer()
    new = plans.settle(pointer, step.slot, plan.plan_id)
    served = stack.ledger.dartifact(plan.dartifact).runs
    before = stack.ledger.dartifact(pointer.live).runs if pointer.live else ()
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(pointer, new, EventType.PRODUCTION_SETTLED, actor, plan=plan.plan_id, slot=step.slot)
        tx.production.move_promotion(plan.plan_id, done=number)
        if pointer.live:
            tx.dartifacts.move(pointer.live, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor)
        tx.dartifacts.move(plan.dartifact, DartifactState.LIVE, EventType.DARTIFACT_LIVE, actor, commit=new.settled)
        tx.runs.mark_served(served, before)
