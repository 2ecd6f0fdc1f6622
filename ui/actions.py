"""What the pages do: the commands of the command line, on what was shown, with the same record."""

from __future__ import annotations

from flows.commands import production, review, rollback, under_way
from flows.commands.rollback import Rollback
from flows.domain.plans import Plan
from flows.domain.runs import Run
from flows.settings import read_settings
from ui.stack import open_ledger_stack, open_stack, open_stack_surely


def approve(run_id: str, reason: str, commit: str, report: str) -> Run:
    """Accept the failing checks of a run; Conflict when commit or report are no longer those that were shown."""
    return review.approve(open_stack(), run_id, reason=reason, actor=who(), commit=commit, report=report)


def reject(run_id: str, reason: str, commit: str | None) -> Run:
    """Decide that a run never lands; Conflict when its commit is no longer the one that was shown."""
    return review.reject(open_stack(), run_id, reason=reason, actor=who(), commit=commit)


def recheck(run_id: str) -> Run:
    """Ask the local gate of a run again."""
    return review.recheck(open_stack(), run_id, actor=who())


def promote(dartifact: str | None) -> Plan | None:
    """Promote a dartifact as far as the first soak; the station, or the same action again, goes on after it."""
    return production.promote(open_stack(), dartifact, actor=who())


def abort(plan_id: str, reason: str) -> Plan:
    """End the promotion that was shown; Conflict when another one is under way by now."""
    return under_way.abort(open_ledger_stack(), reason=reason, actor=who(), plan_id=plan_id)


def roll_back(leaves: str, to: str, blame: str, reason: str) -> Rollback:
    """Bring a dartifact back, once, while the one that was shown as live still is; also without the lake."""
    why = reason.strip() or "no reason given"
    return rollback.roll_back(open_stack_surely(), to, (blame,), reason=why, actor=who(), leaves=leaves)


def freeze(reason: str) -> None:
    """Stop promotions."""
    under_way.freeze(open_ledger_stack(), reason=reason, actor=who())


def unfreeze(reason: str) -> None:
    """Allow promotions again."""
    under_way.unfreeze(open_ledger_stack(), reason=reason, actor=who())


def who() -> str:
    """Name the person who acts: the one local user."""
    return read_settings().person
