"""Signatures of the verbs about the checks themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption


def validate(output: OutputOption = Output.TEXT) -> None:
    """Validate every file of checks/, without a lake.

    Reads each strictly; exit code 1 when one is not valid.
    """


def self_test(
    dataset: Annotated[str, typer.Argument(help="a dataset, e.g. orders; default all")] = "",
    seed: Annotated[int, typer.Option(help="which columns and rows get the faults")] = 0,
    magnitude: Annotated[float, typer.Option(help="how strong the faults are that have a strength", min=0.01)] = 1.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Inject known faults and report which the gates stop.

    Into a recent good batch, one fault at a time, on a throw-away branch.
    """
