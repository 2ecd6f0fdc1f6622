"""Signatures of the verbs that ingest, and that pause and resume."""

from __future__ import annotations

from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption, ReasonOption, SourceArgument

IngestorArgument = Annotated[str, typer.Argument(help="an ingestor, e.g. dan")]
AllOption = Annotated[bool, typer.Option("--all", help="everything but rollback, instead of one ingestor")]


def ingest(
    source: SourceArgument,
    ingestor: Annotated[str, typer.Option(help="which of its ingestors; default the first")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Ingest the next window of a source and check it.

    The rows land on a branch of their own; when the local checks pass, their merge is requested.
    """


def backfill(
    source: SourceArgument,
    lo: Annotated[str, typer.Option("--from", help="ISO date or time, exclusive; UTC unless it names a zone")],
    to: Annotated[str, typer.Option("--to", help="ISO date or time, inclusive; UTC unless it names a zone")],
    ingestor: Annotated[str, typer.Option(help="which of its ingestors; default all")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Ingest an interval of a source again; close its gaps.

    Rows that main has already are skipped.
    """


def accept_gap(
    run: Annotated[str, typer.Argument(help="the run that left the gap (or its branch)")],
    reason: ReasonOption,
    output: OutputOption = Output.TEXT,
) -> None:
    """Accept that the rows of a gap are missing for good."""


def pause(reason: ReasonOption, ingestor: IngestorArgument = "", everything: AllOption = False) -> None:
    """Pause an ingestor, or everything with --all.

    A paused ingestor ingests nothing; --all refuses ingest, integrate, stage and promote. What runs now ends normally,
    and rollback always works.
    """


def resume(ingestor: IngestorArgument = "", everything: AllOption = False) -> None:
    """Resume an ingestor, or everything with --all."""
