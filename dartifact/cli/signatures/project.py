"""Signatures of the verbs about a project as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.options import Output, OutputOption


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="where; default here")] = Path(),
    example: Annotated[bool, typer.Option("--example", help="with the orders of a simulated company")] = False,
    ui: Annotated[bool, typer.Option("--ui", help="with the pages of the browser UI, to change them")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a new project, or the example with --example.

    With the folders of sources, checks and models, the deployments, and a test of its own. Existing files stay.
    """


def ui(
    port: Annotated[int, typer.Option(help="where to serve it on this machine; default DARTIFACT_UI_PORT")] = 0,
) -> None:
    """Serve the browser UI of the project.

    On this machine, until Ctrl-C; `dartifact up` serves it, too.
    """
