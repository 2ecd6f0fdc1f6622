"""What all actions have in common: how they open the stack, answer and end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import typer

from dartifact.cli.exit_codes import CHECKS_FAILED, NOT_CHECKED
from dartifact.cli.options import Output
from dartifact.commands.stack import Stack
from dartifact.domain import marks
from dartifact.domain.runs import Phase, Run
from dartifact.domain.storable import clean_json
from dartifact.settings import Settings, read_settings
from dartifact.wiring import open_stack, telling

T = TypeVar("T")


def print_progress(line: str) -> None:
    """Print to stderr what goes on; the answer alone is on stdout."""
    print(marks.show_values(line), file=sys.stderr, flush=True)


def run_and_report(name: str, step: Callable[[], T], /) -> T:
    """Run a step, named on stderr when it is done."""
    result = step()
    print_progress(f"done: {name}")
    return result


@contextmanager
def opened(*, lake: bool = True, sources: bool = True, notifies: bool = False) -> Iterator[tuple[Settings, Stack]]:
    """Open the stack; with `notifies`, people are told at the end what a gate has stopped."""
    settings = read_settings()
    with (
        open_stack(settings, print_progress, lake=lake, sources=sources) as stack,
        telling(settings, stack, print_progress) if notifies else nullcontext(),
    ):
        yield settings, stack


def answer(
    document: Mapping[str, object] | Sequence[Mapping[str, object]], output: Output, text: Callable[[], str]
) -> None:
    """Print what a verb answers: the document, or its text, which is made only then."""
    if output is Output.JSON:
        print(json.dumps(clean_json(_reveal(document)), indent=2, default=str))
    else:
        print(marks.show_values(text()))


def _reveal(document: object) -> object:
    match document:
        case str():
            return marks.show_values(document)
        case Mapping():
            return {key: _reveal(value) for key, value in document.items()}
        case list() | tuple():
            return [_reveal(value) for value in document]
        case _:
            return document


def end_by_phase(runs: Sequence[Run]) -> None:
    """End with the exit code of the worst that became of runs."""
    if any(run.phase is Phase.FAILED for run in runs):
        raise typer.Exit(CHECKS_FAILED)
    if any(run.phase is Phase.HELD for run in runs):
        raise typer.Exit(NOT_CHECKED)
