"""The SQL over the stored rows of a diff (`row`, kind, `k…`, `b…`, `c…`): figures per column, and single cells."""

from __future__ import annotations

from collections.abc import Sequence

from flows.compare.columns import Column, Tolerance
from flows.compare.sql_text import literal

FIGURES = 9  # values per column in the answer of `select_figures`
_EXAMPLES = 3


def select_figures(rows: str, keys: int, columns: Sequence[Column], tolerance: Tolerance | None) -> str:
    """Select added, removed, changed, and nine figures for each column, in one row.

    They are: changed cells, from null, to null; means of base, candidate and change, least and greatest change (null
    where the column is no number); examples as lists of key, base and candidate.
    """
    counts = [f"count(*) FILTER (kind = '{kind}')" for kind in ("added", "removed", "changed")]
    figures = [each for n, column in enumerate(columns) for each in _figures(keys, n, column, tolerance)]
    return f"SELECT {', '.join([*counts, *figures])} FROM {rows}"


def _figures(keys: int, n: int, column: Column, tolerance: Tolerance | None) -> list[str]:
    cell = f"(kind = 'changed' AND {column.differs(f'b{n}', f'c{n}', tolerance)})"
    old, new = f"CAST({column.value(f'b{n}')} AS DOUBLE)", f"CAST({column.value(f'c{n}')} AS DOUBLE)"
    finite = f"{cell} AND isfinite({old}) AND isfinite({new})"
    shift = [
        f"{function} FILTER ({finite})"
        for function in (
            f"avg({old})",
            f"avg({new})",
            f"avg({new} - {old})",
            f"min({new} - {old})",
            f"max({new} - {old})",
        )
    ]
    example = f"[{key_text(keys)}, CAST(b{n} AS VARCHAR), CAST(c{n} AS VARCHAR)]"
    return [
        f"count(*) FILTER {cell}",
        f"count(*) FILTER ({cell} AND b{n} IS NULL)",
        f"count(*) FILTER ({cell} AND c{n} IS NULL)",
        *(shift if column.numeric else ["NULL"] * 5),
        f'min_by({example}, "row", {_EXAMPLES}) FILTER {cell}',
    ]


def key_text(keys: int) -> str:
    """Return the expression of a row's key as text: the value itself, or all of them in brackets."""
    names = [f"k{n}" for n in range(keys)]
    if not names:
        return "NULL"
    key = names[0] if keys == 1 else f"row({', '.join(names)})"
    return f"coalesce(CAST({key} AS VARCHAR), 'null')"


def select_cells(
    rows: str, key: Sequence[str], columns: Sequence[Column], tolerance: Tolerance | None, *, where: str = "true"
) -> str:
    """Select every differing cell of the stored rows that meet a condition: row, place, key, column, base,
    candidate, kind.

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
        f'SELECT "row", {shown} AS key, kind, unnest([{cells}]) AS cell FROM {rows} WHERE {where}) WHERE cell.differs'
    )
