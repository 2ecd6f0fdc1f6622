"""The file of a batch: rows with our own columns, written as Parquet, with what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dartifact.adapters.tables.typed_values import EPOCH, MICROSECOND
from dartifact.domain.sources import SYSTEM_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

DECLARED, STRANGE = "dartifact.declared", "dartifact.strange"
"""Under these keys a file keeps its `Notes`."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a batch's file says of itself: the columns that its contract declared, and names it could not keep."""

    declared: tuple[str, ...] = ()
    strange: Mapping[str, str] = field(default_factory=dict)


def add_system_columns(table: pa.Table, *, run_id: str, seq: int, extracted_at: datetime) -> pa.Table:
    """Return the table with `_run_id, _seq, _extracted_at, _deleted` as its last columns."""
    import pyarrow as pa  # noqa: PLC0415

    if extracted_at.tzinfo is None:
        raise ValueError("extracted_at needs a time zone")
    stamp = pa.scalar((extracted_at - EPOCH) // MICROSECOND, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    constants = (pa.scalar(run_id, pa.string()), pa.scalar(seq, pa.int64()), stamp)
    deleted = pa.repeat(pa.scalar(False), table.num_rows)
    if "_deleted" in table.column_names:
        deleted = table.column("_deleted")
        table = table.drop_columns(["_deleted"])
    for name, value in zip(SYSTEM_COLUMNS, constants, strict=False):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table.append_column("_deleted", deleted)


def write_parquet(table: pa.Table, path: Path, notes: Notes | None = None) -> None:
    """Write a table as Parquet (zstd); equal tables give equal bytes, however they are chunked."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    if notes is not None:
        told = {DECLARED: json.dumps(notes.declared), STRANGE: json.dumps(dict(notes.strange))}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **told})
    pq.write_table(table.combine_chunks(), path, compression="zstd")
