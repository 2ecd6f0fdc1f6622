"""Waivers as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dartifact.cli.text.tables import render_table
from dartifact.domain.waivers import Waiver

_COLUMNS = ("waiver", "check", "rows", "of", "state", "who", "why")


def format_waivers(waivers: Sequence[Waiver], now: datetime) -> str:
    """Return waivers as a table."""
    if not waivers:
        return "no waivers"
    return render_table(_COLUMNS, [_format_row(waiver, now) for waiver in waivers], numbers=("waiver", "rows"))


def _format_row(waiver: Waiver, now: datetime) -> tuple[str, ...]:
    of, state = waiver.run_id or waiver.dataset, _format_state(waiver, now)
    return str(waiver.waiver_id), waiver.check, f"{waiver.rows:,}", of, state, waiver.actor, waiver.reason


def _format_state(waiver: Waiver, now: datetime) -> str:
    if waiver.has_expired(now):
        return f"EXPIRED {waiver.until:%Y-%m-%d %H:%M}"
    if waiver.ended_at:
        return f"withdrawn {waiver.ended_at:%Y-%m-%d %H:%M}"
    return f"until {waiver.until:%Y-%m-%d %H:%M}" if waiver.until else "approved"
