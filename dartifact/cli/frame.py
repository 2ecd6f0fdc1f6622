"""What all verbs have in common: how they open the stack, answer and end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dartifact.domain import errors

if TYPE_CHECKING:
    from dartifact.commands.stack import Stack
    from dartifact.domain.runs import Run
    from dartifact.settings import Settings

# Checked against README by a test.
EXIT_CODES = {
    0: "ok",
    1: "usage or internal error",
    2: "there are differences",
    3: "checks failed",
    4: "checks could not run",
    5: "policy or approval missing",
    6: "conflict or locked: retry",
    7: "aborted and rolled back",
}
_EXIT_BY_ERROR: tuple[tuple[type[errors.DartifactError], int], ...] = (
    (errors.ChecksFailed, 3),
    (errors.ChecksErrored, 4),
    (errors.ServerUnavailable, 4),
    (errors.PolicyRefused, 5),
    (errors.LakeRefused, 5),
    (errors.Conflict, 6),
    (errors.Aborted, 7),
)


class Output(StrEnum):
    """How a verb answers."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json: one document on stdout")]


def exit_code(error: errors.DartifactError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXIT_BY_ERROR if isinstance(error, kind)), 1)


def say(line: str) -> None:
    """Tell a person what goes on; the answer alone is on stdout."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def opened(*, lake: bool = True, sources: bool = True, tells: bool = False) -> Iterator[tuple[Settings, Stack]]:
    """Open the stack; with `tells`, people are told at the end what a gate has stopped."""
    from contextlib import nullcontext  # noqa: PLC0415

    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_stack, telling  # noqa: PLC0415

    settings = read_settings()
    with (
        open_stack(settings, say, lake=lake, sources=sources) as stack,
        telling(settings, stack, say) if tells else nullcontext(),
    ):
        yield settings, stack


def answer(document: Any, output: Output, text: str) -> None:
    """Print what a verb answers."""
    if output is Output.JSON:
        import json  # noqa: PLC0415

        print(json.dumps(document, indent=2, default=str))
    else:
        print(text)


def end_by_phase(runs: Sequence[Run]) -> None:
    """End with the exit code of the worst that became of runs that were brought."""
    from dartifact.domain.runs import Phase  # noqa: PLC0415

    if any(run.phase is Phase.FAILED for run in runs):
        raise typer.Exit(3)
    if any(run.phase is Phase.HELD for run in runs):
        raise typer.Exit(4)
