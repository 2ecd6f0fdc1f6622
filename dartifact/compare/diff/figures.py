"""The SQL over the stored rows of a diff (`row`, kind, `k…`, `b…`, `c…`): figures per column, and single cells."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.compare.diff.columns import Column, Tolerance
from dartifact.domain.sql_text import literal

_EXAMPLES = 3


def select_counts(rows: str, columns: Sequence[Column], tolerance: Tolerance | None) -> str:
    """Select added, removed, changed rows, then the changed cells of each column, in one row."""
    kinds = [f"count(*) FILTER (kind = '{kind}')" for kind in ("added", "removed", "changed")]
    cells = [f"count(*) FILTER {_is_changed(n, column, tolerance)}" for n, column in enumerate(columns)]
    return f"SELECT {', '.join([*kinds, *cells])} FROM {rows}"


def select_figures(rows: str, keys: int, n: int, column: Column, tolerance: Tolerance | None) -> str:
    """Select the figures of one column's changed cells, in one row.

    They are: from null, to null; examples as lists of key, base and candidate; then, of numbers, the means of base,
    candidate and change, the least and the greatest change (null where no cell has a finite number on both sides).
    """
    figures = [
        f"count(*) FILTER (b{n} IS NULL)",
        f"count(*) FILTER (c{n} IS NULL)",
        f'min_by([{key_text(keys)}, CAST(b{n} AS VARCHAR), CAST(c{n} AS VARCHAR)], "row", {_EXAMPLES})',
    ]
    if column.numeric:
        old, new = (f"CAST({column.value(f'{side}{n}')} AS DOUBLE)" for side in "bc")
        moved = f"{new} - {old}"
        shift = (f"avg({old})", f"avg({new})", f"avg({moved})", f"min({moved})", f"max({moved})")
        figures += [f"{figure} FILTER (isfinite({old}) AND isfinite({new}))" for figure in shift]
    return f"SELECT {', '.join(figures)} FROM {rows} WHERE {_is_changed(n, column, tolerance)}"


def _is_changed(n: int, column: Column, tolerance: Tolerance | None) -> str:
    return f"(kind = 'changed' AND {column.differs(f'b{n}', f'c{n}', tolerance)})"


def key_text(keys: int) -> str:
    """Return the expression of a row's key as text: the value itself, or all of them in brackets."""
    names = [f"k{n}" for n in range(keys)]
    if not names:
        return "NULL"
    key = names[0] if keys == 1 else f"row({', '.join(names)})"
    return f"coalesce(CAST({key} AS VARCHAR), 'null')"


def select_cells(rows: str, key: Sequence[str], columns: Sequence[Column], tolerance: Tolerance | None) -> str:
    """Select every differing cell of stored rows: row, place, key, column, base, candidate, kind.

    `key` is the value of the one key column, a struct of several, null without a key. A row that stands on one side
    only gives a cell for each column. Values are texts, null is null.
    """
    fields = ", ".join(f"{literal(name)}: k{n}" for n, name in enumerate(key))
    shown = "NULL" if not key else "k0" if len(key) == 1 else f"{{{fields}}}"
    cells = ", ".join(
        f"{{'position': {n}, 'column': {literal(column.name)}, 'base': CAST(b{n} AS VARCHAR), "
        f"'candidate': CAST(c{n} AS VARCHAR), "
        f"'differs': kind <> 'changed' OR {column.differs(f'b{n}', f'c{n}', tolerance)}}}"
        for n, column in enumerate(columns)
    )
    if not columns:
        cells = "{'position': 0, 'column': '', 'base': NULL::VARCHAR, 'candidate': NULL::VARCHAR, 'differs': true}"
    return (
        f'SELECT "row", cell.position AS place, key, cell."column" AS "column", cell.base AS base, '
        f"cell.candidate AS candidate, kind FROM ("
        f'SELECT "row", {shown} AS key, kind, unnest([{cells}]) AS cell FROM {rows}) WHERE cell.differs'
    )
