"""The verb `integrate`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from dartifact.cli.exit_codes import CHECKS_FAILED
from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.integration import format_integration
from dartifact.commands.queue import integrate as queue


def integrate(output: Output) -> None:
    """Check and merge what is in the merge queue."""
    with opened(notifies=True) as (settings, stack):
        done = queue.integrate(stack, actor=settings.person)
    answer(asdict(done), output, lambda: format_integration(done))
    if done.failed:
        raise typer.Exit(CHECKS_FAILED)
