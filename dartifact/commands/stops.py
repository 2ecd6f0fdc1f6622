"""Stops: a person pauses an ingestor, or the whole pipeline: nothing new is begun until a person resumes it."""

from __future__ import annotations

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Stop
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role

LINE = "the line"  # the name in the ledger


def pause(stack: Stack, ingestor: str, *, reason: str, actor: str) -> None:
    """Pause an ingestor: it ingests nothing until it is resumed."""
    stack.require(Role.OPERATOR, "pause an ingestor")
    _refuse_unknown(stack, ingestor)
    with stack.ledger.write() as tx:
        tx.stops.add(ingestor, reason, EventType.INGESTOR_PAUSED, actor)


def resume(stack: Stack, ingestor: str, *, actor: str) -> bool:
    """Resume an ingestor; False when it was not paused."""
    stack.require(Role.OPERATOR, "resume an ingestor")
    _refuse_unknown(stack, ingestor)
    with stack.ledger.write() as tx:
        return tx.stops.remove(ingestor, EventType.INGESTOR_RESUMED, actor)


def stop_line(stack: Stack, *, reason: str, actor: str) -> None:
    """Refuse ingest, integrate, stage and promote from now on; what runs already ends normally."""
    stack.require(Role.OPERATOR, "pause the pipeline")
    with stack.ledger.write() as tx:
        tx.stops.add(LINE, reason, EventType.LINE_STOPPED, actor)


def start_line(stack: Stack, *, actor: str) -> bool:
    """Resume the pipeline; False when it was not paused."""
    stack.require(Role.OPERATOR, "resume the pipeline")
    with stack.ledger.write() as tx:
        return tx.stops.remove(LINE, EventType.LINE_STARTED, actor)


def refuse_while_stopped(ledger: Ledger, ingestor: str | None = None) -> None:
    """Raise Stopped while the pipeline or the ingestor is paused."""
    for stop in ledger.stops():
        if stop.name == LINE:
            raise errors.Stopped(describe_stop(stop), hint=Command("resume", "--all"))
        if stop.name == ingestor:
            raise errors.Stopped(describe_stop(stop), hint=Command("resume", ingestor))


def describe_stop(stop: Stop) -> str:
    """Say who paused what, when and why."""
    name = "the pipeline" if stop.name == LINE else stop.name
    return f"{name} was paused by {stop.actor} at {stop.at:%Y-%m-%d %H:%M} UTC: {stop.reason}"


def _refuse_unknown(stack: Stack, ingestor: str) -> None:
    known = sorted(each.name for source in stack.sources.values() for each in source.ingestors)
    if ingestor not in known:
        raise errors.UsageError(f"there is no ingestor {ingestor}; there are {', '.join(known)}")
