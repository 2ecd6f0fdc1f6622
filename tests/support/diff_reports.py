"""Diff reports made by hand, for tests of what is said of them."""

from __future__ import annotations

from typing import Any

from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example, RowCounts, SchemaDiff, Shift

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "`code` ``` | pipe \\| **bold**",
    "@octocat #1 https://example.com www.example.com [a](javascript:alert(1)) ![b](//x)",
    "line\nline\r\n\x1b[31mred\u202eside",
    "'\"&amp;<!-- --></td></table>",
)


def make_column(name: str = "v", changed: int = 1, *examples: Example, shift: Shift | None = None) -> ColumnDiff:
    """Make a column of which so many cells have changed, out of 1,000 rows."""
    shown = examples or (Example("1", "x", "y"),)
    return ColumnDiff(name, changed, changed / 1000, 0, 0, shift, shown if changed else ())


def make_report(
    *columns: ColumnDiff, table: str = "", added: int = 0, removed: int = 0, changed: int = 0, **others: Any
) -> DiffReport:
    """Make a report of 1,000 rows on both sides and a key `id`; rows change where a column does."""
    changed = changed or max((column.changed for column in columns), default=0)
    rows = RowCounts(1000, 1000 - removed + added, added, removed, changed, 1000 - removed - changed)
    fields: dict[str, Any] = {
        "base": "before.parquet",
        "candidate": "after.parquet",
        "key": ("id",),
        "key_origin": "given",
        "scope": "all",
        "rows": rows,
        "schema": SchemaDiff(),
        "options": {"ignore": [], "tolerance": None},
    }
    return DiffReport(table=table, columns=columns, **(fields | others))
