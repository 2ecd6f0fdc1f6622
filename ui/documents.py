"""What only the pages show: the documents of the command line, with what a page tells beside them, and rows of tables.

Times of a document are in ISO format; those of a row are times, which the pages write as they do.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias, TypedDict

from dartifact.documents.checks import CheckDocument
from dartifact.documents.dartifacts import DartifactDocument
from dartifact.documents.events import EventDocument
from dartifact.documents.production import LiveDocument, RollbackDecision, UnderWayDocument
from dartifact.documents.records import RunRecord
from dartifact.documents.runs import RunDocument

# Runs and events


class ShownEvent(EventDocument):
    """An event with its reason, or what it did."""

    why: str


ShownRun: TypeAlias = RunRecord[CheckDocument, ShownEvent]


class EventRow(TypedDict):
    """A line of the activity log."""

    sequence: int
    at: datetime
    type: str
    actor: str
    place: str
    run: str | None
    dartifact: str | None
    why: str
    seal: str


class GapRow(TypedDict):
    """A window whose rows are missing from `main`, and the run that left it."""

    source: str
    lo: datetime
    hi: datetime
    state: str
    run: str


# Dartifacts


class Approval(TypedDict):
    """Who has approved a dartifact, when and why."""

    who: str
    at: str
    why: str


class ApprovalsDocument(TypedDict):
    """Who has approved a dartifact, who may not, how many approvals it needs, and what readers would lose by it."""

    given: list[Approval]
    authors: list[str]
    needed: int
    losses: list[str]


class UnapprovedDocument(TypedDict):
    """A dartifact that waits for approvals: how many it has, and needs."""

    dartifact: str
    given: int
    needed: int


class MartChange(TypedDict):
    """A mart of two dartifacts: its rows on both sides, and whether the content differs."""

    mart: str
    rows_before: int | None
    rows: int | None
    differs: bool


# Production


class SlotsDocument(LiveDocument):
    """Where production stands, and when the data of each slot was built."""

    built: dict[str, str | None]


class StepsDocument(UnderWayDocument):
    """Where a promotion or rollback stands, with all its steps."""

    steps: list[str]


class NextPromotion(DartifactDocument):
    """The dartifact that would be promoted now, where to and by which steps."""

    slot: str
    steps: list[str]


class RollbackPreview(RollbackDecision):
    """What a rollback would do; `builds` are the build commits of what leaves and what returns."""

    marts: list[MartChange]
    builds: tuple[str, str]


class PromotionRow(TypedDict):
    """A promotion or rollback of the past."""

    started: datetime
    ended: datetime | None
    kind: str
    dartifact: str
    slot: str
    state: str
    steps: str


# Now


class MainNow(TypedDict):
    """The newest head of `main` that the ledger knows: since when, whether it is tested, and why not."""

    at: str | None
    tested: bool
    why: str


class StripRun(TypedDict):
    """One of the last runs of an ingestor."""

    run: str
    phase: str
    rows: int | None
    hi: str


class NowDocument(TypedDict):
    """What a wall shows; `strips` by ingestor, the oldest run first."""

    paused: list[str]
    running: list[RunDocument]
    queue: int
    stopped: list[RunDocument]
    counts: dict[str, int]
    main: MainNow
    staging: DartifactDocument | None
    production: SlotsDocument
    data_of: str | None
    under_way: StepsDocument | None
    gaps: list[GapRow]
    unapproved: list[UnapprovedDocument]
    strips: dict[str, list[StripRun]]
