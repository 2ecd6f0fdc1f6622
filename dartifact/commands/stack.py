"""What every command is given: the outside systems, the clock, the policy. Built once, by `dartifact.wiring`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

import psutil

from dartifact.adapters.contracts.contracts import Contract, load_contract
from dartifact.adapters.lakefs.lake import Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.domain.errors import Locked, UsageError
from dartifact.domain.people import Role, refuse_below
from dartifact.domain.sources import Source

T = TypeVar("T")


class Runner(Protocol):
    """How a named step is run: a plain call in CLI and UI, a Prefect task in a flow."""

    def __call__(self, name: str, step: Callable[[], T], /) -> T:
        """Run a step and return what it returned."""
        ...


def run_plainly(name: str, step: Callable[[], T], /) -> T:
    """Run a step as a plain call."""
    return step()


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be decided without a person.

    `attempts` is how often a run may fail to finish before it is held; `orphan_grace` how long a row may wait for the
    row it refers to; `smoke_least_share` how many rows a mart must keep, as a share of what production shows;
    `weights` the shares through which a promotion shifts, `soak` how long it watches each (zero: no traffic gate);
    `skip_local_gate` names ingestors whose local gate is left out, whatever their source declares;
    `candidate_retention` how long a refused candidate is kept for review; `revert_culprits`:
    a run that turns staging red is taken out of `main`; `approvals` people have to approve a dartifact before it is
    promoted.
    """

    candidate_size: int = 16
    attempts: int = 3
    orphan_grace: timedelta = timedelta(hours=1)
    smoke_least_share: float = 0.5
    weights: tuple[int, ...] = (100,)
    skip_local_gate: frozenset[str] = frozenset()
    candidate_retention: timedelta = timedelta(days=7)
    soak: timedelta = timedelta(0)
    revert_culprits: bool = True
    approvals: int = 0


@dataclass(frozen=True)
class Stack:
    """The outside systems as the commands see them, and what may be done through it.

    `project` is the folder that holds `checks/` and `dbt/`; `role` is that of the person who acts through this stack,
    `flow_run` the id of the Prefect flow run that does, empty elsewhere.
    """

    lake: Lake
    ledger: Ledger
    dbt: DbtBuilder
    sources: Mapping[str, Source]
    project: Path
    home: Path
    policy: Policy = Policy()
    role: Role = Role.OPERATOR
    flow_run: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _contracts: dict[str, Contract] = field(default_factory=dict)

    def require(self, needed: Role, deed: str) -> None:
        """Raise PolicyRefused unless who acts through this stack has the role that a deed takes."""
        refuse_below(self.role, needed, deed)

    def source(self, name: str) -> Source:
        """Return a declared source; UsageError lists the known ones."""
        if name not in self.sources:
            raise UsageError(f"there is no source {name}; known: {', '.join(sorted(self.sources))}")
        return self.sources[name]

    def contract(self, dataset: str) -> Contract:
        """Return the contract of a dataset."""
        if dataset not in self._contracts:
            self._contracts[dataset] = load_contract(self.project / "checks" / f"{dataset}.yml")
        return self._contracts[dataset]

    def mart_contracts(self) -> tuple[Contract, ...]:
        """Return the contracts on marts."""
        return tuple(load_contract(path) for path in sorted((self.project / "checks" / "marts").glob("*.yml")))


def new_operation() -> str:
    """Make the id of one operation on the lake: what an intent, a commit and an event have in common."""
    return uuid4().hex[:16]


@contextmanager
def hold_lease(ledger: Ledger, name: str, *, seconds: float = 60.0) -> Iterator[None]:
    """Hold a lease while the block runs, renewed in the background; Locked names who has it.

    Leases save work, nothing depends on them: losing one to a clock or a pause only means that two do the same, and
    one of them loses its compare-and-swap. A lease whose holder died on this machine is taken over at once.
    """
    holder = f"{socket.gethostname()}/{os.getpid()}/{int(psutil.Process().create_time())}/{threading.get_ident()}"
    with ledger.write() as tx:
        other = tx.leases.take(name, holder, seconds)
        if other is not None and _is_dead(other):
            tx.leases.drop(name, other)
            other = tx.leases.take(name, holder, seconds)
    if other is not None:
        raise Locked(f"{name} is being done by process {other.split('/')[1]} on {other.split('/')[0]}")
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(seconds / 3):
            with ledger.write() as tx:
                tx.leases.take(name, holder, seconds)

    keeper = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
        with ledger.write() as tx:
            tx.leases.drop(name, holder)


def is_held(ledger: Ledger, name: str) -> bool:
    """Say whether somebody who is alive, as far as can be told, holds a lease."""
    with ledger.write() as tx:
        holder = tx.leases.find_holder(name)
    return holder is not None and not _is_dead(holder)


def _is_dead(holder: str) -> bool:
    host, pid, started, _ = holder.rsplit("/", 3)
    if host != socket.gethostname():
        return False
    try:
        return int(psutil.Process(int(pid)).create_time()) != int(started)
    except psutil.Error:
        return True
