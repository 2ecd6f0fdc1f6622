"""Decisions: who decides, why, and on what exactly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person was shown of what is decided on: its commit and its report; None where that does not matter."""

    commit: str | None = None
    report: str | None = None


ANYTHING = Seen()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides by: a name, a reason, and what was seen. It holds only while that is what there is."""

    actor: str
    reason: str
    seen: Seen = ANYTHING
