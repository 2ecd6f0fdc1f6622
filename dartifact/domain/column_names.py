"""Which names a column can be kept under: those that SQL, Parquet and our own columns leave free."""

from __future__ import annotations

from collections.abc import Iterable

from dartifact.domain.sources import SYSTEM_COLUMNS

_RESERVED = frozenset(
    (
        *SYSTEM_COLUMNS,
        "file_row_number",  # DuckDB's readers of files add these two on request
        "filename",
        "_row",  # and what shows failing rows adds these
        "_reason",
    )
)


def find_name_fault(name: str) -> str:
    """Say why no column can be kept under a name, as the end of a sentence (`is reserved`); empty for a fit name."""
    if not name.strip():
        return "is empty"
    if "\0" in name:
        return "holds a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "is no Unicode text"
    if name.lower() in _RESERVED:
        return "is reserved"
    return ""


def find_twins(names: Iterable[str]) -> dict[str, str]:
    """Return each name that differs from an earlier one only in case, with the earlier one, which is kept.

    DuckDB takes such names for one column. A name that is there twice with the same case is no twin.
    """
    kept: dict[str, str] = {}
    twins = {}
    for name in names:
        first = kept.setdefault(name.lower(), name)
        if first != name:
            twins[name] = first
    return twins
