"""Signatures of the verbs that run things on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption


def demo(
    once: Annotated[bool, typer.Option("--once", help="play the story once, without Prefect, and end")] = False,
    orders: Annotated[
        int | None, typer.Option(help="orders in five minutes; default 120, with --once 10,000", min=10)
    ] = None,
    every: Annotated[int, typer.Option(help="without --once: seconds between ingests after the story")] = 10,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play the story of the product on a real lake.

    A good day, a bad chunk, a forgotten check, a wrong model, blue/green, a rollback. Without --once it runs through
    Prefect and keeps ingesting until Ctrl-C; with --once it ends, with exit code 3 when a chapter ends differently.
    """


def up(
    detach: Annotated[bool, typer.Option("--detach", help="return once everything is up")] = False,
    every: Annotated[int | None, typer.Option(help="seconds between ingests; default 300")] = None,
) -> None:
    """Run everything on this machine: lake, Prefect, worker, UI."""


def down() -> None:
    """Stop what `dartifact up` runs."""


def backup(
    to: Annotated[Path, typer.Argument(help="a folder; files that are in it already are not copied again")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Copy ledger and lake of this machine while everything runs.

    Nothing moves main or production for the moment that it takes to copy the ledger; ingests go on.
    """


def restore(
    backup: Annotated[Path, typer.Argument(help="what `dartifact backup` wrote: the folder, or one moment in it")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a backup into an empty home.

    The newest moment, unless one is named. Nothing is written over: move the old ledger and lake away first.
    """


def verify(
    backup: Annotated[Path | None, typer.Argument(help="a backup to look at instead of ledger and lake")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="read every object of main and production")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Verify that ledger and lake agree, or that a backup is whole.

    Looks at the chain of events, the runs in main, the branches of stopped runs, the dartifacts and production.
    """


def doctor(output: OutputOption = Output.TEXT) -> None:
    """Check everything dartifact needs; say how to fix it."""


def notify_test(output: OutputOption = Output.TEXT) -> None:
    """Send a test message to every notification target.

    Says what each answered; exit code 4 when one did not take it.
    """
