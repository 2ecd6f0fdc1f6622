"""The verb `resolve`."""

from __future__ import annotations

from dataclasses import asdict

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.commands.production import resolution


def resolve(consumer: str, output: Output) -> None:
    """Answer with the commit of a reader."""
    with opened(lake=False, sources=False) as (_, stack):
        found = resolution.resolve(stack, consumer or None)
    answer(asdict(found), output, lambda: found.commit)
