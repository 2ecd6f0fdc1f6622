"""Signatures of the verbs that merge and build."""

from __future__ import annotations

from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption, ReasonOption, YesOption


def integrate(output: OutputOption = Output.TEXT) -> None:
    """Check the merge queue as it will be merged; merge it.

    Advances main by all runs whose checks pass together, and takes pending reverts out.
    """


def adopt(reason: ReasonOption = "", yes: YesOption = False, output: OutputOption = Output.TEXT) -> None:
    """Take what the lake holds into the ledger.

    For a ledger that was lost or restored from an older copy, and for a main that is held because somebody merged by
    hand. Shows what would be taken in and what the lake cannot tell; does it with --reason, after a question or --yes.
    """


def restore_main(reason: ReasonOption = "", yes: YesOption = False, output: OutputOption = Output.TEXT) -> None:
    """Bring main back to what was tested last.

    The other way out of a main that is held. Shows which runs leave main; does it with --reason, after a question or
    --yes. The branches of these runs stay.
    """


def stage(
    retry: Annotated[bool, typer.Option("--retry", help="clear the block on the current code and rebuild")] = False,
    code: Annotated[bool, typer.Option("--code", help="go over to the code of this checkout, if older too")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build main with dbt, check it, pack it as a dartifact.

    A red dartifact goes nowhere, and its culprit is named: the code or a run. A checkout whose code the line has left
    for another one is refused: two of them would take production to and fro.
    """
