"""The verbs that pause and resume."""

from __future__ import annotations

from dartifact.cli.frame import opened, print_progress
from dartifact.commands import stops
from dartifact.domain.errors import UsageError


def pause(reason: str, ingestor: str, everything: bool) -> None:
    """Pause an ingestor, or everything."""
    _require_one(ingestor, everything, "pause")
    with opened(lake=False, sources=not everything) as (settings, stack):
        if everything:
            stops.stop_line(stack, reason=reason, actor=settings.person)
        else:
            stops.pause(stack, ingestor, reason=reason, actor=settings.person)
    print_progress(f"{ingestor or 'pipeline'} paused; next: dartifact resume {ingestor or '--all'}")


def resume(ingestor: str, everything: bool) -> None:
    """Resume an ingestor, or everything."""
    _require_one(ingestor, everything, "resume")
    with opened(lake=False, sources=not everything) as (settings, stack):
        if everything:
            was_paused = stops.start_line(stack, actor=settings.person)
        else:
            was_paused = stops.resume(stack, ingestor, actor=settings.person)
    print_progress(f"{ingestor or 'pipeline'} {'resumed' if was_paused else 'was not paused'}")


def _require_one(ingestor: str, everything: bool, verb: str) -> None:
    if bool(ingestor) == everything:
        hint = f"dartifact {verb} INGESTOR, or dartifact {verb} --all"
        raise UsageError(f"{verb} needs either an ingestor or --all", hint=hint)
