"""Recovery: the live pointer names a commit that the lake lacks; bring back the newest one that it still has."""

from __future__ import annotations

from collections.abc import Iterator

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.commands.production.publication import publish
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.dartifacts import Dartifact, DartifactState, find_blamed
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, PromotionState, Slot

_SERVED_AT_MOST = 1000


def has_commit(stack: Stack, commit: str) -> bool:
    """Say whether the lake has a commit and can list what it holds."""
    try:
        stack.lake.list_objects(stack.lake.commit_of(commit).commit_id)
    except errors.NotFound:
        return False
    return True


def recover(stack: Stack, pointer: LivePointer, actor: str) -> tuple[str, LivePointer]:
    """Serve the newest dartifact whose commit the lake has, and freeze promotions; what was found, in words.

    That may be the live one, from its build commit; else the newest that served before. Where there is none,
    promotions are frozen and production is left alone.
    """
    reason = f"the lake lacks {(pointer.settled or '')[:12]}, which production should show"
    frozen = f"{pointer.frozen}; {reason}" if pointer.frozen and reason not in pointer.frozen else reason
    found = next(_find_served(stack, pointer), None)
    if found is None:
        if pointer.frozen != frozen:
            with stack.ledger.write() as tx:
                pointer = tx.production.swap_pointer(
                    pointer, plans.freeze(pointer, frozen), EventType.PRODUCTION_LOST, actor, reasons=[reason]
                )
        return f"{reason}, and no dartifact that served: restore the lake", pointer
    served, commit = found
    slot = next((name for name in plans.SLOTS if pointer.slots[name] == Slot(served.dartifact_id, commit)), None)
    if slot is None:
        slot = pointer.idle
        commit = publish(
            stack,
            f"{PRODUCTION}-{slot}",
            stack.lake.commit_of(commit),
            dartifact=served.dartifact_id,
            generation=pointer.generation,
            actor=actor,
        )
    new = plans.recover(pointer, slot, Slot(served.dartifact_id, commit), frozen=frozen)
    reason += f"; {served.dartifact_id} is served"
    with stack.ledger.write() as tx:
        new = tx.production.swap_pointer(
            pointer,
            new,
            EventType.PRODUCTION_RECOVERED,
            actor,
            leaves=pointer.live,
            returns=served.dartifact_id,
            reasons=[reason],
        )
        if pointer.plan is not None:
            tx.production.move_promotion(pointer.plan, state=PromotionState.ABORTED)
        if served.dartifact_id != pointer.live:
            lost = stack.ledger.dartifact(pointer.live or "")
            tx.dartifacts.move(
                lost.dartifact_id,
                DartifactState.BAD,
                EventType.DARTIFACT_BAD,
                actor,
                changes={"reasons": [reason]},
                reason=reason,
            )
            tx.dartifacts.move(served.dartifact_id, DartifactState.LIVE, EventType.DARTIFACT_LIVE, actor, commit=commit)
            tx.runs.mark_served(served.runs, lost.runs)
    return reason, new


def _find_served(stack: Stack, pointer: LivePointer) -> Iterator[tuple[Dartifact, str]]:
    """Find what served and can serve again, newest first, each with a commit of it that the lake has."""
    blames, seen = stack.ledger.blames(), set()
    for event in reversed(stack.ledger.events(type=EventType.DARTIFACT_LIVE, most=_SERVED_AT_MOST)):
        name = event.dartifact_id or ""
        if name in seen:
            continue
        seen.add(name)
        served = stack.ledger.dartifact(name)
        may_return = name == pointer.live or served.state in (DartifactState.SUPERSEDED, DartifactState.APPROVED)
        if not may_return or find_blamed(served, blames):
            continue
        shown = (slot.commit for slot in pointer.slots.values() if slot.dartifact == name)
        for commit in (*shown, served.commit):
            if commit is not None and has_commit(stack, commit):
                yield served, commit
                break
