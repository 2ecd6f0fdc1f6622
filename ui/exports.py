"""CSV that a spreadsheet opens as text: no cell of it is a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_QUOTE = "'"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def defuse(text: str) -> str:
    """Return a text with a quote before it where a spreadsheet would take it for a formula; numbers stay numbers."""
    return _QUOTE + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def restore(text: str) -> str:
    """Return the text that `defuse` was given."""
    return text[1:] if text.startswith(_QUOTE) and _FORMULA.match(text) else text


def write_csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, all with the columns of the first, as CSV without formulas."""
    out = io.StringIO()
    columns = list(rows[0]) if rows else []
    writer = csv.writer(out)
    writer.writerow([defuse(column) for column in columns])
    writer.writerows([[_defuse_value(row[column]) for column in columns] for row in rows])
    return out.getvalue()


def defuse_table(table: pa.Table) -> pa.Table:
    """Return a table with the texts of all its columns defused."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            cells = [value if value is None else defuse(value) for value in table[place].to_pylist()]
            table = table.set_column(place, field, pa.array(cells, field.type))
    return table


def restore_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that were read from CSV with the texts that were defused in it."""
    return [{name: restore(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows]


def _defuse_value(value: Any) -> Any:
    return defuse(value) if isinstance(value, str) else value
