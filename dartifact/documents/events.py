"""Events as documents, and those of refused candidates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, TypedDict

from dartifact.adapters.ledger.values import Event
from dartifact.documents.values import stamp

# Free JSON: what an event tells beside its columns depends on its type (`EventType.details`) and its version.
Payload: TypeAlias = Mapping[str, Any]


class EventDocument(TypedDict):
    """One fact of the past."""

    sequence: int
    at: str
    type: str
    actor: str
    place: str
    operation: str | None
    payload: Payload


class RefusalDocument(TypedDict):
    """A candidate that was refused with a run in it; `others` were in it, too, `kept` says whether it is stored."""

    at: str
    branch: str
    commit: str
    kept: bool
    others: int
    reasons: list[str]


def describe_event(event: Event) -> EventDocument:
    """Return an event as a document."""
    return {
        "sequence": event.sequence,
        "at": stamp(event.at),
        "type": event.type,
        "actor": event.actor,
        "place": event.place,
        "operation": event.operation,
        "payload": event.payload,
    }


def describe_refusal(event: Event, kept: Collection[str]) -> RefusalDocument:
    """Return a refused candidate as a document; `kept` are the branches of candidates that are stored."""
    told = event.payload
    return {
        "at": stamp(event.at),
        "branch": told["branch"],
        "commit": told["commit"],
        "kept": told["branch"] in kept,
        "others": len(told["runs"]) + len(told["reverts"]) - 1,
        "reasons": told["reasons"],
    }
