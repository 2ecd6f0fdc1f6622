"""Commands in processes of their own, which end, stand still or lose the lake at a write.

A write is found where it leaves the process, not where the code says that it writes: each HTTP request to the lake that
is no read, each transaction of the ledger that was begun to write. What is new in the product is a point without being
told.

The processes are forked from a server that has imported everything, opened nothing and runs one thread; each opens its
own connections.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from urllib3.connectionpool import HTTPConnectionPool

from dartifact.adapters.lakefs import lake
from dartifact.adapters.lakefs.lake import Lake, LakeAccess
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.commands.stack import Policy, Stack
from dartifact.domain.errors import DartifactError
from dartifact.domain.sources import Source
from tests.support.books import Publisher
from tests.support.machine import TableBuilder
from tests.support.waiting import wait_until
from tests.support.world import Clock

_READS = ("GET", "HEAD", "OPTIONS")
NOTHING = "a transaction that changes nothing"
_PATIENCE = 150  # seconds until a process that says nothing is given up


class Store(StrEnum):
    """What is written to."""

    LAKE = "lake"
    LEDGER = "ledger"


class Side(StrEnum):
    """On which side of the write a point is; a transaction has a third, in which it is written and not committed."""

    BEFORE = "before"
    OPEN = "inside"
    AFTER = "after"


class Kind(StrEnum):
    """What happens to a process at a point."""

    KILL = "kill -9"
    DOWN = "lake down"
    CUT = "cut after sending"
    FULL = "disk full"
    PAUSE = "paused past its lease"
    CLOCK = "clock stepped"


_BEFORE_LAKE = (Side.BEFORE, Store.LAKE)
_BEFORE_LEDGER = (Side.BEFORE, Store.LEDGER)
POINTS = {
    # A transaction that is not committed is the later, and harder, of the two moments before it.
    Kind.KILL: (_BEFORE_LAKE, (Side.AFTER, Store.LAKE), (Side.OPEN, Store.LEDGER), (Side.AFTER, Store.LEDGER)),
    Kind.DOWN: (_BEFORE_LAKE,),
    Kind.CUT: (_BEFORE_LAKE,),
    # From there on: what is written next, to the ledger or to a batch or build of ours, is what fails.
    Kind.FULL: ((Side.AFTER, Store.LEDGER),),
    # Not inside a transaction: who stands still there stops all other writers of an SQLite ledger, whatever they do.
    Kind.PAUSE: (_BEFORE_LEDGER, _BEFORE_LAKE),
    Kind.CLOCK: (_BEFORE_LEDGER,),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One moment in the life of a command; `method` is the lake's method that writes."""

    side: Side
    store: Store
    what: str
    method: str = ""

    def __str__(self) -> str:
        return f"{self.side} {self.store}: {self.what}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, and at the how manieth point of its kind; or at the first whose words are these."""

    kind: Kind
    at: int | str


@dataclass(frozen=True, slots=True)
class Place:
    """Where processes work: what stays when one of them dies."""

    access: LakeAccess
    repository: str
    home: Path
    sources: Mapping[str, Source]
    policy: Policy
    project: Path
    dbt_work: Path | None = None
    ledger: str = ""

    @property
    def ledger_url(self) -> str:
        """Return the URL of the ledger, SQLite in the home where none is named."""
        return self.ledger or f"sqlite:///{self.home / 'ledger.db'}"

    def open(self, clock: Clock, url: str | None = None) -> Stack:
        """Open a stack; without `dbt_work` its builder is the one that takes milliseconds."""
        access = LakeAccess(url or self.access.url, self.access.access_key_id, self.access.secret_access_key)
        builder = DbtBuilder(self.project / "dbt", self.dbt_work) if self.dbt_work else TableBuilder()
        return Stack(
            lake=Lake(access, self.repository),
            ledger=Ledger(self.ledger_url, clock),
            dbt=builder,  # type: ignore[arg-type]
            sources=dict(self.sources),
            project=self.project,
            home=self.home,
            policy=self.policy,
            clock=clock,
        )


Order = Callable[[Stack, Mapping[str, Publisher]], object]
"""What a process is told to do: a function of a module, perhaps with arguments bound by `partial`."""


@dataclass(frozen=True, slots=True)
class Task:
    """All that a process is given."""

    place: Place
    url: str
    clock: Clock
    publishers: Mapping[str, Publisher]
    order: Order
    fault: Fault | None


@dataclass
class Ending:
    """How a process ended: its points, the one where something happened to it, and its last words."""

    points: list[Point] = field(default_factory=list)
    hit: Point | None = None
    error: str | None = None
    is_ours: bool = True
    exitcode: int | None = None

    def count(self, *sorts: tuple[Side, Store]) -> int:
        """Count the points of some sorts, without transactions that change nothing."""
        return sum((each.side, each.store) in sorts and each.what != NOTHING for each in self.points)


# In the process


class _Points:
    def __init__(self, task: Task, line: Connection) -> None:
        self.task, self.line = task, line
        self.count = 0
        self.hit = False
        self.thread = threading.get_ident()

    def reach(self, side: Side, store: Store, what: str) -> None:
        if threading.get_ident() != self.thread:
            return  # the thread that renews a lease, every twenty seconds
        point = Point(side, store, what, _lake_method() if store is Store.LAKE else "")
        self.line.send(point)
        fault = self.task.fault
        if fault is None or (side, store) not in POINTS[fault.kind]:
            return
        self.count += 1
        if self.hit and fault.kind is Kind.CLOCK and self.count == int(fault.at) + 1:
            self.task.clock.advance(timedelta(days=2))
        if self.hit or (fault.at != str(point) if isinstance(fault.at, str) else fault.at != self.count):
            return
        self.hit = True
        self.line.send(("hit", point))
        match fault.kind:
            case Kind.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Kind.PAUSE:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Kind.DOWN | Kind.CUT:
                self.line.recv()  # until the lake is down, or the connection is going to be cut
            case Kind.FULL:
                # No file takes a byte from now on: neither ledger nor batches nor builds.
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            case Kind.CLOCK:
                self.task.clock.advance(timedelta(days=-1))


def _lake_method() -> str:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == lake.__file__:
            return frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    return "a call that is no method of the lake"


def _watch_lake(points: _Points) -> None:
    send = HTTPConnectionPool.urlopen

    def urlopen(self: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        if method in _READS:
            return send(self, method, url, *args, **options)
        what = f"{method} {_name(url)}"
        points.reach(Side.BEFORE, Store.LAKE, what)
        answer = send(self, method, url, *args, **options)
        points.reach(Side.AFTER, Store.LAKE, what)
        return answer

    HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign,assignment]


def _name(url: str) -> str:
    path = re.sub(r"\?.*|^.*/repositories/[^/]+/", "", url)
    path = re.sub(r"refs/[^/]+", "refs/*", path)
    # Branches that carry an id are named by what they are for.
    return re.sub(r"(branches|merge)/(run|candidate|publish|build|keep|evidence)-[^/]+", r"\1/\2-*", path)


def _watch_ledger(points: _Points) -> None:
    """Reach a point before each transaction that was begun to write, before its commit, and after it."""
    commit = DefaultDialect.do_commit
    is_sqlite = points.task.place.ledger_url.startswith("sqlite")
    names, mark = ("group_concat(DISTINCT type)", "?") if is_sqlite else ("string_agg(DISTINCT type, ',')", "%s")
    newest = changes = 0
    writes = False

    def do_commit(self: Any, connection: Any) -> None:
        nonlocal newest, writes
        if not is_sqlite and not writes:  # a read
            return commit(self, connection)
        query = f"SELECT max(sequence), {names} FROM events WHERE sequence > {mark}"
        last, events = connection.execute(query, (newest,)).fetchone()
        is_empty = changes == (connection.driver_connection.total_changes if is_sqlite else 0)
        what = NOTHING if is_empty else events or "a transaction without an event"
        points.reach(Side.OPEN, Store.LEDGER, what)
        commit(self, connection)
        newest, writes = last or newest, False
        points.reach(Side.AFTER, Store.LEDGER, what)
        return None

    def begin(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        nonlocal changes, writes
        if statement.startswith(("BEGIN IMMEDIATE", "SELECT pg_advisory_xact_lock")):
            changes, writes = cursor.connection.total_changes if is_sqlite else 0, True
            points.reach(Side.BEFORE, Store.LEDGER, "a transaction")
        elif not is_sqlite and not statement.startswith(("SELECT", "SET")):
            changes += 1

    def connect(connection: Any, _: Any) -> None:
        nonlocal newest
        [newest] = connection.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()
        if not is_sqlite:
            connection.commit()

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
    sa.event.listen(sa.engine.Engine, "before_cursor_execute", begin)
    sa.event.listen(sa.pool.Pool, "connect", connect)


def play(task: Task, line: Connection) -> None:
    """Carry out a task and tell on the line what happens; the whole life of a process."""
    points = _Points(task, line)
    _watch_lake(points)
    _watch_ledger(points)
    try:
        task.order(task.place.open(task.clock, task.url), task.publishers)
    except Exception as error:  # noqa: BLE001 - whoever waits for it decides what it means
        line.send(("error", "".join(traceback.format_exception(error)), isinstance(error, DartifactError)))
    line.close()


# Where processes are started

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.preload"])


def run_child(task: Task, meanwhile: Callable[[], None] = lambda: None) -> Ending:
    """Run a task in a process of its own to its end.

    `meanwhile` is called when it has been hit and waits: what it is hit by has to happen then.
    """
    ours, theirs = _context.Pipe()
    process = _context.Process(target=play, args=(task, theirs))
    process.start()
    theirs.close()
    ending = Ending()
    try:
        _listen(ours, process.pid or 0, task, ending, meanwhile)
    finally:
        if ours.closed or process.exitcode is None:
            process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        ours.close()
    ending.exitcode = process.exitcode
    return ending


def _listen(line: Connection, pid: int, task: Task, ending: Ending, meanwhile: Callable[[], None]) -> None:
    while True:
        assert line.poll(_PATIENCE), f"the process says nothing since {ending.points[-1:]}"
        try:
            said = line.recv()
        except (EOFError, ConnectionResetError):
            return
        match said:
            case Point():
                ending.points.append(said)
            case ("hit", point):
                ending.hit = point
                kind = task.fault.kind if task.fault else None
                if kind is Kind.PAUSE:
                    _let_others_work(pid, meanwhile)
                elif kind in (Kind.DOWN, Kind.CUT):
                    meanwhile()
                    line.send("go on")
            case ("error", error, is_ours):
                ending.error, ending.is_ours = error, is_ours
            case _:
                raise AssertionError(f"the process says {said}")


def _let_others_work(pid: int, meanwhile: Callable[[], None]) -> None:
    process = psutil.Process(pid)
    try:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
        meanwhile()
    finally:
        process.send_signal(signal.SIGCONT)
