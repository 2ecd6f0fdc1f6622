"""Losses: marts that production shows and a dartifact lacks, or holds far fewer rows of. A person decides on them.

A mart is dropped or renamed by approving the dartifact that lacks it, or by declaring it in `checks/removed.txt`, a
name a line. A wanted shrink is approved, too. Nothing else waits: it is no fault of the dartifact.
"""

from __future__ import annotations

from dataclasses import dataclass

from dartifact.commands.stack import Stack
from dartifact.domain.dartifacts import Dartifact, Passport
from dartifact.domain.events import EventType
from dartifact.domain.plans import Plan, PlanKind

_DECLARED = ("checks", "removed.txt")


@dataclass(frozen=True, slots=True)
class Loss:
    """A mart with the rows that production shows and those of the dartifact, None where it has no such mart."""

    mart: str
    before: int
    after: int | None

    def __str__(self) -> str:
        rows = f"{self.before:,} {'row' if self.before == 1 else 'rows'}"
        if self.after is None:
            return f"removes {self.mart}, {rows}"
        return f"shrinks {self.mart} from {rows} to {self.after:,}"


def find_losses(stack: Stack, dartifact: Dartifact) -> tuple[Loss, ...]:
    """Return what readers of production would lose by a dartifact, without what the project declares as removed."""
    live = stack.ledger.pointer().live
    if live is None or live == dartifact.dartifact_id:
        return ()
    before, after = (_count_rows(found.passport) for found in (stack.ledger.dartifact(live), dartifact))
    declared = _list_declared(stack)
    losses = (Loss(mart, rows, after.get(mart)) for mart, rows in sorted(before.items()))
    return tuple(loss for loss in losses if _is_loss(loss, stack.policy.smoke_least_share, declared))


def list_accepted(stack: Stack, plan: Plan) -> frozenset[str]:
    """Name the marts that may go or shrink by a plan under way: it began because somebody had decided on them.

    A rollback may lose whatever has come since.
    """
    live, dartifact = stack.ledger.pointer().live, stack.ledger.dartifact(plan.dartifact)
    if live is None:
        return frozenset()
    if plan.kind is PlanKind.ROLLBACK:
        return frozenset(_count_rows(stack.ledger.dartifact(live).passport))
    endorsed = stack.ledger.events(dartifact_id=dartifact.dartifact_id, type=EventType.DARTIFACT_ENDORSED)
    is_approved = any(event.payload["commit"] == dartifact.commit for event in endorsed)
    losses = find_losses(stack, dartifact) if is_approved else ()
    return frozenset(loss.mart for loss in losses) | _list_declared(stack)


def _is_loss(loss: Loss, least_share: float, declared: frozenset[str]) -> bool:
    if loss.after is None:
        return loss.mart not in declared
    return loss.after < loss.before * least_share


def _count_rows(passport: Passport | None) -> dict[str, int]:
    return {mart: figures.get("rows", 0) for mart, figures in ((passport or {}).get("marts") or {}).items()}


def _list_declared(stack: Stack) -> frozenset[str]:
    path = stack.project.joinpath(*_DECLARED)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))
