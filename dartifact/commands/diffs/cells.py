"""The differing cells of a stored diff, by page."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from dartifact.commands.diffs.store import StoredDiff
from dartifact.compare.diff.figures import select_cells
from dartifact.domain.errors import UsageError
from dartifact.domain.marks import mark
from dartifact.domain.sql_text import literal, quote

KINDS = ("added", "removed", "changed")


@dataclass(frozen=True, slots=True)
class CellFilter:
    """Which cells: of one kind, of one column, or of rows whose candidate meets a failing check's condition."""

    kind: str = ""
    column: str = ""
    condition: str = ""


EVERY_CELL = CellFilter()


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that differs; `key` is the key's value, a dictionary of several, None without a key."""

    row: int
    key: Any
    column: str
    base: str | None
    candidate: str | None
    kind: str


def read_page(
    stored: StoredDiff,
    *,
    page: int = 0,
    size: int = 200,
    sort: Literal["key", "column"] = "key",
    only: CellFilter = EVERY_CELL,
) -> tuple[Cell, ...]:
    """Return one page of the differing cells; pages never overlap, and are the same whenever they are read.

    UsageError: an unknown kind or column, or a condition on a column that was not compared.
    """
    query = select_cells_of(stored, only)
    order = '"row", place' if sort == "key" else 'place, "row"'
    query = f'SELECT "row", key, "column", base, candidate, kind FROM ({query}) ORDER BY {order}'
    with connect(stored) as connection:
        try:
            found = connection.execute(f"{query} LIMIT {size} OFFSET {page * size}").fetchall()
        except duckdb.BinderException as error:
            raise UsageError(f"the condition {mark(only.condition)} does not fit the compared columns") from error
    return tuple(Cell(*row) for row in found)


@dataclass(frozen=True, slots=True)
class RowDiff:
    """One row that differs: column → (base, candidate) of its differing cells, and which conditions it meets."""

    row: int
    key: Any
    kind: str
    cells: dict[str, tuple[str | None, str | None]]
    fails: tuple[str, ...]


def read_row_page(
    stored: StoredDiff,
    *,
    page: int = 0,
    size: int = 50,
    only: CellFilter = EVERY_CELL,
    conditions: Mapping[str, str] | None = None,
) -> tuple[RowDiff, ...]:
    """Return one page of the rows with differing cells: those that meet one of `conditions`, name → SQL, come first.

    Within both the order is that of the key. A condition that does not fit the compared columns marks nothing.
    UsageError as in `read_page`.
    """
    # every stored row differs: only a filter by column has to look at the cells of all of them
    choice = select_cells_of(stored, only) if only.column else _select_rows(stored, only)
    with connect(stored) as connection:
        connection.execute('CREATE TEMP TABLE failing (name VARCHAR, "row" BIGINT)')
        for name, condition in (conditions or {}).items():
            met = f"SELECT {literal(name)}, diff_row FROM ({_select_failing(stored, condition, _rows(stored))})"
            with contextlib.suppress(duckdb.Error):
                connection.execute(f"INSERT INTO failing {met}")
        try:
            connection.execute(
                f'CREATE TEMP TABLE chosen AS SELECT "row", "row" IN (SELECT "row" FROM failing) AS fails '
                f'FROM (SELECT DISTINCT "row" FROM ({choice})) ORDER BY fails DESC, "row" '
                f"LIMIT {size} OFFSET {page * size}"
            )
        except duckdb.BinderException as error:
            raise UsageError(f"the condition {mark(only.condition)} does not fit the compared columns") from error
        chosen = f'(SELECT * FROM {_rows(stored)} SEMI JOIN chosen USING ("row"))'
        cells = _select_cells(stored, CellFilter(column=only.column), chosen)
        query = f'SELECT "row", key, kind, "column", base, candidate FROM ({cells}) JOIN chosen USING ("row")'
        found = connection.execute(f'{query} ORDER BY fails DESC, "row", place').fetchall()
        fails: dict[int, list[str]] = {}
        for number, name in connection.execute(
            'SELECT "row", name FROM failing SEMI JOIN chosen USING ("row") ORDER BY failing.rowid'
        ).fetchall():
            fails.setdefault(number, []).append(name)
    made: dict[int, RowDiff] = {}
    for number, key, kind, column, base, candidate in found:
        row = made.setdefault(number, RowDiff(number, key, kind, {}, tuple(fails.get(number, ()))))
        row.cells[column] = (base, candidate)
    return tuple(made.values())


def _rows(stored: StoredDiff) -> str:
    return f"read_parquet({literal(str(stored.rows_file))})"


def _select_failing(stored: StoredDiff, condition: str, rows: str) -> str:
    """Select the numbers, as `diff_row`, of the rows whose candidate meets a check's condition."""
    known = stored.diff.stored
    names = list(known.columns)
    sides = [f"c{n} AS {quote(name)}" for n, name in enumerate(names)]
    keys = [f"k{n} AS {quote(name)}" for n, name in enumerate(known.key)]
    # a check's condition is about live rows, and what a diff shows is alive
    live = [] if "_deleted" in (*names, *known.key) else ["false AS _deleted"]
    candidate = f"SELECT \"row\" AS diff_row, {', '.join([*keys, *sides, *live])} FROM {rows} WHERE kind <> 'removed'"
    return f"SELECT diff_row FROM ({candidate}) WHERE {condition}"


def select_cells_of(stored: StoredDiff, only: CellFilter) -> str:
    """Select the differing cells that a filter lets through: row, place, key, column, base, candidate, kind."""
    return _select_cells(stored, only, f"({_select_rows(stored, only)})")


def _select_rows(stored: StoredDiff, only: CellFilter) -> str:
    """Select the stored rows of one kind, or whose candidate meets a condition, or all."""
    names = stored.diff.stored.columns
    if only.kind and only.kind not in KINDS:
        raise UsageError(f"there is no kind {only.kind}; there are {', '.join(KINDS)}")
    if only.column and only.column not in names:
        raise UsageError(f"{only.column} was not compared; there are {', '.join(names)}")
    rows = f"SELECT * FROM {_rows(stored)}"
    if only.condition:
        rows += f' SEMI JOIN ({_select_failing(stored, only.condition, _rows(stored))}) ON "row" = diff_row'
    return rows + (f" WHERE kind = {literal(only.kind)}" if only.kind else "")


def _select_cells(stored: StoredDiff, only: CellFilter, rows: str) -> str:
    known = stored.diff.stored
    cells = select_cells(rows, known.key, known.columns)
    return f'SELECT * FROM ({cells}) WHERE "column" = {literal(only.column)}' if only.column else cells


def connect(stored: StoredDiff) -> Any:
    """Open a connection that spills beside the stored rows, at most 700 MB of memory."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET memory_limit = '700MB'")
    connection.execute(f"SET temp_directory = {literal(str(stored.rows_file.parent))}")
    return connection
