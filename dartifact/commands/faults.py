"""Faults of one run: whatever goes wrong with it is counted against it alone, and nobody else waits.

An error of ours says itself what is wrong. Any other one is a bug, of a source file or of ours: it becomes one line
that names the run, and its traceback is kept in `logs/errors.log` of the home.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Sequence

from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.runs import Run
from dartifact.domain.texts import first_line

OUTSIDE = (errors.SourceUnavailable, errors.LakeUnavailable, errors.LedgerUnavailable, errors.OutcomeUnknown)
"""What is nobody's fault and passes for all: a run is not given up for it once it has its rows."""
NOT_OF_A_RUN = (errors.PolicyRefused, errors.Conflict)
"""What a person or somebody else at work decides, not the run."""


def describe_fault(stack: Stack, run_id: str, what: str, error: Exception) -> errors.DartifactError:
    """Return an error as one of ours: as it is, or in one line that names what was done, its traceback kept."""
    if isinstance(error, errors.DartifactError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        # the machine's fault, and the message of the system says which
        return errors.ChecksErrored(f"{run_id}: {what} could not be done: {first_line(error)}")
    name = type(error).__name__
    kept = _keep_traceback(stack, run_id, error)
    return errors.ChecksErrored(f"{run_id}: {what} ended with {name}: {first_line(error)}{kept}")


def confine(stack: Stack, runs: Sequence[Run], what: str, ask: Callable[[], tuple[Result, ...]]) -> tuple[Result, ...]:
    """Return the results of checks; what breaks on the rows or the contract of runs is an errored result of theirs.

    Raises ChecksErrored where the store does not answer: that is nobody's fault.
    """
    try:
        return ask()
    except errors.ChecksErrored:
        raise
    except Exception as error:  # noqa: BLE001  (it is counted, told and kept)
        return tuple(
            Result(
                f"{run.source}.checks",
                run.source,
                Outcome.ERRORED,
                describe_fault(stack, run.run_id, what, error).message,
                run_id=run.run_id,
            )
            for run in runs
        )


def _keep_traceback(stack: Stack, run_id: str, error: Exception) -> str:
    log = stack.home / "logs" / "errors.log"
    with contextlib.suppress(OSError):  # what happened is told without it, too
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{stack.clock().isoformat()} {run_id}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")
        return "; its traceback is in logs/errors.log"
    return ""
