"""The verb `promote`."""

from __future__ import annotations

import math

from dartifact.cli.frame import answer, opened, print_progress, run_and_report
from dartifact.cli.options import Output
from dartifact.cli.text.promotion import format_promotion
from dartifact.commands.production import promote as production
from dartifact.commands.production.choice import choose_promotion, plan_promotion
from dartifact.commands.production.under_way import UnderWay, find_under_way
from dartifact.commands.stack import Stack
from dartifact.documents.production import describe_promotion
from dartifact.domain.plans import LivePointer, Plan


def promote(dartifact: str, plan: bool, output: Output) -> None:
    """Carry a promotion out, or show its plan."""
    if plan:
        with opened(lake=False, sources=False) as (_, stack):
            under_way, pointer = find_under_way(stack), stack.ledger.pointer()
            steps = under_way.plan if under_way else _plan(stack, pointer, dartifact)
    else:
        with opened(sources=False, notifies=True) as (settings, stack):
            steps = production.promote(
                stack,
                dartifact or None,
                actor=settings.person,
                runner=run_and_report,
                patience=math.inf,
                progress=print_progress,
            )
            under_way, pointer = find_under_way(stack), stack.ledger.pointer()
    _answer(steps, under_way, pointer, output, planned=plan)


def _plan(stack: Stack, pointer: LivePointer, dartifact: str) -> Plan | None:
    chosen = choose_promotion(stack, dartifact or None)
    return plan_promotion(stack, pointer, chosen.dartifact_id, "-") if chosen else None


def _answer(
    steps: Plan | None, under_way: UnderWay | None, pointer: LivePointer, output: Output, *, planned: bool
) -> None:
    document = describe_promotion(steps, under_way, pointer)
    answer(document, output, lambda: format_promotion(steps, pointer, under_way, planned=planned))
