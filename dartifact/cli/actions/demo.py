"""The verb `demo`."""

from __future__ import annotations

import typer

from dartifact.cli.exit_codes import CHECKS_FAILED
from dartifact.cli.options import Output
from dartifact.demo.play import play_on, play_once
from dartifact.demo.story import Story
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.settings import read_settings


def demo(once: bool, orders: int | None, every: int, output: Output) -> None:
    """Play the story once, or through Prefect until Ctrl-C."""
    if once:
        story: Story | None = play_once(read_settings(), orders or 10_000, as_json=output is Output.JSON)
    elif output is Output.JSON:
        raise errors.UsageError("a demo that goes on has no one document", hint=Command("demo", "--once -o json"))
    else:
        story = play_on(read_settings(ingest_seconds=every), orders or 120)
    if story is not None and not story.ok:
        raise typer.Exit(CHECKS_FAILED)
