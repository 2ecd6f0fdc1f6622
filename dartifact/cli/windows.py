"""Verbs about windows and stops: bring a stretch again, accept what is missing, pause and go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from dartifact.cli.frame import Output, OutputOption, answer, end_by_phase, opened, say
from dartifact.cli.simulated import find_stand_in
from dartifact.domain import errors

ReasonOption = Annotated[str, typer.Option(help="why; kept in the ledger")]


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(backfill)
    app.command(name="accept-gap")(accept_gap)
    app.command()(pause)
    app.command()(resume)
    app.command(name="stop-the-line")(stop_the_line)
    app.command(name="start-the-line")(start_the_line)


def read_time(text: str) -> datetime:
    """Read an ISO date or time; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a date nor a time"
        raise errors.UsageError(message, hint="write 2021-01-31 or 2021-01-31T12:30:00Z") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def backfill(
    source: Annotated[str, typer.Argument(help="a source, e.g. orders")],
    lo: Annotated[str, typer.Option("--from", help="ISO date or time, itself left out; UTC unless it names a zone")],
    to: Annotated[str, typer.Option("--to", help="ISO date or time, itself brought; UTC unless it names a zone")],
    ingestor: Annotated[str, typer.Option(help="which of its ingestors; default all")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a stretch of a source once more, and close the holes it covers."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.ingest.backfill import backfill as bring  # noqa: PLC0415
    from dartifact.project import load_source  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_source, open_stack, telling  # noqa: PLC0415

    first, last = read_time(lo), read_time(to)
    settings = read_settings()
    module = load_source(source, settings.project)
    names = [each.name for each in module.SOURCE.ingestors]
    if ingestor and ingestor not in names:
        raise errors.UsageError(f"{source} has no ingestor {ingestor}; it has {', '.join(names)}")
    chosen = [ingestor] if ingestor else names
    with (
        open_stack(settings, say) as stack,
        open_source(settings, source, find_stand_in(settings.home)) as access,
        telling(settings, stack, say),
    ):
        runs = bring(stack, module.SOURCE, module.extract(access), chosen, first, last, actor=settings.person,
                     tell=lambda run: say(cli_words.tell_chunk(run)))  # fmt: skip
    answer([documents.describe_run(run) for run in runs], output, cli_words.tell_runs_brought(runs))
    end_by_phase(runs)


def accept_gap(
    run: Annotated[str, typer.Argument(help="the run that left the hole (or its branch)")],
    reason: ReasonOption,
    output: OutputOption = Output.TEXT,
) -> None:
    """Accept that the rows of a hole are missing for good."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.commands.ingest.backfill import accept_gap as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        done = command(stack, run.removeprefix("run-"), reason=reason, actor=settings.person)
    answer(documents.describe_run(done), output, f"the gap of {done.run_id} is accepted")


def pause(ingestor: Annotated[str, typer.Argument(help="an ingestor, e.g. dan")], reason: ReasonOption) -> None:
    """Let an ingestor bring nothing until it is resumed; what it does now ends normally."""
    from dartifact.commands.stops import pause as command  # noqa: PLC0415

    with opened(lake=False) as (settings, stack):
        command(stack, ingestor, reason=reason, actor=settings.person)
    say(f"{ingestor} is paused; next: dartifact resume {ingestor}")


def resume(ingestor: Annotated[str, typer.Argument(help="an ingestor, e.g. dan")]) -> None:
    """Let a paused ingestor go on where it stopped."""
    from dartifact.commands.stops import resume as command  # noqa: PLC0415

    with opened(lake=False) as (settings, stack):
        was_paused = command(stack, ingestor, actor=settings.person)
    say(f"{ingestor} {'goes on' if was_paused else 'was not paused'}")


def stop_the_line(reason: ReasonOption) -> None:
    """Refuse ingest, integrate, stage and promote until the line is started; rollback still works."""
    from dartifact.commands.stops import stop_line  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        stop_line(stack, reason=reason, actor=settings.person)
    say("the line is stopped; next: dartifact start-the-line")


def start_the_line() -> None:
    """Let the line go on."""
    from dartifact.commands.stops import start_line  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        was_stopped = start_line(stack, actor=settings.person)
    say("the line goes on" if was_stopped else "the line was not stopped")
