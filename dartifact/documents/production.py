"""Production as documents: the live pointer, what is under way, promotions and rollbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from dartifact.commands.production.rollback_preview import Rollback
from dartifact.commands.production.under_way import UnderWay
from dartifact.documents.values import stamp_or_none
from dartifact.domain.plan_documents import PlanDocument
from dartifact.domain.plans import LivePointer, Plan


class ProductionDocument(TypedDict):
    """The live pointer; `dartifacts`, `commits` and `weights` by slot."""

    active: str | None
    weights: dict[str, int]
    dartifacts: dict[str, str | None]
    commits: dict[str, str | None]
    settled: str | None
    generation: int
    frozen: str | None


class LiveDocument(ProductionDocument):
    """The live pointer, and the dartifact that plain readers get."""

    live: str | None


class UnderWayDocument(TypedDict):
    """Where a promotion or rollback stands: at step `number` of `of`."""

    plan_id: str
    kind: str
    dartifact: str
    slot: str
    number: int
    of: int
    step: str
    goes_on_at: str | None


class PromotionDocument(TypedDict):
    """What a promotion did or would do, where it stands, and production after it."""

    plan: PlanDocument | None
    under_way: UnderWayDocument | None
    production: ProductionDocument


class BlameDocument(TypedDict):
    """What a rollback finds guilty: a run, or a version of the code."""

    kind: str
    value: str


class MartRows(TypedDict):
    """The rows of a mart before and after a rollback."""

    rows_now: int | None
    rows_then: int


class RollbackDecision(TypedDict):
    """What a rollback would do or has done, but for the marts."""

    leaves: str
    returns: str
    commit: str | None
    warm: bool
    data_of: str | None
    steps: list[str]
    runs_out: list[str]
    reverts: list[str]
    blames: list[BlameDocument]
    freezes: bool
    published: bool
    note: str


class RollbackDocument(RollbackDecision):
    """A rollback, decided or done."""

    marts: dict[str, MartRows]


class RolledBack(RollbackDocument):
    """A rollback that was done, with the runs that have left `main` since."""

    reverted: list[str]


def describe_production(pointer: LivePointer) -> ProductionDocument:
    """Return the live pointer as a document."""
    return {
        "active": pointer.active,
        "weights": dict(pointer.weights),
        "dartifacts": {name: slot.dartifact for name, slot in pointer.slots.items()},
        "commits": {name: slot.commit for name, slot in pointer.slots.items()},
        "settled": pointer.settled,
        "generation": pointer.generation,
        "frozen": pointer.frozen,
    }


def describe_live(pointer: LivePointer) -> LiveDocument:
    """Return the live pointer with the dartifact that plain readers get."""
    return {"live": pointer.live, **describe_production(pointer)}


def describe_under_way(under_way: UnderWay | None) -> UnderWayDocument | None:
    """Return where a promotion or rollback stands as a document."""
    if under_way is None:
        return None
    return {
        "plan_id": under_way.plan.plan_id,
        "kind": under_way.plan.kind,
        "dartifact": under_way.plan.dartifact,
        "slot": under_way.plan.slot,
        "number": under_way.number,
        "of": len(under_way.plan.steps),
        "step": str(under_way.step),
        "goes_on_at": stamp_or_none(under_way.goes_on_at),
    }


def describe_promotion(plan: Plan | None, under_way: UnderWay | None, pointer: LivePointer) -> PromotionDocument:
    """Return what a promotion did or would do, where it stands, and production after it."""
    return {
        "plan": plan.to_json() if plan else None,
        "under_way": describe_under_way(under_way),
        "production": describe_production(pointer),
    }


def describe_rollback(rollback: Rollback) -> RollbackDocument:
    """Return a rollback, decided or done, as a document."""
    return {
        "leaves": rollback.leaves,
        "returns": rollback.returns,
        "commit": rollback.commit,
        "warm": rollback.warm,
        "data_of": rollback.data_of,
        "steps": [str(step) for step in rollback.plan.steps],
        "runs_out": list(rollback.runs_out),
        "reverts": list(rollback.reverts),
        "blames": [{"kind": blame.kind, "value": blame.value} for blame in rollback.blames],
        "freezes": rollback.freezes,
        "marts": rollback.marts,
        "published": rollback.published,
        "note": rollback.note,
    }


def describe_rolled_back(rollback: Rollback, reverted: Sequence[str]) -> RolledBack:
    """Return a rollback that was done, with the runs that have left `main` since."""
    return {**describe_rollback(rollback), "reverted": list(reverted)}
