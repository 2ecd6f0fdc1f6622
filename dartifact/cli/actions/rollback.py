"""The verb `rollback`."""

from __future__ import annotations

from dataclasses import replace

from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.rollback import format_rollback, format_rollback_preview
from dartifact.commands.production.rollback import require_no_other, roll_back
from dartifact.commands.production.rollback_preview import preview_rollback
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.stack import Stack
from dartifact.documents.production import describe_rollback, describe_rolled_back
from dartifact.domain import errors
from dartifact.domain.dartifacts import Cause
from dartifact.project import declared_sources
from dartifact.settings import Settings, read_settings
from dartifact.wiring import open_stack_surely


def rollback(to: str, blame: list[str] | None, reason: str, preview: bool, output: Output) -> None:
    """Roll back, or show what that would do."""
    cause = Cause.parse(blame or ("unknown",))
    # What is live now is what the person means, however long the lake takes to answer.
    with opened(lake=False, sources=False) as (_, stack):
        if not preview:
            require_no_other(stack, to or None)
        shown = preview_rollback(stack, to or None, cause)
    if preview:
        answer(describe_rollback(shown), output, lambda: format_rollback_preview(shown))
        return
    settings = read_settings()
    with open_stack_surely(settings, print_progress) as stack:
        why = reason or "no reason given"
        done = roll_back(stack, shown.returns, cause, reason=why, actor=settings.person, leaves=shown.leaves)
        print_progress(f"{done.returns} is live again; resolve answers {done.commit}")
        reverted = _revert(stack, settings) if done.reverts and done.published else []
    answer(describe_rolled_back(done, reverted), output, lambda: format_rollback(done, tuple(reverted)))


def _revert(stack: Stack, settings: Settings) -> list[str]:
    full = replace(stack, sources=declared_sources(settings.project))
    try:
        return integrate(full, actor=settings.person).reverted
    except errors.Stopped as stopped:
        print_progress(f"the reverts stay in the merge queue: {stopped.message}")
        return []
