"""What every command is given: the outside systems, the clock, the policy. Built once, by `dartifact.wiring`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from dartifact.adapters.contracts.contracts import Contract, load_contract
from dartifact.adapters.lakefs.lake import Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.domain.errors import DartifactError, PolicyRefused, UsageError
from dartifact.domain.events import EventType
from dartifact.domain.people import Role, refuse_below
from dartifact.domain.sources import Source

T = TypeVar("T")
_PATIENCE = 2.0  # seconds that the record of a refusal may keep whoever was refused waiting


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
    `actor` who that is where somebody has signed in; `is_proven` says that a provider or a proxy vouches for it.
    `flow_run` is the id of the Prefect flow run that acts, empty elsewhere.
    """

    lake: Lake
    ledger: Ledger
    dbt: DbtBuilder
    sources: Mapping[str, Source]
    project: Path
    home: Path
    policy: Policy = Policy()
    role: Role = Role.OPERATOR
    actor: str = ""
    is_proven: bool = False
    flow_run: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _contracts: dict[str, Contract] = field(default_factory=dict)

    def require(self, needed: Role, deed: str) -> None:
        """Raise PolicyRefused unless who acts through this stack has the role that a deed takes; record the refusal."""
        try:
            refuse_below(self.role, needed, deed)
        except PolicyRefused:
            with contextlib.suppress(DartifactError), self.ledger.write(patience=_PATIENCE) as tx:
                tx.append(
                    EventType.ATTEMPT_REFUSED,
                    self.actor or "unknown",
                    deed=deed,
                    role=self.role.value,
                    needed=needed.value,
                )
            raise

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
