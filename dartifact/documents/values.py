"""The plain JSON values that documents are made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

Plain: TypeAlias = str | int | float | bool | None
Row: TypeAlias = dict[str, Plain]  # of a table: column → value


def plain_row(row: Mapping[str, object]) -> Row:
    """Return a row with what JSON has no word for, such as times and decimals, as text."""
    return {column: _plain(value) for column, value in row.items()}


def _plain(value: object) -> Plain:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)


def stamp(time: datetime) -> str:
    """Return a time in ISO format."""
    return time.isoformat()


def stamp_or_none(time: datetime | None) -> str | None:
    """Return a time in ISO format, None for None."""
    return time.isoformat() if time else None
