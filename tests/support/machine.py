"""Processes that can be broken between any two writes, and the small project that the state machine delivers.

A process is one `Stack` on a repository and a ledger file. Its lake and its ledger count every write, before and after
it; at the point it is told, the process dies, stands still or loses the lake's answer. Whoever comes next makes a new
process from the same repository and file.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from dartifact.adapters.lakefs.lake import Lake, LakeAccess
from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.writer import Writer
from dartifact.adapters.transform.dbt_build import BuildResult, NodeResult
from dartifact.commands.stack import Policy, Stack
from dartifact.domain import errors
from dartifact.domain.checks import Outcome
from dartifact.domain.sources import Source
from tests.support.world import Clock

_LAKE_WRITES = ("create_branch", "delete_branch", "upload", "delete_objects", "commit", "merge", "tag")


class Crash(BaseException):
    """The process is gone: no `except Exception` sees this, and what `finally` still tries fails the same way."""


class Kind(StrEnum):
    """What happens at a point."""

    CRASH = "the process dies"
    PAUSE = "the process stands still, its leases run out, and it wakes when it is told"
    LOST = "the lake does not answer: the write before this point happened, the one after it did not"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens at the `at`-th point of a command, or at the first of that name; else nothing."""

    kind: Kind
    at: int | str


class Points:
    """The points of one process; each write of the lake and each transaction of the ledger has one at either end."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.hit: str | None = None
        self.dead = False
        self.stands_still = threading.Event()
        self.wakes = threading.Event()
        self._count = 0
        self._thread = 0

    def arm(self, fault: Fault | None) -> None:
        """Count from zero in this thread, until the fault."""
        self.fault, self.hit, self._count, self._thread = fault, None, 0, threading.get_ident()

    def stay_alive(self) -> None:
        """Go on, unless the process is dead."""
        if threading.get_ident() != self._thread:
            if self.dead or self.fault is not None:
                raise SystemExit  # the thread that renews a lease: the process stands still or is gone
        elif self.dead:
            raise Crash

    def reach(self, name: str, *, answers: bool) -> None:
        """Reach a point; `answers`: it is one of the lake's, whose answer can be lost."""
        self.stay_alive()
        if threading.get_ident() != self._thread or self.fault is None or self.hit:
            return
        self._count += 1
        at = self.fault.at
        if name != at if isinstance(at, str) else self._count < at:
            return
        match self.fault.kind:
            case Kind.CRASH:
                self.hit, self.dead = name, True
                raise Crash(name)
            case Kind.LOST:
                if answers:
                    self.hit = name
                    raise errors.OutcomeUnknown(f"{name}: told to")
            case Kind.PAUSE:
                self.hit = name
                self.stands_still.set()
                self.wakes.wait()
                self.stay_alive()


class BreakingLake(Lake):
    """The real lake with points around its writes; a dead process gets no answer from it."""

    def __init__(self, access: LakeAccess, repository: str, points: Points) -> None:
        super().__init__(access, repository)
        self.points = points


class BreakingLedger(Ledger):
    """The real ledger with points around its transactions; a dead process gets no answer from it."""

    def __init__(self, url: str, clock: Clock, points: Points) -> None:
        super().__init__(url, clock)
        self.points = points

    @contextmanager
    def write(self, **options: Any) -> Iterator[Writer]:
        """Open one transaction between two points."""
        self.points.reach("before transaction", answers=False)
        with super().write(**options) as tx:
            yield tx
        self.points.reach("after transaction", answers=False)


def _break_reads(of: type[Lake | Ledger], breaking: type[Any], *but: str) -> None:
    def wrapped(read: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **options: Any) -> Any:
            self.points.stay_alive()
            return read(self, *args, **options)

        return call

    for name, read in vars(of).items():
        if callable(read) and not name.startswith("_") and name not in but:
            setattr(breaking, name, wrapped(read))


def _break_writes(name: str) -> None:
    write = getattr(Lake, name)

    def call(self: BreakingLake, *args: Any, **options: Any) -> Any:
        where = args[1 if name == "merge" else 0].partition("-")[0]
        self.points.reach(f"before {name} {where}", answers=True)
        answer = write(self, *args, **options)
        self.points.reach(f"after {name} {where}", answers=True)
        return answer

    setattr(BreakingLake, name, call)


_break_reads(Lake, BreakingLake, *_LAKE_WRITES)
_break_reads(Ledger, BreakingLedger, "write", "close")
for _name in _LAKE_WRITES:
    _break_writes(_name)


@dataclass
class Process:
    """One process at work on a repository and a ledger."""

    stack: Stack
    points: Points

    def end(self) -> None:
        """Give everything back; nothing of it runs afterwards."""
        self.points.dead = True
        self.stack.ledger.close()


@dataclass
class Site:
    """Where processes work: what stays when one of them dies."""

    access: LakeAccess
    repository: str
    home: Path
    sources: Mapping[str, Source]
    policy: Policy
    clock: Clock
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project = self.home / "project"
        write_project(self.project)

    def start(self) -> Process:
        """Start a process, as a new one would: from the repository and the ledger file alone."""
        points = Points()
        points.arm(None)
        stack = Stack(
            lake=BreakingLake(self.access, self.repository, points),
            ledger=BreakingLedger(f"sqlite:///{self.home / 'ledger.db'}", self.clock, points),
            dbt=TableBuilder(),  # type: ignore[arg-type]
            sources=self.sources,
            project=self.project,
            home=self.home,
            policy=self.policy,
            clock=self.clock,
        )
        return Process(stack, points)

    def run_out_leases(self) -> None:
        """Let all leases run out, as they do when their holder is dead or stands still for long."""
        engine = sa.create_engine(f"sqlite:///{self.home / 'ledger.db'}")
        try:
            with engine.begin() as connection:
                connection.execute(t.leases.delete())
        finally:
            engine.dispose()


class Command:
    """A command under way in a thread of its own; it stands still at a point or has ended."""

    def __init__(self, name: str, process: Process, run: Callable[[Stack], Any], fault: Fault) -> None:
        self.name, self.process, self.error = name, process, None
        self._run, self._fault = run, fault
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        while not (self._ended.wait(0.001) or process.points.stands_still.is_set()):
            pass

    error: BaseException | None

    def _work(self) -> None:
        self.process.points.arm(self._fault)
        try:
            self._run(self.process.stack)
        except (Exception, Crash) as error:  # noqa: BLE001 - whoever waits for it decides what it means
            self.error = error
        finally:
            self._ended.set()

    @property
    def is_over(self) -> bool:
        """Say whether it has ended."""
        return self._ended.is_set()

    def wake(self, *, dead: bool = False) -> None:
        """Let it go on to its end, or find itself dead."""
        self.process.points.dead = dead
        self.process.points.wakes.set()
        self._thread.join()


class TableBuilder:
    """Stands in for dbt, which takes seconds: each source's current table becomes a mart of the same name."""

    def build(self, build_dir: Path) -> BuildResult:
        """Build the marts in a build folder, as `DbtBuilder.build` does."""
        with duckdb.connect(str(build_dir / "build.duckdb")) as connection:
            connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA marts")
            for name in CONTRACTS:
                connection.execute(
                    f"CREATE TABLE marts.{name} AS SELECT * EXCLUDE (_run_id, _seq, _extracted_at, _deleted) "
                    f"FROM raw.{name}"
                )
        nodes = tuple(NodeResult(name, "model", Outcome.PASSED, "", 0, None, 0.0, name) for name in CONTRACTS)
        return BuildResult(nodes, 0.0)


CONTRACTS = {
    "customers": """
dataset: lake/main/customers
columns:
  - {name: customer_id, data_type: varchar}
  - {name: segment, data_type: varchar, checks: [{invalid: {valid_values: [consumer, corporate]}}]}
  - {name: note, data_type: varchar}
  - {name: updated_at, data_type: timestamp with time zone}
""",
    "orders": """
dataset: lake/main/orders
columns:
  - {name: order_id, data_type: bigint}
  - {name: customer_id, data_type: varchar}
  - {name: amount, data_type: "decimal(12,2)", checks: [{invalid: {valid_min: 0}}]}
  - {name: note, data_type: varchar}
  - {name: updated_at, data_type: timestamp with time zone}
""",
}

_UNIQUE = "-- Each key stands once.\nselect order_id from marts.orders group by 1 having count(*) > 1\n"


def write_project(project: Path) -> None:
    """Write the contracts and the code of the small project."""
    for folder in ("checks/marts", "checks/integration", "dbt"):
        (project / folder).mkdir(parents=True)
    for name, contract in CONTRACTS.items():
        (project / "checks" / f"{name}.yml").write_text(contract, encoding="utf-8")
    (project / "checks" / "marts" / "orders.yml").write_text(CONTRACTS["orders"], encoding="utf-8")
    (project / "checks" / "integration" / "orders_are_unique.sql").write_text(_UNIQUE, encoding="utf-8")
    change_code(project, 0)


def change_code(project: Path, version: int) -> None:
    """Change the dbt project: what is built from now on is another dartifact."""
    (project / "dbt" / "model.sql").write_text(f"-- version {version}\n", encoding="utf-8")


class Repositories:
    """Repositories on one server, made ready ahead in threads: the server takes seconds to protect a new one."""

    def __init__(self, access: LakeAccess, prefix: str, ahead: int) -> None:
        self._access, self._prefix = access, prefix
        self._ready: queue.Queue[str | BaseException] = queue.Queue(maxsize=ahead)
        self._number = 0
        self._lock = threading.Lock()
        for _ in range(ahead):
            threading.Thread(target=self._prepare_forever, daemon=True).start()

    def _prepare_forever(self) -> None:
        while True:
            with self._lock:
                self._number += 1
                name = f"{self._prefix}-{self._number}"
            try:
                Lake(self._access, name).prepare()
                self._ready.put(name)
            except errors.DartifactError as error:
                self._ready.put(error)
                return

    def take(self) -> str:
        """Return the name of an empty repository that nobody else has."""
        ready = self._ready.get(timeout=120)
        if isinstance(ready, BaseException):
            raise ready
        return ready
