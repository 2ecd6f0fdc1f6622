"""The verb `report-error`."""

from __future__ import annotations

from dataclasses import asdict

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.commands.gates import traffic


def report_error(consumer: str, message: str, commit: str, output: Output) -> None:
    """Record an error that a consumer found."""
    with opened(lake=False, sources=False) as (settings, stack):
        report = traffic.report_error(stack, consumer, message, actor=settings.person, commit=commit or None)
    read = report.dartifact or "a commit that is in no slot any more"
    consequence = "; its promotion will be stopped" if report.stops else ""
    answer(asdict(report), output, lambda: f"recorded: {report.consumer} read {read}{consequence}")
