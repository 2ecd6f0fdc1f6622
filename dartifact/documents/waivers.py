"""Waivers as documents."""

from __future__ import annotations

from typing import TypedDict

from dartifact.documents.values import stamp, stamp_or_none
from dartifact.domain.waivers import Waiver


class WaiverDocument(TypedDict):
    """A failing check that a person accepts: of a run as it is, or of a dataset until a date."""

    waiver: int
    dataset: str
    check: str
    rows: int
    run_id: str | None
    commit: str | None
    report: str | None
    until: str | None
    actor: str
    reason: str
    at: str
    ended_at: str | None


def describe_waiver(waiver: Waiver) -> WaiverDocument:
    """Return a waiver as a document."""
    return {
        "waiver": waiver.waiver_id,
        "dataset": waiver.dataset,
        "check": waiver.check,
        "rows": waiver.rows,
        "run_id": waiver.run_id,
        "commit": waiver.commit,
        "report": waiver.report,
        "until": stamp_or_none(waiver.until),
        "actor": waiver.actor,
        "reason": waiver.reason,
        "at": stamp(waiver.at),
        "ended_at": stamp_or_none(waiver.ended_at),
    }
