"""Signatures of the verbs of a reviewer: decide on runs and dartifacts, repair runs, waive checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.options import CommitOption, NameArgument, Output, OutputOption, ReasonOption, RunArgument


def approve(
    run: NameArgument,
    reason: ReasonOption,
    commit: CommitOption = "",
    report: Annotated[str, typer.Option(help="only if this is still its report")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Approve a run with its failing checks, or a dartifact.

    The failing checks of a run are accepted as they are and its merge is requested; any new failure still stops it. A
    dartifact is approved for promotion.
    """


def reject(
    run: NameArgument, reason: ReasonOption, commit: CommitOption = "", output: OutputOption = Output.TEXT
) -> None:
    """Reject a run or a dartifact.

    A rejected run is never merged and its window stays a gap; a rejected dartifact is never promoted.
    """


def recheck(run: RunArgument, output: OutputOption = Output.TEXT) -> None:
    """Run the local checks of a stopped run again.

    For example after a change of checks/.
    """


def fix(
    run: RunArgument,
    reason: ReasonOption,
    file: Annotated[
        Path | None, typer.Option(help="Parquet or CSV with all rows of the run; default what its branch holds")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replace the rows of a run and check it again."""


def split(run: RunArgument, reason: ReasonOption, output: OutputOption = Output.TEXT) -> None:
    """Split off the failing rows of a run; merge the rest.

    The rows that no check fails become a run of their own; the failing ones stay on the branch of this one.
    """


def open_change(
    dataset: Annotated[str, typer.Option(help="the dataset to change, e.g. orders")],
    reason: ReasonOption,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a manual change of a dataset.

    A run without a source: its rows come with `dartifact fix` and pass the same gates.
    """


def waive(
    dataset: Annotated[str, typer.Argument(help="a dataset or mart, e.g. orders")],
    check: Annotated[str, typer.Argument(help="a check of it, as `dartifact show RUN` names it")],
    until: Annotated[str, typer.Option(help="ISO date or time at which it ends; UTC unless it names a zone")],
    reason: ReasonOption,
    rows: Annotated[
        int | None, typer.Option(help="failing rows of a run that are accepted; default as last seen", min=0)
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a failing check only warn, until a date."""


def waivers(
    everything: Annotated[bool, typer.Option("--all", help="ended ones and approvals of single runs, too")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the waivers in force."""


def unwaive(number: Annotated[int, typer.Argument(help="the number of a waiver")], reason: ReasonOption) -> None:
    """End a waiver before its date."""
