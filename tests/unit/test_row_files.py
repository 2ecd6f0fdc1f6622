"""Rows that people take away as a file and bring back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from dartifact.adapters.tables.row_files import read_rows, write_csv

STAMP = datetime(2021, 1, 1, 12, 30, tzinfo=UTC)


def test_a_csv_file_reads_back_as_the_rows_it_was_written_from(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1, 2, None],
            "text": ["", None, 'a "b", c\nd'],
            "amount": pa.array([Decimal("1.10"), None, Decimal("-2.00")], pa.decimal128(12, 2)),
            "at": pa.array([STAMP, None, STAMP], pa.timestamp("us", "UTC")),
            "_run_id": ["r"] * 3,
            "_seq": [7] * 3,
            "_deleted": [False] * 3,
        }
    )
    file = tmp_path / "batch.csv"
    write_csv(table, file)
    assert read_rows(file) == [
        {"id": "1", "text": "", "amount": "1.10", "at": "2021-01-01 12:30:00+00"},
        {"id": "2", "text": None, "amount": None, "at": None},
        {"id": None, "text": 'a "b", c\nd', "amount": "-2.00", "at": "2021-01-01 12:30:00+00"},
    ]
    write_csv(table.set_column(6, "_deleted", pa.array([False, True, False])), file)
    assert [row["_deleted"] for row in read_rows(file)] == ["false", "true", "false"]
