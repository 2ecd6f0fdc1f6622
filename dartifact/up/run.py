"""Up and down: the machines in this terminal or behind it, one line per event of interest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event
from dartifact.domain.errors import Locked, ServerUnavailable, UsageError
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.progress import Progress
from dartifact.local.lakefs_endpoint import is_alive
from dartifact.local.lakefs_files import last_lines
from dartifact.local.launcher import launching
from dartifact.local.note import Note, find_launcher, read_note
from dartifact.local.services import SourceService, Stopped
from dartifact.settings import Settings, write_cron
from dartifact.up.machines import Machines, require_urls
from dartifact.wiring import prepare_home

_POLL_SECONDS = 0.1
_DOWN_SECONDS = 90.0
_MOST_EVENTS = 500


@dataclass
class EventTail:
    """What the ledger has written since the last look, as lines for people."""

    ledger: Ledger
    last: int = 0

    def __post_init__(self) -> None:
        self.skip()

    def skip(self) -> None:
        """Go to the end."""
        self.last = self.ledger.last_event()

    def tell(self, progress: Progress) -> None:
        """Tell a line for each new event of interest."""
        events = [each for each in self.ledger.events(most=_MOST_EVENTS) if each.sequence > self.last]
        for each in events:
            self.last = each.sequence
            if line := tell_event(each):
                progress(f"{each.at.astimezone():%H:%M:%S}  {line}")


# What an event means to somebody who watches; the small steps in between are not told.
_TOLD: dict[str, str] = {
    EventType.BATCH_COMMITTED: "{what} brings {rows} rows",
    EventType.RUN_FAILED: "{what} FAILED{because}",
    EventType.RUN_HELD: "{what} is held{because}",
    EventType.RUN_ERRORED: "{what} could not be finished{because}",
    EventType.RUN_MERGED: "{what} is in main",
    EventType.RUN_REVERTED: "{what} is taken out of main",
    EventType.DARTIFACT_GREEN: "{what} is green: built and tested",
    EventType.DARTIFACT_RED: "{what} is RED{because}",
    EventType.DARTIFACT_BAD: "{what} is BAD{because}",
    EventType.DARTIFACT_LIVE: "{what} is live",
    EventType.PRODUCTION_ROLLED_BACK: "production is ROLLED BACK{because}",
    EventType.PROMOTIONS_FROZEN: "promotions are FROZEN{because}",
    EventType.PROMOTIONS_UNFROZEN: "promotions are allowed again{because}",
    EventType.MAIN_FOUND_UNTESTED: "somebody moved main by hand",
    EventType.MAIN_REPAIRED: "main is brought back to what was tested",
}


def tell_event(event: Event) -> str:
    """Say what an event means; nothing for what is not of interest."""
    payload = event.payload
    why = "; ".join(payload.get("reasons") or []) or payload.get("reason") or ""
    return _TOLD.get(event.type, "").format(
        what=event.run_id or event.dartifact_id,
        rows=f"{payload.get('rows') or 0:,}",
        because=f": {why}" if why else "",
    )


def tell_parts(note: Note) -> str:
    """Return what runs where as a small table."""
    width = max((len(each.name) for each in note.parts), default=0)
    pids = [f"  (pid {each.pid})" if each.pid else "" for each in note.parts]
    return "\n".join(f"  {each.name:<{width}}  {each.where}{pid}" for each, pid in zip(note.parts, pids, strict=True))


@contextmanager
def machines_up(
    settings: Settings, progress: Progress, stand_in: SourceService | None = None, *, advances: bool = True
) -> Iterator[Machines]:
    """Bring the machines of the home up and yield them; when the block is left they are down again.

    `stand_in` serves the sources without a URL; UsageError where there are some and nothing stands in. Locked when the
    machines are up already, ServerUnavailable when something cannot be started, Stopped when told to stop.
    """
    write_cron(settings.ingest_seconds)
    if stand_in is None:
        require_urls(settings)
    prepare_home(settings.home)
    with launching(settings.home, progress) as launcher:
        machines = Machines(settings, launcher, progress, stand_in, advances)
        machines.bring_up()
        yield machines
        progress("stopping")


def run_up(settings: Settings, progress: Progress, stand_in: SourceService | None = None) -> None:
    """Bring the machines up and watch them until told to stop."""
    started = time.monotonic()
    try:
        with machines_up(settings, progress, stand_in) as machines, ExitStack() as owned:
            note = read_note(settings.home)
            assert note
            print(f"up after {time.monotonic() - started:.0f} s; logs in {settings.home / 'logs'}\n{tell_parts(note)}")
            print(f"each ingestor runs every {settings.ingest_seconds} s; Ctrl-C or `dartifact down` stops everything")
            sys.stdout.flush()
            ledger = Ledger(settings.ledger)
            owned.callback(ledger.close)
            tail = EventTail(ledger)
            machines.run(lambda: tail.tell(progress))
    except Stopped:
        progress("stopped before everything was up")


def run_detached(settings: Settings, progress: Progress) -> None:
    """Start `dartifact up` behind this terminal and return once everything is up."""
    prepare_home(settings.home)
    note = read_note(settings.home)
    if note is not None:
        raise Locked(f"the machines of {settings.home} are up already (pid {note.pid})", hint=Command("status"))
    (settings.home / "logs").mkdir(exist_ok=True)
    log = settings.home / "logs" / "up.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "dartifact", "up"],
            env={
                **os.environ,
                "DARTIFACT_PROJECT": str(settings.project.resolve()),
                "DARTIFACT_HOME": str(settings.home.resolve()),
                "DARTIFACT_INGEST_SECONDS": str(settings.ingest_seconds),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    shown = 0
    while True:
        shown = _show(log, shown, progress)
        note = read_note(settings.home)
        if note is not None and note.phase == "ready" and note.pid == child.pid:
            break
        if child.poll() is not None:
            end = "\n".join(f"    {line}" for line in last_lines(log))
            raise ServerUnavailable(f"`dartifact up` has ended with code {child.returncode}; {log} ends with:\n{end}")
        time.sleep(_POLL_SECONDS)
    print(f"up (pid {note.pid}); logs in {settings.home / 'logs'}\n{tell_parts(note)}")


def run_down(settings: Settings, progress: Progress) -> None:
    """Stop the machines of the home, wherever they were started; UsageError when they are not up."""
    note = read_note(settings.home)
    process = find_launcher(note) if note else None
    if note is None or process is None:
        raise UsageError(f"the machines of {settings.home} are not up", hint=Command("up"))
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return
    deadline = time.monotonic() + _DOWN_SECONDS
    while is_alive(process):
        if time.monotonic() > deadline:
            hint = f"kill -9 {note.pid}: what it left ends with it"
            raise ServerUnavailable(f"pid {note.pid} does not end; see {settings.home / 'logs'}", hint=hint)
        time.sleep(_POLL_SECONDS)
    progress("everything is down")


def _show(log: Path, shown: int, progress: Progress) -> int:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines[shown:]:
        progress(line)
    return len(lines)
