"""Promotions as text: what one did, where it stands, what it would do."""

from __future__ import annotations

from dartifact.cli.text.lines import format_steps, indent
from dartifact.commands.production.under_way import UnderWay
from dartifact.domain.plans import LivePointer, Plan


def format_promotion(plan: Plan | None, pointer: LivePointer, under_way: UnderWay | None, *, planned: bool) -> str:
    """Return what a promotion did, where it stands or what it would do."""
    if plan is None:
        return f"nothing to promote; live is {pointer.live or 'nothing'}"
    if under_way is not None and under_way.plan == plan:
        return "\n".join(_format_under_way(under_way))
    if planned:
        return "\n".join([f"promotion of {plan.dartifact} would:", *indent(format_steps(plan.steps))])
    return f"{plan.dartifact} is live on {plan.slot}"


def _format_under_way(under_way: UnderWay) -> list[str]:
    marks = {-1: "✓", 0: "→", 1: " "}
    lines = [f"{under_way.plan.kind} of {under_way.plan.dartifact} is under way:"]
    for number, step in enumerate(format_steps(under_way.plan.steps), start=1):
        is_later, is_earlier = number > under_way.number, number < under_way.number
        lines.append(f"{marks[is_later - is_earlier]} {step}")
    return lines + ([f"continues at {under_way.goes_on_at:%H:%M:%S} UTC"] if under_way.goes_on_at else [])
