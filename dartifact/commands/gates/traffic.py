"""Traffic: what named consumers were told and report, and the soak of a promotion, which ends at the traffic gate."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dartifact.commands.gates.losses import list_accepted
from dartifact.commands.gates.slots import find_shown, refuse_promotion
from dartifact.commands.gates.smoke import ask_traffic
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.checks import Outcome, Report, Verdict, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan, Step
from dartifact.domain.traffic import NAME_AT_MOST, Consumer, ReportedError, Soak, judge_errors

# A consumer that asks all the time and is told the same is written down this often.
_NOTE_AGAIN = timedelta(minutes=1)
_NOTE_PATIENCE = 0.05
_ERRORS_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error as it was kept; `stops` names the promotion that ends because of it, if one does."""

    consumer: str
    message: str
    commit: str
    dartifact: str | None
    stops: str | None


def note_consumer(stack: Stack, name: str, slot: str, pointer: LivePointer) -> None:
    """Write down what a consumer was told; left out when it is known already, or the ledger cannot be written now."""
    shown, now = pointer.slots[slot], stack.clock()
    told = Consumer(name, slot, shown.dartifact or "", shown.commit or "", pointer.plan, now)
    with contextlib.suppress(errors.LedgerUnavailable):
        known = stack.ledger.consumer(name)
        is_known = known is not None and replace(known, asked_at=now) == told
        if known is None or not is_known or abs(now - known.asked_at) >= _NOTE_AGAIN:
            with stack.ledger.write(patience=_NOTE_PATIENCE) as tx:
                tx.production.note_consumer(told)


def report_error(stack: Stack, consumer: str, message: str, *, actor: str, commit: str | None = None) -> ErrorReport:
    """Keep what a consumer found wrong, with the commit it read: the given one, else what it was told last.

    Of the commit of a slot that is being promoted it stops the promotion at its next look. Needs the ledger only.
    """
    check_name(consumer)
    pointer = stack.ledger.pointer()
    if commit is None:
        known = stack.ledger.consumer(consumer)
        slot = plans.choose_slot(pointer, consumer)
        commit = known.commit if known else pointer.slots[slot].commit if slot else None
    if commit is None:
        raise errors.NotFound("nothing is live yet, so nothing can be wrong with it", hint=Command("promote"))
    reads = next((name for name in plans.SLOTS if pointer.slots[name].commit == commit), None)
    dartifact = pointer.slots[reads].dartifact if reads else None
    stops = pointer.plan if reads and reads != pointer.active else None
    with stack.ledger.write() as tx:
        tx.append(
            EventType.ERROR_REPORTED,
            actor,
            dartifact=dartifact,
            consumer=consumer,
            message=message[:500],
            commit=commit,
            slot=reads,
            plan=stops,
        )
    return ErrorReport(consumer, message, commit, dartifact, stops)


def check_name(consumer: str) -> None:
    """Raise UsageError for a name that cannot be a consumer's."""
    if len(consumer) > NAME_AT_MOST:
        raise errors.UsageError(f"a consumer's name has at most {NAME_AT_MOST} characters")


def look(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> datetime | None:
    """Look at a soak once: return when it will be over, None when it is.

    Raises Aborted when a consumer has reported an error: all consumers are sent back then.
    """
    pointer, commit = find_shown(stack, plan, step)
    failed = judge_errors(_reported(stack, plan, commit))
    if failed:
        _refuse(stack, plan, step, pointer, _ask(stack, plan, step, pointer, commit), actor)
    now = stack.clock()
    soak = (stack.ledger.soak(plan.plan_id, number) or Soak(0, now)).look(now)
    with stack.ledger.write() as tx:
        tx.production.keep_soak(plan.plan_id, number, soak)
    return soak.end(step.seconds) if soak.seconds < step.seconds else None


def close_soak(stack: Stack, plan: Plan, step: Step, number: int, actor: str) -> None:
    """Ask the traffic gate; Aborted when it says no: all consumers are sent back, the dartifact is bad."""
    pointer, commit = find_shown(stack, plan, step)
    report = _ask(stack, plan, step, pointer, commit)
    verdict = judge(report.results)
    if verdict.kind is VerdictKind.FAIL:
        _refuse(stack, plan, step, pointer, report, actor)
    if any(result.outcome is Outcome.ERRORED for result in report.results):
        raise errors.ChecksErrored(f"the traffic gate could not ask: {verdict.reasons[0]}", hint=Command("promote"))
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        if tx.production.move_promotion(plan.plan_id, done=number):
            tx.append(
                EventType.TRAFFIC_SOAKED,
                actor,
                dartifact=plan.dartifact,
                slot=step.slot,
                weight=step.weight,
                commit=commit,
                report=report.digest,
            )


def _ask(stack: Stack, plan: Plan, step: Step, pointer: LivePointer, commit: str) -> Report:
    """Ask the traffic gate's questions of a slot's commit."""
    exposed = stack.ledger.consumers(plan=plan.plan_id, slot=step.slot)
    accepted = list_accepted(stack, plan)
    return ask_traffic(stack, commit, pointer.settled, exposed, _reported(stack, plan, commit), accepted)


def _reported(stack: Stack, plan: Plan, commit: str) -> tuple[ReportedError, ...]:
    events = stack.ledger.events(dartifact_id=plan.dartifact, type=EventType.ERROR_REPORTED, most=_ERRORS_AT_MOST)
    return tuple(
        ReportedError(each.payload["consumer"], each.payload["message"])
        for each in events
        if (each.payload["plan"], each.payload["commit"]) == (plan.plan_id, commit)
    )


def _refuse(stack: Stack, plan: Plan, step: Step, pointer: LivePointer, report: Report, actor: str) -> None:
    verdict: Verdict = judge(report.results)
    reasons = list(verdict.reasons)
    details = {"plan": plan.plan_id, "refused": plan.dartifact, "weight": step.weight}
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        refuse_promotion(tx, plan, step, pointer, EventType.TRAFFIC_REFUSED, actor, reasons, details)
    raise errors.Aborted(f"the traffic gate refuses {plan.dartifact} on {step.slot}: {verdict.reasons[0]}")
