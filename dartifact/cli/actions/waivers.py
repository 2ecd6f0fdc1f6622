"""The verbs about waivers."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.waivers import format_waivers
from dartifact.commands.gates import waivers as commands
from dartifact.documents.waivers import describe_waiver
from dartifact.domain.times import read_time


def waive(dataset: str, check: str, until: str, reason: str, rows: int | None, output: Output) -> None:
    """Waive a check up to a date."""
    end = read_time(until)
    with opened(lake=False) as (settings, stack):
        made = commands.waive(stack, dataset, check, until=end, reason=reason, actor=settings.person, rows=rows)
    limit = f"until {end:%Y-%m-%d %H:%M} UTC, with {made.rows:,} rows at most"
    lines = [
        f"waiver {made.waiver_id}: {check} only warns {limit}",
        "next: dartifact recheck RUN, for a run it has stopped",
    ]
    answer(describe_waiver(made), output, lambda: "\n".join(lines))


def waivers(everything: bool, output: Output) -> None:
    """Answer with the waivers."""
    with opened(lake=False, sources=False) as (_, stack):
        found = stack.ledger.waivers(everything=everything)
        now = stack.clock()
    answer([describe_waiver(waiver) for waiver in found], output, lambda: format_waivers(found, now))


def unwaive(number: int, reason: str) -> None:
    """End a waiver."""
    with opened(lake=False, sources=False) as (settings, stack):
        was_open = commands.withdraw(stack, number, reason=reason, actor=settings.person)
    print_progress(f"waiver {number} {'has ended' if was_open else 'had ended already'}")
