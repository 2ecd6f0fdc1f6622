"""A simulated company: its orders and customers as a pure function of seed, tick and faults.

A fault spoils the records of its own tick only; later updates of the same orders carry the right values again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import numpy as np

from dartifact.demo.faults import Fault, FaultKind, spoil
from dartifact.demo.records import DATASETS, KEYS, TICK, Row, list_customers, list_double_entries, list_orders, stamp
from dartifact.domain.errors import UsageError

_MAX_CUSTOMERS = 100_000


@dataclass(frozen=True, slots=True)
class CompanyState:
    """All there is to keep of a company: every row follows from it. `now` is always the end of a tick (or `start`)."""

    seed: int
    start: datetime
    now: datetime
    orders_per_tick: int
    customers: int
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if self.start.utcoffset() is None or self.now.utcoffset() is None:
            raise UsageError("start and now of a company need a time zone")
        for name in ("start", "now"):  # in a zone with summer time, 5 minutes are not always 5 minutes
            object.__setattr__(self, name, getattr(self, name).astimezone(UTC))
        if self.now < self.start or (self.now - self.start) % TICK:
            raise UsageError(f"now must be start + n x 5 minutes, not {self.now.isoformat()}")
        if self.seed < 0 or self.orders_per_tick < 1 or not 1 <= self.customers <= _MAX_CUSTOMERS:
            raise UsageError(f"a company needs seed >= 0, orders_per_tick >= 1 and 1 to {_MAX_CUSTOMERS:,} customers")

    @property
    def tick(self) -> int:
        """Return the number of the last tick that has happened, 0 before the first."""
        return (self.now - self.start) // TICK

    def ticks_between(self, lo: datetime, hi: datetime) -> range:
        """Return the ticks that have happened and can hold records with lo < updated_at <= hi."""
        first = max(1, (lo - self.start) // TICK + 1)
        return range(first, min(self.tick, -((self.start - hi) // TICK)) + 1)

    def as_of(self, tick: int) -> CompanyState:
        """Return the state at the end of a tick, earlier or later."""
        return replace(self, now=self.start + tick * TICK)

    def advance(self, ticks: int = 1) -> CompanyState:
        """Return the state `ticks` later."""
        if ticks < 1:
            raise UsageError(f"time moves forward only: advance by 1 tick or more, not {ticks}")
        return replace(self, now=self.now + ticks * TICK)

    def add_fault(self, dataset: str, kind: str) -> CompanyState:
        """Return the state in which the next tick of a dataset is spoiled; adding a fault twice changes nothing."""
        fault = Fault(dataset, self.tick + 1, kind)
        return self if fault in self.faults else replace(self, faults=(*self.faults, fault))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` reads them back."""
        return {
            "seed": self.seed,
            "start": stamp(self.start),
            "now": stamp(self.now),
            "orders_per_tick": self.orders_per_tick,
            "customers": self.customers,
            "faults": [{"dataset": f.dataset, "tick": f.tick, "kind": str(f.kind)} for f in self.faults],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CompanyState:
        """Read what `to_json` wrote."""
        times = {name: datetime.fromisoformat(value[name]) for name in ("start", "now")}
        return cls(**{**value, **times, "faults": tuple(Fault(**fault) for fault in value["faults"])})


class Company:
    """A company and its clock. Rows never change once their tick has happened; late ones come a tick later."""

    def __init__(self, seed: int, start: datetime, orders_per_tick: int, customers: int) -> None:
        self.state = CompanyState(seed, start, start, orders_per_tick, customers)

    @classmethod
    def from_state(cls, state: CompanyState) -> Company:
        """Return the company a state describes."""
        company = cls(state.seed, state.start, state.orders_per_tick, state.customers)
        company.state = state
        return company

    @property
    def now(self) -> datetime:
        """Return the company's own time."""
        return self.state.now

    def advance(self, ticks: int = 1) -> None:
        """Let `ticks` x 5 minutes happen."""
        self.state = self.state.advance(ticks)

    def add_fault(self, dataset: str, kind: str) -> None:
        """Spoil the next tick of a dataset."""
        self.state = self.state.add_fault(dataset, kind)

    def changes(self, dataset: str, lo: datetime, hi: datetime) -> list[Row]:
        """Return the change records with lo < updated_at <= hi that exist now, sorted by (updated_at, key)."""
        after, until = stamp(lo), stamp(hi)
        ticks = self.state.ticks_between(lo, hi)
        return [row for tick in ticks for row in self.rows(dataset, tick) if after < row["updated_at"] <= until]

    def rows(self, dataset: str, tick: int) -> list[Row]:
        """Return the change records of one tick, sorted by (updated_at, key); late ones once the tick after is over."""
        if dataset not in DATASETS:
            raise UsageError(f"no dataset {dataset!r}; there are: {', '.join(DATASETS)}")
        if not 1 <= tick <= self.state.tick:
            raise UsageError(f"tick {tick} has not happened; the last one is {self.state.tick}")
        rows = list_orders(self.state, tick) if dataset == "orders" else list_customers(self.state, tick)
        kinds = {fault.kind for fault in self.state.faults if (fault.dataset, fault.tick) == (dataset, tick)}
        fresh = [row for row in rows if dataset == "customers" or row["status"] == "placed"]
        ends = self.state.start + tick * TICK
        for kind in (each for each in FaultKind if each in kinds):
            rng = np.random.default_rng([self.state.seed, tick, crc32(kind.encode())])
            chosen = spoil(rows, fresh, kind, rng, ends)
            if kind is FaultKind.LATE_ROWS and tick == self.state.tick:
                unpublished = set(map(id, chosen))
                rows = [row for row in rows if id(row) not in unpublished]
        rows.sort(key=lambda row: (row["updated_at"], row[KEYS[dataset]]))
        return rows

    def double_entries(self, tick: int) -> list[tuple[Row, bool]]:
        """Return the customers entered by mistake in a tick, and with True those deleted; Salesforce alone shows them.

        Only these are ever deleted. A customer with orders is not: Salesforce refuses to delete an account that has
        some, and people expect an order to keep its customer.
        """
        return list_double_entries(self.state, tick)
