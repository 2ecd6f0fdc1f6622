"""Sources that remember: in-memory extractors over change records, and the declarations they are ingested by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zlib import crc32

from dartifact.domain.sources import Ingestor, Reference, Source

START = datetime(2021, 1, 1, tzinfo=UTC)
Row = dict[str, Any]

CUSTOMERS = Source(
    name="customers",
    key=("customer_id",),
    ingestors=(Ingestor("dana"),),
    start=START,
    overlap=timedelta(seconds=30),
)
ORDERS = Source(
    name="orders",
    key=("order_id",),
    ingestors=(Ingestor("dan"),),
    references=(Reference("customer_id", "customers", "customer_id"),),
    start=START,
    overlap=timedelta(seconds=30),
)


def customer(number: int, **changes: Any) -> Row:
    """Build a customer that passes every check; `changes` replace columns."""
    return {
        "customer_id": f"C{number:06}",
        "name": f"Customer {number}",
        "email": f"customer{number}@example.com",
        "segment": "consumer",
        "country": "DE",
    } | changes


def order(number: int, of: int = 1, **changes: Any) -> Row:
    """Build an order of customer `of` that passes every check; `changes` replace columns."""
    return {
        "order_id": number,
        "customer_id": f"C{of:06}",
        "status": "paid",
        "amount": Decimal("10.00"),
        "currency": "EUR",
        "ordered_at": "2021-01-01T00:00:00Z",
    } | changes


def bad_order(number: int, of: int = 1) -> Row:
    """Build an order that fails the contract of orders in one check: its status is no valid value."""
    return order(number, of, status="lost")


def bad_customer(number: int) -> Row:
    """Build a customer that fails the contract of customers in one check: its segment is no valid value."""
    return customer(number, segment="martian")


@dataclass
class RememberingSource:
    """An extractor (see `dartifact.commands.ingest.ingest.Extractor`) over rows in memory.

    `now` is the source's own clock and moves only when told. A row that is added without `updated_at` is of now; one
    that is added with an older one is late: whoever asked for that stretch before has missed it. `fail_next` makes the
    next fetch raise after some pages; `fetched` remembers the windows that were asked for.
    """

    name: str = "a source"
    now: datetime = START
    page_size: int = 100
    rows: list[Row] = field(default_factory=list)
    fetched: list[tuple[datetime, datetime, int, int]] = field(default_factory=list)
    gone: set[Any] = field(default_factory=set)
    _faults: list[tuple[Exception, int]] = field(default_factory=list)

    def add(self, *rows: Row) -> None:
        """Publish rows; their time stamp is now where they bring none."""
        self.rows.extend({"updated_at": stamp(self.now)} | row for row in rows)

    def fail_next(self, error: Exception, *, after_pages: int = 0) -> None:
        """Let the next fetch that is not spoken for raise `error` after so many pages."""
        self._faults.append((error, after_pages))

    def forget(self, *keys: Any) -> None:
        """Delete records without telling; only `list_keys` shows it."""
        self.gone.update(keys)

    def list_keys(self) -> Iterator[list[Row]]:
        """Yield the first column, which is the key, of every record that is not forgotten."""
        name = next(each for each in self.rows[0] if each != "updated_at")
        yield [{name: key} for key in sorted({row[name] for row in self.rows} - self.gone)]

    def read_clock(self) -> datetime:
        """Return the source's own time."""
        return self.now

    def fetch(self, lo: datetime, hi: datetime, *, shard: int, shards: int) -> Iterator[list[Row]]:
        """Yield pages of the rows with lo < updated_at <= hi of a shard, oldest first."""
        self.fetched.append((lo, hi, shard, shards))
        fault, pages = self._faults.pop(0) if self._faults else (None, -1)
        found = [row for row in self.rows if lo < datetime.fromisoformat(row["updated_at"]) <= hi]
        mine = sorted((row for row in found if shard_of(row, shards) == shard), key=lambda row: row["updated_at"])
        chunks = [mine[start : start + self.page_size] for start in range(0, len(mine), self.page_size)] or [[]]
        for count, chunk in enumerate(chunks):
            if fault is not None and count == pages:
                raise fault
            yield [dict(row) for row in chunk]
        if fault is not None:
            raise fault


def shard_of(row: Row, shards: int) -> int:
    """Say which shard brings a row: by the first column, which is the key."""
    return crc32(str(next(value for name, value in row.items() if name != "updated_at")).encode()) % shards


def stamp(time: datetime) -> str:
    """Write a time the way sources do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
