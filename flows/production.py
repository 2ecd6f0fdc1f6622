"""Production: the stations that move the live pointer."""

from __future__ import annotations

from prefect import flow

from flows.commands import production, rollback
from flows.runner import run_as_task, say
from flows.settings import read_settings
from flows.wiring import open_stack, open_stack_surely


@flow(name="promote", log_prints=True)
def promote(dartifact: str | None = None) -> None:
    """Bring the newest green dartifact, or the named one, live."""
    with open_stack(read_settings(), say, sources=False) as stack:
        production.promote(stack, dartifact, actor="policy:promote", run=run_as_task)


@flow(name="rollback", log_prints=True)
def roll_back(reason: str, to: str | None = None, blame: tuple[str, ...] = ("unknown",)) -> None:
    """Bring back a dartifact that served before."""
    settings = read_settings()
    with open_stack_surely(settings, say) as stack:
        rollback.roll_back(stack, to, blame, reason=reason, actor=settings.person, run=run_as_task)
