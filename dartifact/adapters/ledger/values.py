"""What the ledger holds beside runs, windows and dartifacts: events, stops, intents and promotions, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dartifact.domain.dartifacts import DartifactState, Passport
from dartifact.domain.plans import Plan, PromotionState
from dartifact.domain.runs import Phase


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of the past.

    `place` is where the actor was: the browser, the command line, Prefect, and the machine; `seal` is over this event
    and all before it.
    """

    sequence: int
    at: datetime
    type: str
    actor: str
    place: str
    run_id: str | None
    dartifact_id: str | None
    operation: str | None
    payload: dict[str, Any]
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """What a person has stopped: the line, or one ingestor."""

    name: str
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What was about to be written to the lake; `outcome` is None while nobody has closed it."""

    operation: str
    kind: str
    at: datetime
    outcome: str | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One plan under execution or executed: `done` steps of it."""

    plan: Plan
    done: int
    state: PromotionState
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run that a lake holds and its ledger lacks; `seq` is None where the lake does not tell when it was claimed."""

    run_id: str
    source: str
    ingestor: str
    shard: int
    number: int
    seq: int | None
    lo: datetime
    hi: datetime
    phase: Phase
    commit: str | None
    rows: int | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundDartifact:
    """A dartifact that a lake keeps and its ledger lacks."""

    dartifact_id: str
    state: DartifactState
    code_digest: str
    main_commit: str
    runs: tuple[str, ...]
    built_at: datetime
    commit: str
    meta_range: str
    passport: Passport
