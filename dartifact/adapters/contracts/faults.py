"""All that is wrong with one file of checks, told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dartifact.domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, with its place in the file, and what to do about it where that is a line of its own."""

    text: str
    hint: str = ""


class FileRefused(UsageError):
    """A file of checks says what would not be honoured. Correct each of its `faults`; the message names them all."""

    faults: tuple[Fault, ...] = ()


def refused(path: Path | str, faults: Sequence[Fault]) -> FileRefused:
    """Make the error of a file with these faults."""
    error = FileRefused(f"{path}: {'; '.join(fault.text for fault in faults)}", hint=faults[0].hint)
    error.faults = tuple(faults)
    return error
