"""Signatures of the verbs that merge and build."""

from __future__ import annotations

from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption


def integrate(output: OutputOption = Output.TEXT) -> None:
    """Check the merge queue as it will be merged; merge it.

    Advances main by all runs whose checks pass together, and takes pending reverts out.
    """


def stage(
    retry: Annotated[bool, typer.Option("--retry", help="clear the block on the current code and rebuild")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build main with dbt, check it, pack it as a dartifact.

    A red dartifact goes nowhere, and its culprit is named: the code or a run.
    """
