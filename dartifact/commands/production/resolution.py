"""Resolution: what a reader should read now, a commit id."""

from __future__ import annotations

from dataclasses import dataclass

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.commands.gates import traffic
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.hints import Command


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
