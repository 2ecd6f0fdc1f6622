"""Runs: one pass of one ingestor over one window, and the phases it may go through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from dartifact.domain.checks import Gate
from dartifact.domain.errors import IllegalTransition
from dartifact.domain.windows import Window, WindowState

FIRST_NUMBER = 100


class Phase(StrEnum):
    """Where a run is on the road."""

    EXTRACTING = "extracting"
    CHECKING = "checking"
    FAILED = "failed"
    HELD = "held"
    QUEUED = "queued"
    MERGED = "merged"
    LIVE = "live"
    REVERTED = "reverted"
    REJECTED = "rejected"
    EMPTY = "empty"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.EXTRACTING: frozenset({Phase.CHECKING, Phase.EMPTY, Phase.HELD, Phase.REJECTED}),
    Phase.CHECKING: frozenset({Phase.QUEUED, Phase.FAILED, Phase.HELD, Phase.REJECTED}),
    Phase.FAILED: frozenset({Phase.CHECKING, Phase.QUEUED, Phase.REJECTED}),
    Phase.HELD: frozenset({Phase.EXTRACTING, Phase.CHECKING, Phase.QUEUED, Phase.FAILED, Phase.MERGED, Phase.REJECTED}),
    Phase.QUEUED: frozenset({Phase.MERGED, Phase.FAILED, Phase.HELD, Phase.REJECTED}),
    Phase.MERGED: frozenset({Phase.LIVE, Phase.REVERTED}),
    Phase.LIVE: frozenset({Phase.MERGED, Phase.REVERTED}),
    Phase.REVERTED: frozenset({Phase.CHECKING, Phase.QUEUED, Phase.MERGED, Phase.REJECTED}),
    Phase.REJECTED: frozenset(),
    Phase.EMPTY: frozenset(),
}

WINDOW_STATE: dict[Phase, WindowState] = {
    Phase.EXTRACTING: WindowState.OPEN,
    Phase.CHECKING: WindowState.OPEN,
    Phase.QUEUED: WindowState.OPEN,
    Phase.FAILED: WindowState.HELD,
    Phase.HELD: WindowState.HELD,
    Phase.MERGED: WindowState.MERGED,
    Phase.LIVE: WindowState.MERGED,
    Phase.REVERTED: WindowState.REVERTED,
    Phase.REJECTED: WindowState.REJECTED,
    Phase.EMPTY: WindowState.EMPTY,
}

UNFINISHED = (Phase.EXTRACTING, Phase.CHECKING)


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the ledger knows it.

    `commit` is the tested commit on `branch` (None before the batch is committed); `revert_reason` is set while the run
    waits in the merge queue to be taken out of `main`; `held_until` ends the grace time of a held run.
    """

    run_id: str
    source: str
    ingestor: str
    number: int
    window: Window
    phase: Phase
    created_at: datetime
    gate: Gate | None = None
    commit: str | None = None
    rows: int | None = None
    report: str | None = None
    reasons: tuple[str, ...] = ()
    attempts: int = 0
    held_until: datetime | None = None
    revert_reason: str | None = None

    @property
    def branch(self) -> str:
        """Name the run's branch in the lake."""
        return run_branch(self.run_id)

    @property
    def folder(self) -> str:
        """Name the folder in `main` that this run alone writes."""
        return run_folder(self.source, self.run_id)


def run_id(source: str, ingestor: str, hi: datetime, number: int) -> str:
    """Build the id of a run from its window's end: `customers-dana-20210101T0000Z-101`."""
    return f"{source}-{ingestor}-{hi.astimezone(UTC):%Y%m%dT%H%MZ}-{number}"


def run_branch(run_id: str) -> str:
    """Name the branch of a run."""
    return f"run-{run_id}"


def read_run_id(name: str) -> str:
    """Read the id of a run as people write it: the id itself, or the name of the run's branch."""
    return name.removeprefix(run_branch(""))


def run_folder(source: str, run_id: str) -> str:
    """Name the folder of a run, with the closing slash."""
    return f"raw/{source}/{run_id}/"


def folder_owner(path: str) -> tuple[str, str] | None:
    """Return (dataset, run id) of a path below `raw/<dataset>/<run id>/`, None for any other path."""
    parts = path.split("/")
    if len(parts) >= 4 and parts[0] == "raw" and all(parts[1:3]):
        return parts[1], parts[2]
    return None


def check_transition(run_id: str, old: Phase, new: Phase) -> None:
    """Raise IllegalTransition unless a run may go from `old` to `new`."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing"
        raise IllegalTransition(f"run {run_id} is {old}; it can become {allowed}, not {new}")
