"""The note on what `dartifact up` runs in a home: who wrote it, how far it is, what runs where."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from dartifact.local.lakefs_endpoint import is_alive

_SAME_TIME_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that runs: its name, where it answers, its process and its log (0 and empty where it has none)."""

    name: str
    where: str
    pid: int = 0
    log: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """The launcher of a home: its process, `phase` (`starting`, `ready`, `stopping`), the Prefect API, what runs."""

    pid: int
    created: float
    phase: str
    api_url: str = ""
    parts: tuple[Part, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def note_of_this_process(phase: str, api_url: str = "", parts: tuple[Part, ...] = ()) -> Note:
    """Describe this process as the launcher."""
    return Note(os.getpid(), psutil.Process().create_time(), phase, api_url, parts)


def write_note(home: Path, note: Note) -> None:
    """Write the note, whole or not at all."""
    draft = home / f".up.json-{os.getpid()}"
    draft.write_text(json.dumps(note.to_json(), indent=1), encoding="utf-8")
    draft.replace(home / "up.json")


def remove_note(home: Path) -> None:
    """Forget the note."""
    (home / "up.json").unlink(missing_ok=True)


def read_note(home: Path) -> Note | None:
    """Return the note of the launcher that runs in this home; None when there is none, or it has died."""
    try:
        kept = json.loads((home / "up.json").read_text(encoding="utf-8"))
        note = Note(**{**kept, "parts": tuple(Part(**part) for part in kept["parts"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return note if find_launcher(note) else None


def find_launcher(note: Note) -> psutil.Process | None:
    """Return the launcher's process; None when it has ended, also when its pid is another's now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(note.pid)
        if abs(process.create_time() - note.created) < _SAME_TIME_SECONDS and is_alive(process):
            return process
    return None
