"""Signatures of the verbs about production."""

from __future__ import annotations

from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption, ReasonOption


def promote(
    dartifact: Annotated[str, typer.Argument(help="a green dartifact; default the newest")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="show the steps, do nothing")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Promote a green dartifact to production, step by step.

    Idle slot, smoke test, shift and soak, settle. Ctrl-C leaves it where it is.
    """


def abort(reason: ReasonOption) -> None:
    """Abort the promotion under way and freeze promotions.

    Consumers read what is live, at once; the dartifact stays approved.
    """


def rollback(
    to: Annotated[str, typer.Option(help="a dartifact that served before; default the last one free of blame")] = "",
    blame: Annotated[list[str] | None, typer.Option(help="a run id, runs, code or unknown; may be repeated")] = None,
    reason: Annotated[str, typer.Option(help="the reason; recorded in the ledger")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="show what it would do, do nothing")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Roll production back to a dartifact that served before.

    Takes effect immediately, also without the lake; then the blamed runs are reverted.
    """


def freeze(reason: ReasonOption) -> None:
    """Freeze promotions; one under way stays where it is."""


def unfreeze(reason: ReasonOption) -> None:
    """Allow promotions again.

    After a freeze, an abort, or a rollback with unknown blame.
    """


def resolve(
    consumer: Annotated[str, typer.Option(help="a named reader; without it, plain readers of production")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the commit that a reader should read now."""


def report_error(
    consumer: Annotated[str, typer.Option(help="the named reader that found it")],
    message: Annotated[str, typer.Option(help="what is wrong")],
    commit: Annotated[str, typer.Option(help="the commit it read; default what it resolved last")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Report an error that a consumer found in what it read.

    A promotion of what it read is stopped.
    """
