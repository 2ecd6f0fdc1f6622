"""Runs a table diff on a DuckDB connection: two relations in, a report and the differing rows out.

Memory is bounded: what does not fit is spilled to the folder given to `bound`. Where the files are laid out by the key
they are compared stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from dartifact.compare.diff import figures as diff_figures
from dartifact.compare.diff import sql as diff_sql
from dartifact.compare.diff.columns import Column, Tolerance
from dartifact.compare.diff.plan import DiffPlan, Options, Side, fetch_one, plan_diff
from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example, Renamed, RowCounts, SchemaDiff, Shift
from dartifact.compare.diff.stretches import find_stretches
from dartifact.domain.sql_text import literal

MEMORY = "700MB"
_RENAME_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What has to be known to read the stored rows of a diff: the columns by position, and how cells were compared."""

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    tolerance: Tolerance | None


@dataclass(frozen=True, slots=True)
class Diff:
    """A report, and how to read the rows that were stored beside it."""

    report: DiffReport
    stored: StoredRows


def bound(connection: duckdb.DuckDBPyConnection, folder: Path, memory: str = MEMORY) -> None:
    """Let a connection use so much memory at most, and spill to a folder."""
    connection.execute(f"SET memory_limit = {literal(memory)}")
    connection.execute(f"SET temp_directory = {literal(str(folder))}")
    connection.execute("SET preserve_insertion_order = false")


def compare(
    connection: duckdb.DuckDBPyConnection,
    base: Side,
    candidate: Side,
    options: Options,
    rows_file: Path,
    *,
    table: str = "",
    scope: str = "all",
) -> Diff:
    """Compare two relations and write the rows that differ to a Parquet file.

    UsageError: a key or ignored column does not exist. duckdb.Error: a side cannot be read.
    """
    plan = plan_diff(connection, base, candidate, options)
    work = _Comparison(connection, plan)
    work.find_differences()
    work.write_rows(rows_file)
    rows = f"read_parquet({literal(str(rows_file))})"
    added, removed, changed, *cells = work.read_counts(rows)
    counts = work.count_rows(added, removed, changed)
    schema = work.find_renames()
    report = DiffReport(
        table=table,
        base=base.label,
        candidate=candidate.label,
        key=plan.key,
        key_origin="given" if options.key else "suggested" if plan.key else "none",
        scope=scope,
        rows=counts,
        columns=work.describe_columns(rows, cells, counts.changed + counts.unchanged),
        schema=schema,
        options={"ignore": list(options.ignore), "tolerance": _spell(options.tolerance)},
    )
    return Diff(report, StoredRows(plan.key, plan.shape.values, options.tolerance))


class _Comparison:
    """A plan under execution: the tables it has made on the connection, and what it found out about the keys."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: DiffPlan) -> None:
        self.connection = connection
        self.plan = plan
        self.shape = plan.shape
        self.repeated: dict[str, int] = {}

    def find_differences(self) -> None:
        """Fill the table `differing`."""
        shape, run = self.shape, self.connection.execute
        run(diff_sql.create_differing(shape))
        if not shape.key:
            run(diff_sql.create_unbalanced(shape))
            run(diff_sql.insert_unpaired(shape))
            return
        self._find_repeated()
        has_null_keys = any(self._one(diff_sql.find_null_key(shape, side.relation))[0] for side in self.plan.sides)
        shape = self.shape = replace(shape, has_null_keys=has_null_keys)
        has_repeated = any(self.repeated.values())
        files = (self.plan.base.files, self.plan.candidate.files)
        for within in find_stretches(self.connection, shape.key[0], *files):
            run(diff_sql.find_suspects(shape, within, repeated=has_repeated))
            run(diff_sql.find_originals(shape, within))
            run(diff_sql.insert_pairs(shape))
        if has_repeated:
            run(diff_sql.insert_unpaired(shape))

    def write_rows(self, rows_file: Path) -> None:
        """Write the differing rows in the order of the report."""
        ties = not self.plan.key or any(self.repeated.values())
        query = diff_sql.select_report_order(self.shape, ties=ties)
        self.connection.execute(f"COPY ({query}) TO {literal(str(rows_file))} (FORMAT parquet, COMPRESSION zstd)")
        for name in ("differing", "suspects", "originals", "unbalanced"):
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")

    def read_counts(self, rows: str) -> tuple[int, ...]:
        """Return added, removed and changed rows, then the changed cells of each column."""
        return self._one(diff_figures.select_counts(rows, self.shape.values, self.shape.tolerance))

    def count_rows(self, added: int, removed: int, changed: int) -> RowCounts:
        """Count the rows of both sides; RuntimeError if the counts contradict each other, which is a bug."""
        base, candidate = (int(self._one(f"SELECT count(*) FROM {side.relation}")[0]) for side in self.plan.sides)
        unchanged = candidate - added - changed
        if unchanged != base - removed - changed or unchanged < 0:
            raise RuntimeError(f"{base} rows and {candidate} do not add up: +{added} -{removed} ~{changed}")
        repeated = (self.repeated.get(side.relation, 0) for side in self.plan.sides)
        return RowCounts(base, candidate, added, removed, changed, unchanged, *repeated)

    def describe_columns(self, rows: str, cells: Sequence[int], matched: int) -> tuple[ColumnDiff, ...]:
        """Return what changed in each compared column."""
        columns = []
        for n, (column, changed) in enumerate(zip(self.shape.values, cells, strict=True)):
            if not changed:
                columns.append(ColumnDiff(column.name, 0, 0.0, 0, 0, None, ()))
                continue
            query = diff_figures.select_figures(rows, len(self.plan.key), n, column, self.shape.tolerance)
            from_null, to_null, examples, *shift = self._one(query)
            moved = Shift(*shift) if shift and shift[0] is not None else None
            shown = tuple(Example(*example) for example in examples)
            columns.append(ColumnDiff(column.name, changed, changed / matched, from_null, to_null, moved, shown))
        return tuple(columns)

    def find_renames(self) -> SchemaDiff:
        """Return the schema's differences, with columns that only changed their name taken out of added and removed."""
        schema, (mine, theirs) = self.plan.schema, self.plan.types
        pairs = [(old, new) for old in schema.removed for new in schema.added if mine[old] == theirs[new]]
        for most in (_RENAME_SAMPLE, None):
            if not pairs or not self.plan.key:
                return schema
            answers = self._one(diff_sql.select_renames(self.shape, pairs, most=most))
            pairs = [pair for pair, same in zip(pairs, answers, strict=True) if same]
        places = [{name: place for place, name in enumerate(side)} for side in self.plan.types]
        renamed: dict[str, str] = {}
        for old, new in sorted(pairs, key=lambda pair: abs(places[0][pair[0]] - places[1][pair[1]])):
            if old not in renamed and new not in renamed.values():
                renamed[old] = new
        return replace(
            schema,
            added=tuple(name for name in schema.added if name not in renamed.values()),
            removed=tuple(name for name in schema.removed if name not in renamed),
            renamed=tuple(Renamed(old, renamed[old]) for old in schema.removed if old in renamed),
        )

    def _find_repeated(self) -> None:
        self.connection.execute(diff_sql.create_repeated(self.shape))
        for side in self.plan.sides:
            name = side.relation
            if side.files and self._one(diff_sql.prove_unique(self.shape, name))[0] <= 1:
                continue
            self.connection.execute(diff_sql.insert_repeated(self.shape, name))
            count = f"SELECT count(*) FROM repeated WHERE side = {literal(name)}"
            self.repeated[name] = int(self._one(count)[0])

    def _one(self, query: str) -> tuple[Any, ...]:
        return fetch_one(self.connection, query)


def _spell(tolerance: Tolerance | None) -> str | None:
    if tolerance is None:
        return None
    return f"{tolerance.amount * 100:f}%" if tolerance.relative else f"{tolerance.amount:f}"
