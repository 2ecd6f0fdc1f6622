"""Arguments and options that several verbs take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How a verb answers."""

    TEXT = "text"
    JSON = "json"


class DiffOutput(StrEnum):
    """How the diff answers."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json: one document on stdout")]
ReasonOption = Annotated[str, typer.Option(help="the reason; recorded in the ledger")]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask again")]
CommitOption = Annotated[str, typer.Option(help="only if this is still its commit")]
SourceArgument = Annotated[str, typer.Argument(help="a source, e.g. orders")]
RunArgument = Annotated[str, typer.Argument(help="a run id (or its branch)")]
NameArgument = Annotated[str, typer.Argument(help="a run id (or its branch), or a dartifact")]
