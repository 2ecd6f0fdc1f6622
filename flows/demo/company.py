"""A simulated company: its orders and customers as a pure function of seed, tick and faults.

Tick n (from 1) is the stretch (start + (n-1) x 5 min, start + n x 5 min]. Nothing exists at `start` itself, so that a
first window (start, hi] brings everything: tick 1 creates the population in its first second, then the first orders.
A fault spoils the records of its own tick only; later updates of the same orders carry the right values again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from math import gcd
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from flows.domain.errors import UsageError

TICK = timedelta(minutes=5)
DATASETS = ("orders", "customers")
STATUSES = ("placed", "paid", "shipped", "returned", "cancelled")
CURRENCIES = ("EUR", "USD", "GBP")
SEGMENTS = ("consumer", "small_business", "corporate")
COUNTRIES = ("DE", "FR", "NL", "ES", "IT", "SE", "PL", "GB", "US", "CA")
COLUMNS = {
    "orders": ("order_id", "customer_id", "status", "amount", "currency", "ordered_at", "updated_at"),
    "customers": ("customer_id", "name", "email", "segment", "country", "updated_at"),
}
KEYS = {"orders": "order_id", "customers": "customer_id"}

_FIRST = ("Ada", "Ben", "Chloe", "David", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jan", "Kira", "Liam", "Mia", "Noor")
_LAST = ("Adler", "Brown", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Haas", "Ivanov", "Jansen", "Kaya", "Lopez")
_MAIL = ("example.com", "example.org", "example.net")
_TICK_US = TICK // timedelta(microseconds=1)
_SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_AGE = 13  # ticks from the placing of an order to the last thing that can happen to it: 3 + 4 + 6
_MAX_CUSTOMERS = 100_000
_ORPHANS_FROM = 900_000  # far above any customer number a simulation reaches, and still six digits
_SPOILED_SHARE = 10  # one row in ten

Row = dict[str, Any]
Ints = npt.NDArray[np.int64]


class FaultKind(StrEnum):
    """What can be wrong with a tick, in the order of application: what needs numbers comes before `text_amounts`."""

    AMOUNTS_DIVIDED_BY_100 = "amounts_divided_by_100"
    NEGATIVE_AMOUNTS = "negative_amounts"
    NULL_CUSTOMERS = "null_customers"
    ORPHAN_CUSTOMERS = "orphan_customers"
    UNKNOWN_STATUS = "unknown_status"
    DUPLICATE_ORDERS = "duplicate_orders"
    TEXT_AMOUNTS = "text_amounts"
    UNKNOWN_SEGMENT = "unknown_segment"
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"


_BOTH = (FaultKind.MISSING_COLUMN, FaultKind.EXTRA_COLUMN)
FAULT_KINDS: dict[str, tuple[FaultKind, ...]] = {
    "orders": tuple(kind for kind in FaultKind if kind is not FaultKind.UNKNOWN_SEGMENT),
    "customers": (FaultKind.UNKNOWN_SEGMENT, *_BOTH),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one tick of a dataset; an unknown dataset or kind is a UsageError that lists the known."""

    dataset: str
    tick: int
    kind: FaultKind | str

    def __post_init__(self) -> None:
        if self.dataset not in FAULT_KINDS:
            raise UsageError(f"no dataset {self.dataset!r}; there are: {', '.join(DATASETS)}")
        if self.kind not in FAULT_KINDS[self.dataset]:
            known = ", ".join(FAULT_KINDS[self.dataset])
            raise UsageError(f"no fault {str(self.kind)!r} for {self.dataset}; there are: {known}")
        if self.tick < 1:
            raise UsageError(f"ticks are counted from 1, not {self.tick}")
        object.__setattr__(self, "kind", FaultKind(self.kind))


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


# Each gives the wrong values of one row.
_SPOILERS: dict[FaultKind, Callable[[Row, np.random.Generator], Row]] = {
    FaultKind.NEGATIVE_AMOUNTS: lambda row, _: {"amount": f"-{row['amount']}"},
    FaultKind.NULL_CUSTOMERS: lambda *_: {"customer_id": None},
    FaultKind.ORPHAN_CUSTOMERS: lambda _, rng: {"customer_id": f"C{_ORPHANS_FROM + int(rng.integers(99_999)):06d}"},
    FaultKind.UNKNOWN_STATUS: lambda *_: {"status": "teleported"},
    FaultKind.TEXT_AMOUNTS: lambda *_: {"amount": "n/a"},
    FaultKind.UNKNOWN_SEGMENT: lambda *_: {"segment": "martian"},
}


class Company:
    """A company and its clock. Rows never change once their tick has happened."""

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
        """Return the change records of one tick, sorted by (updated_at, key)."""
        if dataset not in DATASETS:
            raise UsageError(f"no dataset {dataset!r}; there are: {', '.join(DATASETS)}")
        if not 1 <= tick <= self.state.tick:
            raise UsageError(f"tick {tick} has not happened; the last one is {self.state.tick}")
        rows = _orders(self.state, tick) if dataset == "orders" else _customers(self.state, tick)
        kinds = {fault.kind for fault in self.state.faults if (fault.dataset, fault.tick) == (dataset, tick)}
        fresh = [row for row in rows if dataset == "customers" or row["status"] == "placed"]
        for kind in (each for each in FaultKind if each in kinds):
            _spoil(rows, fresh, kind, np.random.default_rng([self.state.seed, tick, crc32(kind.encode())]))
        rows.sort(key=lambda row: (row["updated_at"], row[KEYS[dataset]]))
        return rows


def stamp(time: datetime) -> str:
    """Write a time as the sources do: UTC, microseconds, `Z`; of fixed width, so that stamps sort like times."""
    if time.utcoffset() is None:
        raise UsageError(f"{time.isoformat()} has no time zone")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def new_customers(customers: int) -> int:
    """Return how many customers each tick after the first adds to a population of that size."""
    return min(50, max(3, customers // 200))


def changed_customers(customers: int) -> int:
    """Return how many customers of the first population each tick after the first changes."""
    return min(customers, 100, max(5, customers // 100))


@dataclass(frozen=True, slots=True)
class _Placed:
    """The orders placed in one tick and what will happen to them, as columns.

    `delays[s]` is the age in ticks at which step s (pay or cancel, ship, return) happens, 0 for never; `offsets[s]`
    is the microsecond of that tick.
    """

    ids: Ints
    customers: Ints
    cents: Ints
    currencies: Ints
    ordered: Ints
    cancelled: npt.NDArray[np.bool_]
    delays: Ints
    offsets: Ints


# Every tick looks back over the orders of the last 13: kept, they are made once.
@lru_cache(maxsize=2 * _MAX_AGE)
def _place(seed: int, start: datetime, count: int, population: int, tick: int) -> _Placed:
    rng = np.random.default_rng([seed, tick, crc32(b"orders")])
    known = population + max(0, tick - 2) * new_customers(
        population
    )  # who existed before this tick, or in its 1st second
    customers = (known * rng.random(count) ** 1.5).astype(np.int64)  # the older the customer, the more orders
    segments = _segments(seed, customers)
    median, spread = np.array([40.0, 220.0, 1500.0])[segments], np.array([0.7, 0.8, 0.9])[segments]
    cents = np.rint(100 * median * np.exp(spread * rng.standard_normal(count))).astype(np.int64)
    life = rng.random(count)
    cancelled, returned = life < 0.03, life > 0.96
    delays = np.stack([rng.integers(1, 4, count), rng.integers(1, 5, count), rng.integers(2, 7, count)]).cumsum(axis=0)
    delays[1:, cancelled] = 0
    delays[2, ~returned] = 0
    return _Placed(
        ids=np.arange(1, count + 1) + (tick - 1) * count,
        customers=customers,
        cents=cents.clip(100, 5_000_000),
        currencies=np.searchsorted([0.6, 0.9], rng.random(count)),
        ordered=_micros(start, tick) + np.sort(rng.integers(2 * _SECOND_US, _TICK_US, count)),
        cancelled=cancelled,
        delays=delays,
        offsets=rng.integers(_SECOND_US, _TICK_US, (3, count)),
    )


def _orders(state: CompanyState, tick: int) -> list[Row]:
    """Return the orders placed in a tick and the steps that earlier ones take in it."""
    parts: list[tuple[Ints, ...]] = []
    for age in range(min(_MAX_AGE, tick - 1) + 1):
        placed = _place(state.seed, state.start, state.orders_per_tick, state.customers, tick - age)
        base = (placed.ids, placed.customers, placed.cents, placed.currencies, placed.ordered)
        if age == 0:
            parts.append((*base, np.zeros_like(placed.ids), placed.ordered))
            continue
        for step in range(3):
            due = np.flatnonzero(placed.delays[step] == age)
            status = np.where(placed.cancelled[due], STATUSES.index("cancelled"), step + 1)
            updated = _micros(state.start, tick) + placed.offsets[step][due]
            parts.append((*(column[due] for column in base), status, updated))
    ids, customers, cents, currencies, ordered, status, updated = map(np.concatenate, zip(*parts, strict=True))
    columns = (
        ids.tolist(),
        [f"C{customer + 1:06d}" for customer in customers.tolist()],
        [STATUSES[each] for each in status.tolist()],
        [_amount(each) for each in cents.tolist()],
        [CURRENCIES[each] for each in currencies.tolist()],
        _stamps(ordered),
        _stamps(updated),
    )
    return [dict(zip(COLUMNS["orders"], values, strict=True)) for values in zip(*columns, strict=True)]


def _customers(state: CompanyState, tick: int) -> list[Row]:
    """Return the customers that appear or change in a tick; (number, version) alone tell what a customer is like."""
    population = state.customers
    if tick == 1:
        index, version = np.arange(population), np.zeros(population, dtype=np.int64)
        offsets = 1 + index * (_SECOND_US - 1) // population
    else:
        new, changed = new_customers(population), changed_customers(population)
        turns = (tick - 2) * changed + np.arange(changed)
        # A stride without a common factor visits everybody once per round; the round is the version.
        stride = next(s for s in range(int(population * 0.618) + 1, 2 * population + 2) if gcd(s, population) == 1)
        index = np.concatenate([population + (tick - 2) * new + np.arange(new), turns * stride % population])
        version = np.concatenate([np.zeros(new, dtype=np.int64), 1 + turns // population])
        rng = np.random.default_rng([state.seed, tick, crc32(b"customers")])
        offsets = rng.integers(2 * _SECOND_US, _TICK_US, len(index))
    first, last, country = (
        (_draw(state.seed, index, salt) * len(values)).astype(np.int64)
        for salt, values in enumerate((_FIRST, _LAST, COUNTRIES), start=1)
    )
    names = [(_FIRST[f], _LAST[n]) for f, n in zip(first.tolist(), last.tolist(), strict=True)]
    boxes = [
        f"{i + 1}@{_MAIL[each % 3]}" for i, each in zip(index.tolist(), ((version + 1) // 2).tolist(), strict=True)
    ]
    columns = (
        [f"C{i + 1:06d}" for i in index.tolist()],
        [" ".join(name) for name in names],
        [f"{'.'.join(name).lower()}{box}" for name, box in zip(names, boxes, strict=True)],
        [SEGMENTS[each] for each in _segments(state.seed, index).tolist()],
        [COUNTRIES[each % len(COUNTRIES)] for each in (country + version // 2).tolist()],
        _stamps(_micros(state.start, tick) + offsets),
    )
    return [dict(zip(COLUMNS["customers"], values, strict=True)) for values in zip(*columns, strict=True)]


def _spoil(rows: list[Row], fresh: list[Row], kind: FaultKind, rng: np.random.Generator) -> None:
    """Put one fault into the rows of a tick: into all of them, or into one fresh row in ten."""
    chosen = rng.choice(len(fresh), max(1, len(fresh) // _SPOILED_SHARE), replace=False)
    victims = [fresh[i] for i in sorted(chosen.tolist())]
    match kind:
        case FaultKind.AMOUNTS_DIVIDED_BY_100:
            for row in rows:
                row["amount"] = _amount(max(1, round(int(row["amount"].replace(".", "")) / 100)))
        case FaultKind.DUPLICATE_ORDERS:
            rows.extend({**row, "amount": f"{int(row['amount'].split('.')[0]) + 1}.99"} for row in victims)
        case FaultKind.MISSING_COLUMN:
            for row in rows:
                del row["currency" if "currency" in row else "country"]
        case FaultKind.EXTRA_COLUMN:
            for row in rows:
                row["channel"] = "web"
        case _:
            for row in victims:
                row.update(_SPOILERS[kind](row, rng))


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _draw(seed: int, index: Ints, salt: int) -> npt.NDArray[np.float64]:
    """Return a uniform number in [0, 1) for each index (splitmix64): the same whichever others are asked for."""
    x = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(crc32(f"{seed}/{salt}".encode()) << 20)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _segments(seed: int, index: Ints) -> Ints:
    return np.searchsorted([0.7, 0.9], _draw(seed, index, 0))


def _micros(start: datetime, tick: int) -> int:
    """Return where a tick begins, in microseconds since 1970."""
    return (start - _EPOCH) // timedelta(microseconds=1) + (tick - 1) * _TICK_US


def _stamps(micros: Ints) -> list[str]:
    stamps: list[str] = np.datetime_as_string(micros.astype("datetime64[us]"), timezone="UTC").tolist()
    return stamps
