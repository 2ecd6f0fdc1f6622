"""All that is known of one run or dartifact, as one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar, final

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.stack import Stack
from dartifact.documents.checks import (
    CheckDocument,
    SampledCheck,
    describe_check,
    describe_with_sample,
    list_results,
)
from dartifact.documents.dartifacts import DartifactDocument, describe_dartifact
from dartifact.documents.events import EventDocument, RefusalDocument, describe_event, describe_refusal
from dartifact.documents.runs import RunDocument, describe_run
from dartifact.documents.waivers import WaiverDocument, describe_waiver
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.runs import Run, read_run_id

CheckT = TypeVar("CheckT", bound=CheckDocument)
EventT = TypeVar("EventT", bound=EventDocument)


class RunRecord(RunDocument, Generic[CheckT, EventT]):
    """One run with its checks, waivers and events; who shows it may tell more of each check and event."""

    report: str | None
    checks: list[CheckT]
    waivers: list[WaiverDocument]
    events: list[EventT]


@final
class SampledRun(RunRecord[SampledCheck, EventDocument]):
    """One run with failing rows of its checks, and the candidates that were refused with it."""

    refused_in: list[RefusalDocument]


class DartifactRecord(DartifactDocument):
    """One dartifact with its passport and events."""

    events: list[EventDocument]


def describe_one(stack: Stack, name: str) -> SampledRun | DartifactRecord:
    """Return one run with checks, failing rows and events, or one dartifact with its passport and events."""
    try:
        run = stack.ledger.run(read_run_id(name))
    except errors.NotFound:
        return _describe_dartifact_record(stack.ledger, name)
    refusals = stack.ledger.refusals(run.run_id)
    kept = set(stack.lake.list_branches("candidate-")) if refusals else set()
    checks = [describe_with_sample(stack, run, result) for result in list_results(stack.ledger, run)]
    record = _describe_record(stack.ledger, run, checks)
    return {**record, "refused_in": [describe_refusal(event, kept) for event in refusals]}


def _describe_dartifact_record(ledger: Ledger, name: str) -> DartifactRecord:
    try:
        dartifact = ledger.dartifact(name)
    except errors.NotFound as error:
        message = f"there is neither a run nor a dartifact {name}"
        raise errors.NotFound(message, hint=(Command("runs"), ", or ", Command("status"))) from error
    events = ledger.events(dartifact_id=dartifact.dartifact_id)
    return {**describe_dartifact(dartifact), "events": [describe_event(event) for event in events]}


def describe_run_record(ledger: Ledger, run_id: str) -> RunRecord[CheckDocument, EventDocument]:
    """Return one run with its checks, waivers and events: what the ledger knows of it."""
    run = ledger.run(run_id)
    return _describe_record(ledger, run, [describe_check(result) for result in list_results(ledger, run)])


def _describe_record(ledger: Ledger, run: Run, checks: Sequence[CheckT]) -> RunRecord[CheckT, EventDocument]:
    return {
        **describe_run(run),
        "report": run.report,
        "checks": list(checks),
        "waivers": [describe_waiver(waiver) for waiver in ledger.waivers(run_ids=[run.run_id])],
        "events": [describe_event(event) for event in ledger.events(run_id=run.run_id)],
    }
