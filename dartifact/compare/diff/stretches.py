"""Stretches of a key: where Parquet files are laid out by it, each stretch is read from a few row groups only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import duckdb

from dartifact.compare.diff.columns import Column, can_be_key
from dartifact.domain.sql_text import literal, quote

ROWS = 4_000_000  # of one side
_MOST_STRADDLING = 0.2


def find_stretches(
    connection: duckdb.DuckDBPyConnection, column: Column, base: Sequence[str], candidate: Sequence[str]
) -> tuple[str, ...]:
    """Return conditions on a key column that split all rows, in the key's order; `true` where it does not pay.

    The bounds come from the files' statistics. They only decide what is read together: whatever they are, each row
    meets exactly one condition.
    """
    if not base or not candidate or not column.is_same or not can_be_key(column.compared_type):
        return ("true",)
    groups = _read_groups(connection, column, (*base, *candidate))
    bounds = _cut(groups)
    name, kind = quote(column.name), column.compared_type
    spelled = [f"CAST({literal(bound)} AS {kind})" for bound in bounds]
    if not spelled:
        return ("true",)
    inner = [f"{name} >= {low} AND {name} < {high}" for low, high in pairwise(spelled)]
    return (f"({name} < {spelled[0]} OR {name} IS NULL)", *inner, f"{name} >= {spelled[-1]}")


_Group = tuple[int, str, int, int]  # rows, least value as text, ranks of the least and the greatest value


def _read_groups(connection: duckdb.DuckDBPyConnection, column: Column, files: Sequence[str]) -> list[_Group]:
    """Read rows and range of every row group, by least value; nothing when one tells no range."""
    listed = ", ".join(literal(file) for file in files)
    kind = column.compared_type
    query = (
        f"SELECT row_group_num_rows AS n, TRY_CAST(stats_min_value AS {kind}) AS lo, "
        f"TRY_CAST(stats_max_value AS {kind}) AS hi FROM parquet_metadata([{listed}]) "
        f"WHERE path_in_schema = {literal(column.name)}"
    )
    ranked = (
        "SELECT n, CAST(lo AS VARCHAR), dense_rank() OVER (ORDER BY lo), "
        "(SELECT count(DISTINCT o.lo) FROM groups o WHERE o.lo <= g.hi), lo IS NULL OR hi IS NULL "
        "FROM groups g ORDER BY lo"
    )
    found = connection.execute(f"WITH groups AS ({query}) {ranked}").fetchall()
    return [] if any(row[4] for row in found) else [(int(row[0]), row[1], int(row[2]), int(row[3])) for row in found]


def _cut(groups: Sequence[_Group]) -> list[str]:
    """Choose bounds so that a stretch has about `ROWS` rows of a side; none when many groups lie across them."""
    bounds: list[str] = []
    ranks: list[int] = []
    rows = 0
    for n, low, rank, _ in groups:
        if rows >= 2 * ROWS and (not ranks or rank > ranks[-1]):
            bounds.append(low)
            ranks.append(rank)
            rows = 0
        rows += n
    straddling = sum(first < rank <= last for rank in ranks for _, _, first, last in groups)
    return [] if not ranks or straddling > _MOST_STRADDLING * len(ranks) * len(groups) else bounds
