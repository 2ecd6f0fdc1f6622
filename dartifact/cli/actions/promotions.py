"""The verbs that abort, freeze and allow promotions."""

from __future__ import annotations

from dartifact.cli.frame import opened, print_progress
from dartifact.commands.production import under_way


def abort(reason: str) -> None:
    """Abort the promotion under way."""
    with opened(lake=False, sources=False) as (settings, stack):
        aborted = under_way.abort(stack, reason=reason, actor=settings.person)
    print_progress(f"promotion of {aborted.dartifact} aborted; it stays approved, and promotions are frozen")
    print_progress("next: dartifact unfreeze --reason WHY, and the newest green dartifact is promoted")


def freeze(reason: str) -> None:
    """Freeze promotions."""
    with opened(lake=False, sources=False) as (settings, stack):
        under_way.freeze(stack, reason=reason, actor=settings.person)
    print_progress("promotions are frozen; next: dartifact unfreeze --reason WHY")


def unfreeze(reason: str) -> None:
    """Allow promotions."""
    with opened(lake=False, sources=False) as (settings, stack):
        under_way.unfreeze(stack, reason=reason, actor=settings.person)
    print_progress("promotions are allowed")
