"""Dartifacts as documents, alone and with what a decision made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from dartifact.commands.production.approvals import Approval
from dartifact.documents.values import stamp
from dartifact.domain.dartifacts import Dartifact, Passport


class DartifactDocument(TypedDict):
    """One dartifact with its passport."""

    dartifact: str
    state: str
    commit: str | None
    main_commit: str
    code_digest: str
    runs: list[str]
    reasons: list[str]
    created_at: str
    passport: Passport | None


class ApprovedDartifact(DartifactDocument):
    """A dartifact that was approved, with all who have."""

    approvals: list[str]


def describe_dartifact(dartifact: Dartifact) -> DartifactDocument:
    """Return a dartifact as a document."""
    return {
        "dartifact": dartifact.dartifact_id,
        "state": dartifact.state.value,
        "commit": dartifact.commit,
        "main_commit": dartifact.main_commit,
        "code_digest": dartifact.code_digest,
        "runs": list(dartifact.runs),
        "reasons": list(dartifact.reasons),
        "created_at": stamp(dartifact.created_at),
        "passport": dartifact.passport,
    }


def describe_approved_dartifact(dartifact: Dartifact, approvals: Iterable[Approval]) -> ApprovedDartifact:
    """Return a dartifact that was approved, with all who have."""
    return {**describe_dartifact(dartifact), "approvals": [approval.actor for approval in approvals]}
