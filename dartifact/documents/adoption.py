"""What an adoption would take in, and what a restoration of `main` would take out, as documents."""

from __future__ import annotations

from typing import TypedDict

from dartifact.commands.repair.adopt import Adoption
from dartifact.commands.repair.restoration import Restoration
from dartifact.documents.values import stamp


class AdoptedRun(TypedDict):
    """A run that only the lake knows."""

    run_id: str
    phase: str
    lo: str | None
    hi: str | None
    rows: int | None


class AdoptionDocument(TypedDict):
    """What would be taken into the ledger; `why` is empty when everything fits together."""

    why: str
    main: str
    runs: list[AdoptedRun]
    arrived: list[str]
    gone: list[str]
    dartifacts: dict[str, str]
    live: str | None
    not_known: list[str]


class RestorationDocument(TypedDict):
    """What would be taken out of `main`; `head` is empty when it is tested."""

    head: str
    tested: str
    why: str
    runs: list[str]


def describe_adoption(adoption: Adoption) -> AdoptionDocument:
    """Return what would be taken in."""
    return {
        "why": adoption.why,
        "main": adoption.head.commit_id,
        "runs": [
            {"run_id": run.run_id, "phase": run.phase.value, "lo": stamp(run.lo), "hi": stamp(run.hi), "rows": run.rows}
            for run in adoption.runs
        ],
        "arrived": list(adoption.arrived),
        "gone": list(adoption.gone),
        "dartifacts": {found.dartifact_id: found.state.value for found in adoption.dartifacts},
        "live": adoption.pointer.live if adoption.pointer else None,
        "not_known": list(adoption.not_known),
    }


def describe_restoration(restoration: Restoration | None) -> RestorationDocument:
    """Return what would be taken out of `main`."""
    if restoration is None:
        return {"head": "", "tested": "", "why": "", "runs": []}
    return {
        "head": restoration.head.commit_id,
        "tested": restoration.tested.commit_id,
        "why": restoration.why,
        "runs": list(restoration.runs),
    }
