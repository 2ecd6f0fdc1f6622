"""Steps of a plan: carried out one after the other, each a swap of the live pointer at most."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates import traffic
from dartifact.commands.gates.losses import list_accepted
from dartifact.commands.gates.slots import find_shown, refuse_promotion
from dartifact.commands.gates.smoke import smoke_test
from dartifact.commands.production.choice import choose_promotion
from dartifact.commands.production.publication import publish
from dartifact.commands.repair.reconcile import show_settled
from dartifact.commands.stack import Runner, Stack
from dartifact.domain import errors, plans
from dartifact.domain.checks import VerdictKind, judge
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan, PlanKind, PromotionState, Step, StepKind
from dartifact.domain.progress import Progress
from dartifact.domain.traffic import Soak

# Between two looks at a soak, while somebody waits for it.
_LOOK_SECONDS = 1.0
_PUBLICATIONS = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """Until when soaks are waited for, on the monotonic clock, and who is told meanwhile."""

    deadline: float
    progress: Progress


@dataclass(frozen=True, slots=True)
class StepContext:
    """One step of a plan that is carried out: its number, from 1 on, and for whom."""

    stack: Stack
    plan: Plan
    number: int
    actor: str

    @property
    def step(self) -> Step:
        """Return the step."""
        return self.plan.steps[self.number - 1]

    @property
    def next_step(self) -> Step:
        """Return the step after it."""
        return self.plan.steps[self.number]


def execute(stack: Stack, plan: Plan, done: int, actor: str, runner: Runner, patience: Patience) -> None:
    """Carry out the steps of a plan from the first one not done; returns early at a soak that outlasts the patience."""
    for number in range(done + 1, len(plan.steps) + 1):
        context = StepContext(stack, plan, number, actor)
        try:
            if context.step.kind is StepKind.SOAK and not _wait(context, patience):
                return
            runner(str(context.step), partial(perform, context))
        except errors.StalePointer as error:
            _note_aborted(context, error.message)
            raise errors.Aborted(f"the {plan.kind} stopped before «{context.step}»: {error.message}") from error


def perform(context: StepContext) -> None:
    """Carry out one step: the lake's part first, then one transaction with the pointer's swap and the step's event."""
    match context.step.kind:
        case StepKind.CLAIM:
            _claim(context)
        case StepKind.PUBLISH:
            _publish_slot(context)
        case StepKind.SMOKE:
            _smoke(context)
        case StepKind.SHIFT:
            _shift(context)
        case StepKind.SOAK:
            traffic.close_soak(context.stack, context.plan, context.step, context.number, context.actor)
        case StepKind.SETTLE:
            _settle(context)
        case StepKind.PUBLISH_PRODUCTION:
            _publish_production(context)
        case _ as never:
            assert_never(never)


def _note_aborted(context: StepContext, reason: str) -> None:
    plan = context.plan
    with context.stack.ledger.write() as tx:
        if tx.production.move_promotion(plan.plan_id, state=PromotionState.ABORTED):
            tx.append(
                EventType.PROMOTION_ABORTED,
                context.actor,
                dartifact=plan.dartifact,
                step=str(context.step),
                reason=reason,
            )


def _wait(context: StepContext, patience: Patience) -> bool:
    """Look at a soak until it is over, True, or the patience is."""
    stack, step, said = context.stack, context.step, ""
    while (until := traffic.look(stack, context.plan, step, context.number, context.actor)) is not None:
        left = (until - stack.clock()).total_seconds()
        pause = min(left, _LOOK_SECONDS, patience.deadline - time.monotonic())
        if pause <= 0:
            return False
        line = f"{step.slot} is watched at {step.weight} % until {until:%H:%M:%S} UTC"
        if line != said:
            patience.progress(line)
            said = line
        time.sleep(pause)
    return True


def _claim(context: StepContext) -> None:
    plan, slot = context.plan, context.step.slot
    pointer = context.stack.ledger.pointer()
    if plan.kind is PlanKind.PROMOTION:
        _refuse_unless_promotable(context.stack, plan)
    with context.stack.ledger.write() as tx:
        tx.production.start_promotion(plan)
        tx.production.swap_pointer(
            pointer,
            plans.claim(pointer, slot, plan.dartifact, plan.plan_id),
            EventType.SLOT_CLAIMED,
            context.actor,
            plan=plan.plan_id,
            slot=slot,
        )
        tx.production.move_promotion(plan.plan_id, done=context.number)


def _refuse_unless_promotable(stack: Stack, plan: Plan) -> None:
    # A rollback since the choice would be undone. One that comes after this look moves the pointer under the claim.
    try:
        chosen = choose_promotion(stack, plan.dartifact)
    except (errors.PolicyRefused, errors.IllegalTransition) as error:
        raise errors.StalePointer(error.message) from error
    if chosen is None:
        raise errors.StalePointer(f"dartifact {plan.dartifact} is live already")


def _shift(context: StepContext) -> None:
    step, pointer = context.step, context.stack.ledger.pointer()
    shifted = plans.shift(pointer, step.slot, step.weight, context.plan.plan_id)
    _swap(context, pointer, shifted, EventType.TRAFFIC_SHIFTED, slot=step.slot, weight=step.weight)


def _swap(context: StepContext, old: LivePointer, new: LivePointer, event: EventType, **payload: object) -> None:
    stack, plan = context.stack, context.plan
    with stack.ledger.write() as tx:
        tx.production.swap_pointer(old, new, event, context.actor, plan=plan.plan_id, **payload)
        if not tx.production.move_promotion(plan.plan_id, done=context.number):
            raise errors.StalePointer(f"plan {plan.plan_id} has ended")
        if context.next_step.kind is StepKind.SOAK:
            tx.production.keep_soak(plan.plan_id, context.number + 1, Soak(0, stack.clock()))


def _publish_slot(context: StepContext) -> None:
    stack, plan, slot = context.stack, context.plan, context.step.slot
    wanted = _find_build(stack, plan)
    for _ in range(_PUBLICATIONS):
        pointer = stack.ledger.pointer()
        if pointer.plan != plan.plan_id:
            raise errors.StalePointer(f"plan {plan.plan_id} no longer holds the live pointer")
        branch, generation = f"{PRODUCTION}-{slot}", pointer.generation
        try:
            commit = publish(
                stack, branch, wanted, dartifact=plan.dartifact, generation=generation, actor=context.actor
            )
        except errors.StalePointer:
            raise
        except errors.Conflict:
            continue  # another publisher won: go on only while the pointer still asks for this
        recorded = plans.record(pointer, slot, commit, plan.plan_id)
        _swap(context, pointer, recorded, EventType.SLOT_PUBLISHED, slot=slot, commit=commit)
        return
    raise errors.Conflict(f"slot {slot} kept moving while it was published", hint=Command("promote"))


def _find_build(stack: Stack, plan: Plan) -> Commit:
    dartifact = stack.ledger.dartifact(plan.dartifact)
    if dartifact.commit is None:
        raise errors.IllegalTransition(f"dartifact {plan.dartifact} was never built", hint=Command("stage"))
    return stack.lake.commit_of(dartifact.commit)


def _smoke(context: StepContext) -> None:
    stack, plan, step = context.stack, context.plan, context.step
    pointer, commit = find_shown(stack, plan, step)
    report = smoke_test(stack, commit, pointer.settled, list_accepted(stack, plan))
    verdict = judge(report.results)
    if report.has_errors:
        raise errors.ChecksErrored(f"the smoke test could not ask: {verdict.reasons[0]}", hint=Command("promote"))
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        if verdict.kind is VerdictKind.PASS:
            tx.production.move_promotion(plan.plan_id, done=context.number)
            tx.append(
                EventType.SLOT_SMOKED,
                context.actor,
                dartifact=plan.dartifact,
                slot=step.slot,
                commit=commit,
                report=report.digest,
            )
            return
        refuse_promotion(tx, plan, step, pointer, EventType.SLOT_ABANDONED, context.actor, list(verdict.reasons))
    raise errors.Aborted(f"the smoke test of {plan.dartifact} on {step.slot} is red: {verdict.reasons[0]}")


def _settle(context: StepContext) -> None:
    ledger, plan, slot, actor = context.stack.ledger, context.plan, context.step.slot, context.actor
    pointer = ledger.pointer()
    new = plans.settle(pointer, slot, plan.plan_id)
    served = ledger.dartifact(plan.dartifact).runs
    before = ledger.dartifact(pointer.live).runs if pointer.live else ()
    with ledger.write() as tx:
        tx.production.swap_pointer(pointer, new, EventType.PRODUCTION_SETTLED, actor, plan=plan.plan_id, slot=slot)
        tx.production.move_promotion(plan.plan_id, done=context.number)
        if pointer.live:
            tx.dartifacts.move(pointer.live, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor)
        tx.dartifacts.move(plan.dartifact, DartifactState.LIVE, EventType.DARTIFACT_LIVE, actor, commit=new.settled)
        tx.runs.mark_served(served, before)


def _publish_production(context: StepContext) -> None:
    plan = context.plan
    show_settled(context.stack, context.actor)
    with context.stack.ledger.write() as tx:
        tx.production.move_promotion(plan.plan_id, done=context.number, state=PromotionState.DONE)
        tx.append(EventType.PROMOTION_FINISHED, context.actor, dartifact=plan.dartifact, plan=plan.plan_id)
