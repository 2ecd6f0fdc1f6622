"""What the pages do: the commands of the command line, on what was shown, with the same record."""

from __future__ import annotations

from flows.commands import review
from flows.domain.runs import Run
from flows.settings import read_settings
from ui.stack import open_stack


def approve(run_id: str, reason: str, commit: str, report: str) -> Run:
    """Accept the failing checks of a run; Conflict when commit or report are no longer those that were shown."""
    return review.approve(open_stack(), run_id, reason=reason, actor=who(), commit=commit, report=report)


def reject(run_id: str, reason: str, commit: str | None) -> Run:
    """Decide that a run never lands; Conflict when its commit is no longer the one that was shown."""
    return review.reject(open_stack(), run_id, reason=reason, actor=who(), commit=commit)


def recheck(run_id: str) -> Run:
    """Ask the local gate of a run again."""
    return review.recheck(open_stack(), run_id, actor=who())


def who() -> str:
    """Name the person who acts: the one local user."""
    return read_settings().person
