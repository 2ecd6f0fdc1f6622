"""What can be wrong with a simulated company's records: named faults, each of one tick of one dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from dartifact.demo.records import DATASETS, Row, format_amount, stamp
from dartifact.domain.errors import UsageError

LATE_WITHIN = timedelta(seconds=20)  # how long before the end of their tick late rows are stamped: inside any overlap
_ORPHANS_FROM = 900_000  # far above any customer number a simulation reaches, and still six digits
_SPOILED_SHARE = 10  # one row in ten
_GROSS_OF_NET = 1.19  # with 19 % of value-added tax
_MICROSECOND = timedelta(microseconds=1)


class FaultKind(StrEnum):
    """What can be wrong with a tick, in the order of application: what needs numbers comes before `text_amounts`."""

    AMOUNTS_DIVIDED_BY_100 = "amounts_divided_by_100"
    NET_AMOUNTS = "net_amounts"
    NEGATIVE_AMOUNTS = "negative_amounts"
    NULL_CUSTOMERS = "null_customers"
    ORPHAN_CUSTOMERS = "orphan_customers"
    UNKNOWN_STATUS = "unknown_status"
    DUPLICATE_ORDERS = "duplicate_orders"
    TEXT_AMOUNTS = "text_amounts"
    EPOCH_DATE = "epoch_date"
    UNKNOWN_SEGMENT = "unknown_segment"
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"
    LATE_ROWS = "late_rows"


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


# Each gives the wrong values of one row.
_SPOILERS: dict[FaultKind, Callable[[Row, np.random.Generator], Row]] = {
    FaultKind.NEGATIVE_AMOUNTS: lambda row, _: {"amount": f"-{row['amount']}"},
    FaultKind.NULL_CUSTOMERS: lambda *_: {"customer_id": None},
    FaultKind.ORPHAN_CUSTOMERS: lambda _, rng: {"customer_id": f"C{_ORPHANS_FROM + int(rng.integers(99_999)):06d}"},
    FaultKind.UNKNOWN_STATUS: lambda *_: {"status": "teleported"},
    FaultKind.TEXT_AMOUNTS: lambda *_: {"amount": "n/a"},
    FaultKind.EPOCH_DATE: lambda *_: {"ordered_at": "1970-01-01T00:00:00.000000Z"},
    FaultKind.UNKNOWN_SEGMENT: lambda *_: {"segment": "martian"},
}


def spoil(rows: list[Row], fresh: list[Row], kind: FaultKind, rng: np.random.Generator, ends: datetime) -> list[Row]:
    """Put one fault into the rows of a tick that `ends` then: into all, one fresh row in ten, or one row.

    Return the fresh rows that were chosen. Late ones only get their stamp here: not to show them is up to the caller.
    """
    chosen = rng.choice(len(fresh), max(1, len(fresh) // _SPOILED_SHARE), replace=False)
    victims = [fresh[i] for i in sorted(chosen.tolist())]
    if kind is FaultKind.EPOCH_DATE:
        victims = victims[:1]
    match kind:
        case FaultKind.AMOUNTS_DIVIDED_BY_100 | FaultKind.NET_AMOUNTS:
            divisor = 100 if kind is FaultKind.AMOUNTS_DIVIDED_BY_100 else _GROSS_OF_NET
            for row in rows:
                row["amount"] = format_amount(max(1, round(int(row["amount"].replace(".", "")) / divisor)))
        case FaultKind.DUPLICATE_ORDERS:
            rows.extend({**row, "amount": f"{int(row['amount'].split('.')[0]) + 1}.99"} for row in victims)
        case FaultKind.MISSING_COLUMN:
            for row in rows:
                del row["currency" if "currency" in row else "country"]
        case FaultKind.LATE_ROWS:
            for row in victims:
                row["updated_at"] = stamp(ends - int(rng.integers(LATE_WITHIN // _MICROSECOND)) * _MICROSECOND)
        case FaultKind.EXTRA_COLUMN:
            for row in rows:
                row["channel"] = "web"
        case _:
            for row in victims:
                row.update(_SPOILERS[kind](row, rng))
    return victims
