"""What people decide on a dartifact: approvals that the policy counts, and the refusal to promote it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dartifact.commands.gates.losses import find_losses
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.dartifacts import WAITING, Dartifact, DartifactState
from dartifact.domain.decisions import Decision
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.plans import PromotionState

_AUTHORED = (EventType.RUN_FIXED, EventType.RUN_APPROVED, EventType.CHANGE_OPENED, EventType.ROWS_LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to one build of a dartifact."""

    actor: str
    at: datetime
    reason: str


def find_approvals(stack: Stack, dartifact: Dartifact) -> tuple[Approval, ...]:
    """Return the approvals of a dartifact that count, one a person, the oldest first.

    Those of another build do not count nor, where the policy asks for approvals, those of people for whom nobody
    vouched. Changed data, checks or code make another dartifact, which has none.
    """
    found: dict[str, Approval] = {}
    for event in stack.ledger.events(dartifact_id=dartifact.dartifact_id, type=EventType.DARTIFACT_ENDORSED):
        is_counted = event.payload.get("proven") or not stack.policy.approvals
        if is_counted and event.payload["commit"] == dartifact.commit:
            found.setdefault(event.actor.casefold(), Approval(event.actor, event.at, event.payload["reason"]))
    return tuple(found.values())


def count_needed(stack: Stack, dartifact: Dartifact) -> int:
    """Return how many approvals a dartifact needs: what the policy says, and one where readers would lose something."""
    return max(stack.policy.approvals, 1 if find_losses(stack, dartifact) else 0)


def refuse_unapproved(stack: Stack, dartifact: Dartifact) -> None:
    """Raise PolicyRefused while a dartifact has fewer approvals than it needs."""
    needed = count_needed(stack, dartifact)
    if needed and (given := len(find_approvals(stack, dartifact))) < needed:
        name = dartifact.dartifact_id
        losses = ", ".join(str(loss) for loss in find_losses(stack, dartifact))
        message = f"dartifact {name} has {given} of the {needed} approvals that it needs"
        hint = Command("approve", f"{name} --reason WHY")
        raise errors.PolicyRefused(f"{message}: it {losses}" if losses else message, hint=hint)


def approve_dartifact(stack: Stack, name: str, decision: Decision) -> Dartifact:
    """Say yes to the promotion of a dartifact; saying it again changes nothing.

    Conflict when it has another build commit than was seen. PolicyRefused: the actor brought, fixed or approved one of
    the runs that it would show for the first time, or waived a check of them; or the policy asks for approvals, and
    nobody vouches for who the actor is.
    """
    dartifact, actor = _find_waiting(stack, name, decision, "approve"), decision.actor
    if stack.policy.approvals and not stack.is_proven:
        raise errors.PolicyRefused(
            f"nobody vouches for {actor}: an approval that counts is given by somebody who has signed in",
            hint="approve it in the browser UI with DARTIFACT_SIGN_IN=oidc or proxy",
        )
    if actor.casefold() in {author.casefold() for author in find_authors(stack, dartifact)}:
        raise errors.PolicyRefused(f"{actor} has changed rows of {name}: somebody else has to approve it")
    with stack.ledger.write() as tx:
        if all(approval.actor.casefold() != actor.casefold() for approval in find_approvals(stack, dartifact)):
            tx.append(
                EventType.DARTIFACT_ENDORSED,
                actor,
                dartifact=name,
                reason=decision.reason,
                commit=dartifact.commit,
                proven=stack.is_proven,
            )
    return dartifact


def reject_dartifact(stack: Stack, name: str, decision: Decision) -> Dartifact:
    """Decide that a dartifact is never promoted. Conflict when it has another build commit than was seen."""
    dartifact = _find_waiting(stack, name, decision, "reject")
    running = stack.ledger.promotions(state=PromotionState.RUNNING)
    if stack.ledger.pointer().plan and any(promotion.plan.dartifact == name for promotion in running):
        raise errors.Conflict(f"{name} is being promoted", hint=Command("abort", "--reason WHY"))
    reasons = [f"rejected by {decision.actor}: {decision.reason}"]
    with stack.ledger.write() as tx:
        tx.dartifacts.move(
            name,
            DartifactState.BAD,
            EventType.DARTIFACT_REJECTED,
            decision.actor,
            changes={"reasons": reasons},
            reason=decision.reason,
            commit=dartifact.commit,
        )
    return stack.ledger.dartifact(name)


def find_authors(stack: Stack, dartifact: Dartifact) -> frozenset[str]:
    """Name the people who changed rows of the runs that a dartifact has and production has not, or waived a check.

    Who waives a check of a whole dataset lets all its runs pass.
    """
    live = stack.ledger.pointer().live
    shown = frozenset(stack.ledger.dartifact(live).runs) if live else frozenset()
    new = [run_id for run_id in dartifact.runs if run_id not in shown]
    waivers = stack.ledger.waivers() if new else ()
    datasets = {stack.ledger.run(run_id).source for run_id in new} if waivers else set()
    waived = {waiver.actor for waiver in waivers if waiver.dataset in datasets and waiver.run_id is None}
    return stack.ledger.actors(_AUTHORED, new) | waived


def _find_waiting(stack: Stack, name: str, decision: Decision, verb: str) -> Dartifact:
    stack.require(Role.REVIEWER, f"{verb} a dartifact")
    require_reason(decision.reason)
    dartifact = stack.ledger.dartifact(name)
    if dartifact.state not in WAITING:
        raise errors.UsageError(f"{name} is {dartifact.state}: there is nothing to {verb}", hint=Command("status"))
    if decision.seen.commit not in (None, dartifact.commit):
        raise errors.Conflict(f"{name} was built again since: look at it again", hint=Command("show", name))
    return dartifact
