"""The launcher: starts services in order, keeps them running, and leaves no process behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

from dartifact.domain.errors import DartifactError, Locked, ServerUnavailable
from dartifact.domain.hints import Command
from dartifact.domain.progress import Progress
from dartifact.local.guard import MARK, end_marked, guarding
from dartifact.local.note import Note, Part, note_of_this_process, read_note, remove_note, write_note
from dartifact.local.services import Service, Stopped

_PR_SET_CHILD_SUBREAPER = 36
_WATCH_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_WELL_SECONDS = 60.0


@dataclass
class _Kept:
    """A service with what is known of its restarts."""

    service: Service
    pause: float = _FIRST_PAUSE
    started: float = 0.0
    due: float | None = None


@dataclass
class Launcher:
    """Runs services for one home. `on_end` and `on_restart` are given the name of what has ended or is back."""

    home: Path
    progress: Progress
    stopping: threading.Event = field(default_factory=threading.Event)
    api_url: str = ""
    on_end: Callable[[str], None] = lambda _: None
    on_restart: Callable[[str], None] = lambda _: None
    _kept: list[_Kept] = field(default_factory=list)

    def start(self, service: Service) -> None:
        """Start a service; from now on it is kept running."""
        if self.stopping.is_set():
            raise Stopped
        kept = _Kept(service, started=time.monotonic())
        self._kept.append(kept)  # before: what is half started is stopped as well
        service.start()
        kept.started = time.monotonic()

    def announce(self, phase: str) -> Note:
        """Write down how far we are and what runs where."""
        parts = tuple(Part(each.name, each.where, each.pid, each.log) for each in (k.service for k in self._kept))
        note = note_of_this_process(phase, self.api_url, parts)
        write_note(self.home, note)
        return note

    def watch(self, every: Sequence[tuple[float, Callable[[], None]]]) -> None:
        """Keep everything running until we are to stop; meanwhile call each function every so many seconds."""
        due = [time.monotonic() + seconds for seconds, _ in every]
        while not self.stopping.wait(_WATCH_SECONDS):
            for kept in self._kept:
                if not self.stopping.is_set():
                    self._look_after(kept)
            _reap(frozenset(kept.service.pid for kept in self._kept))
            for index, (seconds, call) in enumerate(every):
                if time.monotonic() >= due[index] and not self.stopping.is_set():
                    try:
                        call()
                    except DartifactError as error:  # the machines outlive a moment without ledger or lake
                        self.progress(error.message)
                    due[index] = time.monotonic() + seconds

    def _look_after(self, kept: _Kept) -> None:
        service, now = kept.service, time.monotonic()
        if kept.due is None:
            fault = service.find_fault()
            if not fault:
                if now - kept.started > _WELL_SECONDS:
                    kept.pause = _FIRST_PAUSE
                return
            log = f"; its log: {service.log}" if service.log else ""
            self.progress(f"{service.name} {fault}{log}; it is started again in {kept.pause:.0f} s")
            service.stop()
            self.on_end(service.name)
            kept.due, kept.pause = now + kept.pause, min(2 * kept.pause, _LONGEST_PAUSE)
        if kept.due is not None and time.monotonic() >= kept.due:
            try:
                service.start()
            except ServerUnavailable as error:
                self.progress(error.message)
                kept.due, kept.pause = time.monotonic() + kept.pause, min(2 * kept.pause, _LONGEST_PAUSE)
                return
            except Stopped:
                return
            kept.due, kept.started = None, time.monotonic()
            self.announce("ready")
            self.progress(f"{service.name} is back: {service.where}")
            self.on_restart(service.name)

    def stop_all(self) -> None:
        """Stop everything in reverse order."""
        while self._kept:
            service = self._kept.pop().service
            service.stop()
            self.on_end(service.name)


@contextlib.contextmanager
def launching(home: Path, progress: Progress) -> Iterator[Launcher]:
    """Be the launcher of a home; Locked while another one is. What an earlier one left is ended first.

    When the block is left everything is stopped, in reverse order, and whatever came of it is ended. INT, TERM and HUP
    set `stopping`; another one of them interrupts the stopping.
    """
    home = home.resolve()
    lock = FileLock(home / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note = read_note(home)
        who = f" (pid {note.pid}, {note.phase})" if note else ""
        raise Locked(f"the machines of {home} are up already{who}", hint=Command("down")) from None
    with lock, contextlib.ExitStack() as owned:
        launcher = Launcher(home, progress)
        owned.enter_context(_heeding_signals(launcher.stopping))
        left = end_marked(home)
        if left:
            progress(f"ended {left} processes that an earlier launcher had left")
        _adopt_orphans()
        os.environ[MARK] = str(home)
        owned.callback(os.environ.pop, MARK, None)
        owned.enter_context(guarding(home))
        owned.callback(remove_note, home)
        owned.callback(_end_rest, home)
        owned.callback(launcher.stop_all)
        launcher.announce("starting")
        try:
            yield launcher
        finally:
            with contextlib.suppress(OSError):
                launcher.announce("stopping")


def _end_rest(home: Path) -> None:
    end_marked(home)
    _reap()


@contextlib.contextmanager
def _heeding_signals(stopping: threading.Event) -> Iterator[None]:
    def heed(number: int, frame: FrameType | None) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    before = {each: signal.signal(each, heed) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _adopt_orphans() -> None:
    """Become the parent of processes below us whose parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap(own: frozenset[int] = frozenset()) -> None:
    """Let adopted processes that have ended disappear; our `own` children are waited for by who started them."""
    if sys.platform != "linux":
        return
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if each.pid not in own and each.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(each.pid, os.WNOHANG)
