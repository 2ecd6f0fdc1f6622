"""The SQL over the stored rows of a diff (`row`, kind, `k…`, `b…`, `c…`, `d…`): figures per column, single cells."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.compare.diff.columns import Column
from dartifact.domain.sql_text import literal

EXAMPLES = 3


def select_kinds(rows: str) -> str:
    """Select added, removed and changed rows, in one row."""
    kinds = ", ".join(f"count(*) FILTER (kind = '{kind}')" for kind in ("added", "removed", "changed"))
    return f"SELECT {kinds} FROM {rows}"


def select_figures(rows: str, columns: Sequence[Column]) -> str:
    """Select the figures of the columns that have changed cells: one row each, by the column's position.

    They are: the position, changed cells, from null, to null, the first rows; then, of numbers, the means of base,
    candidate and change, the least and the greatest change (null where no cell has a finite number on both sides, and
    of everything else). One row for each cell, so that it takes as long as there are columns, not as their square.
    """
    numbers = range(len(columns))
    lists = {
        "n": list(map(str, numbers)),
        "differs": [f"d{n}" for n in numbers],
        "no_base": [f"b{n} IS NULL" for n in numbers],
        "no_candidate": [f"c{n} IS NULL" for n in numbers],
        "old": [f"CAST(b{n} AS DOUBLE)" if column.numeric else "NULL::DOUBLE" for n, column in enumerate(columns)],
        "new": [f"CAST(c{n} AS DOUBLE)" if column.numeric else "NULL::DOUBLE" for n, column in enumerate(columns)],
    }
    cells = ", ".join(f"unnest([{', '.join(values)}]) AS {name}" for name, values in lists.items())
    moved = ("avg(old)", "avg(new)", "avg(new - old)", "min(new - old)", "max(new - old)")
    shift = ", ".join(f"{figure} FILTER (isfinite(old) AND isfinite(new))" for figure in moved)
    return (
        f"SELECT n, count(*), count(*) FILTER (no_base), count(*) FILTER (no_candidate), "
        f'min("row", {EXAMPLES}), {shift} '
        f"FROM (SELECT \"row\", {cells} FROM {rows} WHERE kind = 'changed') WHERE differs GROUP BY n ORDER BY n"
    )


def select_examples(rows: str, keys: int, numbers: Sequence[int], chosen: Sequence[int]) -> str:
    """Select row, key, then base and candidate of each column, as texts, of the chosen rows."""
    values = [f"CAST({side}{n} AS VARCHAR)" for n in numbers for side in "bc"]
    columns = ", ".join(['"row"', key_text(keys), *values])
    return f'SELECT {columns} FROM {rows} WHERE "row" IN ({", ".join(map(str, chosen))})'


def key_text(keys: int) -> str:
    """Return the expression of a row's key as text: the value itself, or all of them in brackets."""
    names = [f"k{n}" for n in range(keys)]
    if not names:
        return "NULL"
    key = names[0] if keys == 1 else f"row({', '.join(names)})"
    return f"coalesce(CAST({key} AS VARCHAR), 'null')"


def select_cells(rows: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """Select every differing cell of stored rows: row, place, key, column, base, candidate, kind.

    `key` is the value of the one key column, a struct of several, null without a key. A row that stands on one side
    only gives a cell for each column. Values are texts, null is null.
    """
    fields = ", ".join(f"{literal(name)}: k{n}" for n, name in enumerate(key))
    shown = "NULL" if not key else "k0" if len(key) == 1 else f"{{{fields}}}"
    cells = ", ".join(
        f"{{'position': {n}, 'column': {literal(name)}, 'base': CAST(b{n} AS VARCHAR), "
        f"'candidate': CAST(c{n} AS VARCHAR), 'differs': d{n}}}"
        for n, name in enumerate(columns)
    )
    if not columns:
        cells = "{'position': 0, 'column': '', 'base': NULL::VARCHAR, 'candidate': NULL::VARCHAR, 'differs': true}"
    return (
        f'SELECT "row", cell.position AS place, key, cell."column" AS "column", cell.base AS base, '
        f"cell.candidate AS candidate, kind FROM ("
        f'SELECT "row", {shown} AS key, kind, unnest([{cells}]) AS cell FROM {rows}) WHERE cell.differs'
    )
