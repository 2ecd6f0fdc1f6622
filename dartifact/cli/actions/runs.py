"""The verb `runs`."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.runs import format_runs
from dartifact.documents.runs import describe_run
from dartifact.domain import errors
from dartifact.domain.runs import Phase


def runs(phase: str, source: str, most: int, output: Output) -> None:
    """Answer with the newest runs."""
    known = [phase.value for phase in Phase]
    if phase and phase not in known:
        raise errors.UsageError(f"there is no phase {phase}; there are {', '.join(known)}")
    with opened(lake=False, sources=False) as (_, stack):
        found = stack.ledger.runs(phases=(Phase(phase),) if phase else None, source=source or None, most=most)
    answer([describe_run(run) for run in found], output, lambda: format_runs(found))
