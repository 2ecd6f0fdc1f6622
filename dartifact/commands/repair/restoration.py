"""Restoration: `main` is brought back to what was tested last, because a person says so."""

from __future__ import annotations

from dataclasses import dataclass

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.leases import hold_lease
from dartifact.commands.queue.main_head import find_tested, list_strange_runs, repair
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.decisions import Decision
from dartifact.domain.people import Role, require_reason


@dataclass(frozen=True, slots=True)
class Restoration:
    """What bringing `main` back to tested content does; `runs` are those whose folders it removes or changes."""

    head: Commit
    tested: Commit
    why: str
    runs: tuple[str, ...]


def plan_restoration(stack: Stack) -> Restoration | None:
    """Return what `restore` would do; None while `main` is tested. Nothing is written."""
    head = stack.lake.head(MAIN)
    state = is_main_tested(stack.ledger, head)
    if state:
        return None
    tested = find_tested(stack)
    return Restoration(head, tested, state.why, tuple(list_strange_runs(stack, tested, head)))


def restore(stack: Stack, restoration: Restoration, decision: Decision) -> Commit:
    """Bring `main` forward to the content that was tested last, because a person says so; return its new head.

    Conflict when `main` has moved since it was planned; ForeignLedger where ledger and lake do not fit together.
    """
    require_reason(decision.reason)
    stack.require(Role.OPERATOR, "restore main")
    with hold_lease(stack.ledger, "integrate"):
        if stack.lake.head(MAIN).commit_id != restoration.head.commit_id:
            raise errors.Conflict("main has moved since this was shown", hint="look again")
        why = [restoration.why, f"restored by {decision.actor}: {decision.reason}"]
        return repair(stack, restoration.tested, restoration.head, why, decision.actor)
