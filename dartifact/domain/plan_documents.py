"""A plan as plain JSON values: what the ledger stores, and what a person is shown."""

from __future__ import annotations

from typing import TypedDict


class StepDocument(TypedDict):
    """A step as plain JSON values."""

    kind: str
    slot: str
    weight: int
    seconds: float


class PlanDocument(TypedDict):
    """A plan as plain JSON values: what the ledger stores, and what a person is shown."""

    plan_id: str
    kind: str
    dartifact: str
    slot: str
    steps: list[StepDocument]
