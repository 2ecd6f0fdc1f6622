"""The verb `accept-gap`."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.commands.ingest import backfill as backfills
from dartifact.documents.runs import describe_run
from dartifact.domain.runs import read_run_id


def accept_gap(run: str, reason: str, output: Output) -> None:
    """Accept a gap."""
    with opened(lake=False, sources=False) as (settings, stack):
        done = backfills.accept_gap(stack, read_run_id(run), reason=reason, actor=settings.person)
    answer(describe_run(done), output, lambda: f"the gap of {done.run_id} is accepted")
