"""The verb `stage`."""

from __future__ import annotations

import typer

from dartifact.cli.exit_codes import CHECKS_FAILED
from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.dartifacts import format_dartifact
from dartifact.commands.staging import stage as staging
from dartifact.documents.dartifacts import describe_dartifact
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.events import EventType


def stage(retry: bool, code: bool, output: Output) -> None:
    """Build a dartifact of main's head."""
    with opened(notifies=True) as (settings, stack):
        last = stack.ledger.last_event()
        dartifact = staging.stage(stack, actor=settings.person, retry=retry, go_over=code)
        red = stack.ledger.events_after(last, (EventType.DARTIFACT_RED,), 10)
        reverts = bool(stack.ledger.pending_reverts())
    for event in red:
        for reason in event.payload["reasons"] if event.dartifact_id != dartifact.dartifact_id else ():
            print_progress(f"{event.dartifact_id} is red: {reason}")
    answer(describe_dartifact(dartifact), output, lambda: format_dartifact(dartifact))
    if reverts:
        print_progress("next: dartifact integrate")
    if red or dartifact.state is DartifactState.RED:
        raise typer.Exit(CHECKS_FAILED)
