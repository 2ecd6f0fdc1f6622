"""The verbs that pause and resume."""

from __future__ import annotations

from dartifact.cli.frame import opened, print_progress
from dartifact.commands import stops


def pause(ingestor: str, reason: str) -> None:
    """Pause an ingestor."""
    with opened(lake=False) as (settings, stack):
        stops.pause(stack, ingestor, reason=reason, actor=settings.person)
    print_progress(f"{ingestor} is paused; next: dartifact resume {ingestor}")


def resume(ingestor: str) -> None:
    """Resume an ingestor."""
    with opened(lake=False) as (settings, stack):
        was_paused = stops.resume(stack, ingestor, actor=settings.person)
    print_progress(f"{ingestor} {'resumed' if was_paused else 'was not paused'}")


def stop_the_line(reason: str) -> None:
    """Pause everything."""
    with opened(lake=False, sources=False) as (settings, stack):
        stops.stop_line(stack, reason=reason, actor=settings.person)
    print_progress("pipeline paused; next: dartifact start-the-line")


def start_the_line() -> None:
    """Resume everything."""
    with opened(lake=False, sources=False) as (settings, stack):
        was_paused = stops.start_line(stack, actor=settings.person)
    print_progress("pipeline resumed" if was_paused else "the pipeline was not paused")
