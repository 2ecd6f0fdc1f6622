"""The records of a simulated company: pure functions of seed, tick and sizes.

Tick n (from 1) is the stretch (start + (n-1) x 5 min, start + n x 5 min]. Nothing exists at `start` itself, so that a
first window (start, hi] brings everything: tick 1 creates the population in its first second, then the first orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Any, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from dartifact.domain.errors import UsageError

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
_DOUBLES_FROM = 800_000  # numbers that no order ever names
_DOUBLES = 100_000
_LONGEST_DOUBLE = 6  # ticks until somebody notices

Row = dict[str, Any]


class Sizes(Protocol):
    """What the records of a company depend on."""

    @property
    def seed(self) -> int:
        """Return what all chance comes from."""

    @property
    def start(self) -> datetime:
        """Return when the first tick begins."""

    @property
    def orders_per_tick(self) -> int:
        """Return how many orders are placed in a tick."""

    @property
    def customers(self) -> int:
        """Return how many customers there are at the start."""


Ints = npt.NDArray[np.int64]


def stamp(time: datetime) -> str:
    """Write a time as the sources do: UTC, microseconds, `Z`; of fixed width, so that stamps sort like times."""
    if time.utcoffset() is None:
        raise UsageError(f"{time.isoformat()} has no time zone")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def format_amount(cents: int) -> str:
    """Write cents with two decimals."""
    return f"{cents // 100}.{cents % 100:02d}"


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


def list_orders(state: Sizes, tick: int) -> list[Row]:
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
        [format_amount(each) for each in cents.tolist()],
        [CURRENCIES[each] for each in currencies.tolist()],
        _stamps(ordered),
        _stamps(updated),
    )
    return [dict(zip(COLUMNS["orders"], values, strict=True)) for values in zip(*columns, strict=True)]


def list_customers(state: Sizes, tick: int) -> list[Row]:
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
    return _describe(state.seed, index, version, _micros(state.start, tick) + offsets)


def list_double_entries(state: Sizes, tick: int) -> list[tuple[Row, bool]]:
    """Return the customers that somebody enters a second time in a tick, and, with True, those that are deleted again.

    About every third tick brings one; it is noticed and deleted within half an hour. No order ever names one.
    """
    found: list[tuple[Row, bool]] = []
    for age in range(min(_LONGEST_DOUBLE, tick - 2) + 1):
        entered = np.array([tick - age])
        happens, lasts, moment = (float(_draw(state.seed, entered, salt)[0]) for salt in (4, 5, 6 + age))
        if happens < 1 / 3 and age in (0, 1 + int(lasts * _LONGEST_DOUBLE)):
            offset = np.array([2 * _SECOND_US + int(moment * (_TICK_US - 2 * _SECOND_US))])
            index = _DOUBLES_FROM - 1 + entered % _DOUBLES
            rows = _describe(state.seed, index, np.zeros_like(index), _micros(state.start, tick) + offset)
            found.append((rows[0], age > 0))
    return sorted(found, key=lambda each: each[0]["updated_at"])


def _describe(seed: int, index: Ints, version: Ints, micros: Ints) -> list[Row]:
    first, last, country = (
        (_draw(seed, index, salt) * len(values)).astype(np.int64)
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
        [SEGMENTS[each] for each in _segments(seed, index).tolist()],
        [COUNTRIES[each % len(COUNTRIES)] for each in (country + version // 2).tolist()],
        _stamps(micros),
    )
    return [dict(zip(COLUMNS["customers"], values, strict=True)) for values in zip(*columns, strict=True)]


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
