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
        pointer = _freeze_alone(stack, pointer, frozen, reason, actor)
        return f"{reason}, and no dartifact that served: restore the lake", pointer
    served, commit = found
    slot, commit = _place(stack, pointer, served, commit, actor)
    new = plans.recover(pointer, slot, Slot(served.dartifact_id, commit), frozen=frozen)
    reason += f"; {served.dartifact_id} is served"
    return reason, _serve(stack, pointer, new, served, reason, actor)


def _freeze_alone(stack: Stack, pointer: LivePointer, frozen: str, reason: str, actor: str) -> LivePointer:
    """Freeze promotions and leave production alone; return the pointer as it is then."""
    if pointer.frozen == frozen:
        return pointer
    with stack.ledger.write() as tx:
        return tx.production.swap_pointer(
            pointer, plans.freeze(pointer, frozen), EventType.PRODUCTION_LOST, actor, reasons=[reason]
        )


def _place(stack: Stack, pointer: LivePointer, served: Dartifact, commit: str, actor: str) -> tuple[str, str]:
    """Return the slot and its commit that show a dartifact, published to the idle one if none does."""
    name = served.dartifact_id
    slot = next((slot for slot in plans.SLOTS if pointer.slots[slot] == Slot(name, commit)), None)
    if slot is not None:
        return slot, commit
    branch, wanted = f"{PRODUCTION}-{pointer.idle}", stack.lake.commit_of(commit)
    generation = pointer.generation
    return pointer.idle, publish(stack, branch, wanted, dartifact=name, generation=generation, actor=actor)


def _serve(
    stack: Stack, pointer: LivePointer, new: LivePointer, served: Dartifact, reason: str, actor: str
) -> LivePointer:
    """Swap in the pointer that serves a dartifact; what was under way ends, what was live and is lost is bad."""
    name = served.dartifact_id
    with stack.ledger.write() as tx:
        swapped = tx.production.swap_pointer(
            pointer,
            new,
            EventType.PRODUCTION_RECOVERED,
            actor,
            leaves=pointer.live,
            returns=name,
            reasons=[reason],
        )
        if pointer.plan is not None:
            tx.production.move_promotion(pointer.plan, state=PromotionState.ABORTED)
        if name != pointer.live:
            lost = stack.ledger.dartifact(pointer.live or "")
            changes = {"reasons": [reason]}
            tx.dartifacts.move(
                lost.dartifact_id, DartifactState.BAD, EventType.DARTIFACT_BAD, actor, changes=changes, reason=reason
            )
            tx.dartifacts.move(name, DartifactState.LIVE, EventType.DARTIFACT_LIVE, actor, commit=new.settled)
            tx.runs.mark_served(served.runs, lost.runs)
    return swapped


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
