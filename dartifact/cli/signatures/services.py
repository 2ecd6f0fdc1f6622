"""Signatures of the verbs that run things on this machine."""

from __future__ import annotations

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


def doctor(output: OutputOption = Output.TEXT) -> None:
    """Check everything dartifact needs; say how to fix it."""


def notify_test(output: OutputOption = Output.TEXT) -> None:
    """Send a test message to every notification target.

    Says what each answered; exit code 4 when one did not take it.
    """
