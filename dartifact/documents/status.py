"""Where everything stands, as one document."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Stop
from dartifact.adapters.transform.project_code import digest_code
from dartifact.commands.production.under_way import find_under_way
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.commands.staging.codes import find_last_good, find_refusal
from dartifact.commands.stops import describe_stop
from dartifact.documents.gaps import BacklogDocument, GapDocument, describe_backlog, describe_gaps
from dartifact.documents.production import LiveDocument, UnderWayDocument, describe_live, describe_under_way
from dartifact.documents.values import stamp
from dartifact.documents.waivers import WaiverDocument, describe_waiver
from dartifact.domain.runs import Phase, Run
from dartifact.local.note import Note, Part


class StopDocument(TypedDict):
    """What a person has paused: everything, or one ingestor; `say` is a sentence on it."""

    name: str
    actor: str
    at: str
    reason: str
    say: str


class MainDocument(TypedDict):
    """The head of `main`, whether it is tested, and why not."""

    commit: str
    meta_range: str
    tested: bool
    why: str


class WaitingRun(TypedDict):
    """A run that waits in the merge queue for another one."""

    run_id: str
    reasons: list[str]


class StoppedRun(TypedDict):
    """A run that a gate has stopped."""

    run_id: str
    phase: str
    branch: str
    reasons: list[str]


class StagingDocument(TypedDict):
    """The newest dartifact; why the current code is blocked, and whose code is built instead."""

    dartifact: str | None
    state: str | None
    reasons: list[str]
    refused: str | None
    built_with: str | None


class PartDocument(TypedDict):
    """One service of this machine: where it answers, its process and its log."""

    name: str
    where: str
    pid: int
    log: str


class ServicesDocument(TypedDict):
    """What `dartifact up` runs on this machine."""

    pid: int
    created: float
    phase: str
    api_url: str
    parts: list[PartDocument]


class StatusDocument(TypedDict):
    """Where everything stands; `services` only where they were looked for."""

    stops: list[StopDocument]
    main: MainDocument
    waiting: list[WaitingRun]
    queue: list[str]
    stopped: list[StoppedRun]
    gaps: list[GapDocument]
    backlog: list[BacklogDocument]
    staging: StagingDocument
    production: LiveDocument
    under_way: UnderWayDocument | None
    waivers: list[WaiverDocument]
    open_intents: list[str]
    services: NotRequired[ServicesDocument | None]


def describe_status(stack: Stack) -> StatusDocument:
    """Return where everything stands."""
    ledger = stack.ledger
    head = stack.lake.head(MAIN)
    waiting = ledger.runs(phases=(Phase.QUEUED,))
    return {
        "stops": [_describe_stop(stop) for stop in ledger.stops()],
        "main": _describe_main(ledger, head),
        "waiting": [{"run_id": run.run_id, "reasons": list(run.reasons)} for run in reversed(waiting) if run.reasons],
        "queue": [run.run_id for run in waiting] + [f"revert {run.run_id}" for run in ledger.pending_reverts()],
        "stopped": [_describe_stopped(run) for run in ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)],
        "gaps": describe_gaps(ledger),
        "backlog": [describe_backlog(window) for window in ledger.newest_claims() if window.backlog],
        "staging": _describe_staging(stack),
        "production": describe_live(ledger.pointer()),
        "under_way": describe_under_way(find_under_way(stack)),
        "waivers": [describe_waiver(waiver) for waiver in ledger.waivers()],
        "open_intents": [intent.operation for intent in ledger.open_intents()],
    }


def describe_services(note: Note | None) -> ServicesDocument | None:
    """Return what runs on this machine; None where nothing does."""
    if note is None:
        return None
    return {
        "pid": note.pid,
        "created": note.created,
        "phase": note.phase,
        "api_url": note.api_url,
        "parts": [_describe_part(part) for part in note.parts],
    }


def _describe_part(part: Part) -> PartDocument:
    return {"name": part.name, "where": part.where, "pid": part.pid, "log": part.log}


def _describe_main(ledger: Ledger, head: Commit) -> MainDocument:
    main = is_main_tested(ledger, head)
    return {"commit": head.commit_id, "meta_range": head.meta_range, "tested": main.is_tested, "why": main.why}


def _describe_stopped(run: Run) -> StoppedRun:
    return {"run_id": run.run_id, "phase": run.phase.value, "branch": run.branch, "reasons": list(run.reasons)}


def _describe_staging(stack: Stack) -> StagingDocument:
    newest = next(iter(stack.ledger.dartifacts(most=1)), None)
    refused, good = find_refusal(stack.ledger, digest_code(stack.project)), find_last_good(stack.ledger)
    return {
        "dartifact": newest.dartifact_id if newest else None,
        "state": newest.state.value if newest else None,
        "reasons": list(newest.reasons) if newest else [],
        "refused": refused,
        "built_with": good.dartifact_id if refused and good else None,
    }


def _describe_stop(stop: Stop) -> StopDocument:
    return {
        "name": stop.name,
        "actor": stop.actor,
        "at": stamp(stop.at),
        "reason": stop.reason,
        "say": describe_stop(stop),
    }
