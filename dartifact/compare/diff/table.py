"""Runs a table diff on a DuckDB connection: two relations in, a report and the differing rows out.

Memory is bounded: what does not fit is spilled to the folder given to `bound`. Where the files are laid out by the key
they are compared stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dartifact.compare.diff import figures as diff_figures
from dartifact.compare.diff import sql as diff_sql
from dartifact.compare.diff.columns import Tolerance
from dartifact.compare.diff.plan import DiffPlan, Options, Side, fetch_one, plan_diff
from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example, RowCounts, SchemaDiff, Shift
from dartifact.compare.diff.sieve import sift
from dartifact.compare.diff.sorted_files import SortedFiles, Unfit
from dartifact.compare.diff.stretches import find_stretches
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.sql_text import literal

MEMORY = "700MB"
_AT_ONCE = 200
"""Columns whose examples are asked for in one query."""
_SIFTED_AT_ONCE = 50_000
"""Rows of one side that are joined when so many are left of it."""
_TOLD_AFTER = 10_000_000
"""Rows after which whoever waits is told how far it is."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What has to be known to read the stored rows of a diff: the names of the columns by position."""

    key: tuple[str, ...]
    columns: tuple[str, ...]


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
    progress: Progress = keep_quiet,
) -> Diff:
    """Compare two relations and write the rows that differ to a Parquet file.

    `progress` is told how far it is after each stretch. UsageError: a key or ignored column does not exist.
    duckdb.Error: a side cannot be read.
    """
    plan = plan_diff(connection, base, candidate, options)
    work = _Comparison(connection, plan, progress)
    work.find_differences()
    work.write_rows(rows_file)
    rows = f"read_parquet({literal(str(rows_file))})"
    counts = work.count_rows(rows)
    columns = work.describe_columns(rows, counts.changed + counts.unchanged)
    report = DiffReport(
        table=table,
        base=base.label,
        candidate=candidate.label,
        key=plan.key,
        key_origin="given" if options.key else "suggested" if plan.key else "none",
        scope=scope,
        rows=counts,
        columns=columns,
        schema=_share_renames(plan.schema, columns),
        options=_spell(options),
        rounded=plan.rounded,
    )
    return Diff(report, StoredRows(plan.key, tuple(column.name for column in plan.shape.values)))


class _Comparison:
    """A plan under execution: the tables it has made on the connection, and what it found out about the keys."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: DiffPlan, progress: Progress) -> None:
        self.connection = connection
        self.plan = plan
        self.shape = plan.shape
        self.progress = progress
        self.rows: dict[diff_sql.End, int] = {"base": 0, "candidate": 0}
        self.repeated: dict[diff_sql.End, int] = {"base": 0, "candidate": 0}
        self.null_keys: dict[diff_sql.End, int] = {"base": 0, "candidate": 0}

    def find_differences(self) -> None:
        """Fill the table `differing`."""
        run = self.connection.execute
        run(diff_sql.create_differing(self.shape))
        if self.plan.is_one_table:
            self._look_at_keys()
            return
        if not self.shape.key:
            for end in self.rows:
                self.rows[end] = int(self._one(f"SELECT count(*) FROM {self.shape.relation(end)}")[0])
            run(diff_sql.insert_unpaired(self.shape))
            return
        try:
            self._sift()
        except Unfit:
            run(diff_sql.create_differing(self.shape))
            self._join()

    def _sift(self) -> None:
        """Join what the sieve leaves of both sides; Unfit: they have to be joined whole."""
        columns = (*self.shape.key, *self.shape.values)
        if len(self.shape.key) > 1 or not self.plan.are_whole_files or any(column.common for column in columns):
            raise Unfit("not two tables of files with one key and the same types")
        base = SortedFiles(self.plan.base.files, [column.base for column in columns])
        candidate = SortedFiles(self.plan.candidate.files, [column.name for column in columns])
        for schema, types in ((base.schema, "base_type"), (candidate.schema, "candidate_type")):
            if self._describe(schema) != [getattr(column, types) for column in columns]:
                raise Unfit("the engines read different types")
        self.rows = {"base": 0, "candidate": 0}
        left: tuple[list[Any], list[Any]] = ([], [])
        told = 0
        for stretch in sift(base, candidate):
            left[0].append(stretch.base)
            left[1].append(stretch.candidate)
            self.rows["base"] += stretch.base_rows
            self.rows["candidate"] += stretch.candidate_rows
            is_due = sum(self.rows.values()) >= told + _TOLD_AFTER
            if is_due or max(map(_count, left)) > _SIFTED_AT_ONCE:
                self._join_sifted(*left)
                left = ([], [])
            if is_due:
                told = sum(self.rows.values())
                found = int(self._one("SELECT count(*) FROM differing")[0])
                self.progress(f"{told:,} of {base.rows + candidate.rows:,} rows compared, {found:,} differ so far")
        self._join_sifted(*left)
        self.rows["base"] += base.passed
        self.rows["candidate"] += candidate.passed

    def _describe(self, schema: Any) -> list[str]:
        return [str(each) for each in self._read(pa.Table.from_batches([], schema)).types]

    def _read(self, rows: pa.Table) -> duckdb.DuckDBPyRelation:
        """Make a relation of a table, to be read once; given the table itself, DuckDB would load pandas."""
        return self.connection.from_arrow(rows.__arrow_c_stream__())

    def _join_sifted(self, base: list[Any], candidate: list[Any]) -> None:
        if not base:
            return
        names = ("sifted_base", "sifted_candidate")
        for name, batches in zip(names, (base, candidate), strict=True):
            self._read(pa.Table.from_batches(batches)).create_view(name)
        shape = replace(self.shape, base=names[0], candidate=names[1], has_null_keys=False)
        self.connection.execute(diff_sql.insert_joined(shape, "true", repeated=False))
        for name in names:
            self.connection.execute(f"DROP VIEW {name}")

    def _join(self) -> None:
        """Join both sides whole, where their files are laid out by the key stretch by stretch."""
        run = self.connection.execute
        self._look_at_keys()
        self.shape = replace(self.shape, has_null_keys=any(self.null_keys.values()))
        has_repeated = any(self.repeated.values())
        files = (self.plan.base.files, self.plan.candidate.files)
        stretches = find_stretches(self.connection, self.shape.key[0], *files)
        for number, within in enumerate(stretches, start=1):
            run(diff_sql.insert_joined(self.shape, within, repeated=has_repeated))
            if len(stretches) > 1:
                found = int(self._one("SELECT count(*) FROM differing")[0])
                self.progress(f"{number} of {len(stretches)} stretches compared, {found:,} rows differ so far")
        if has_repeated:
            run(diff_sql.insert_unpaired(self.shape))

    def write_rows(self, rows_file: Path) -> None:
        """Write the differing rows in the order of the report."""
        ties = not self.plan.key or any(self.repeated.values())
        query = diff_sql.select_report_order(self.shape, ties=ties)
        self.connection.execute(f"COPY ({query}) TO {literal(str(rows_file))} (FORMAT parquet, COMPRESSION lz4)")
        self.connection.execute("DROP TABLE IF EXISTS differing")

    def count_rows(self, rows: str) -> RowCounts:
        """Count the rows of both sides; RuntimeError if the counts contradict each other, which is a bug."""
        added, removed, changed = map(int, self._one(diff_figures.select_kinds(rows)))
        base, candidate = self.rows["base"], self.rows["candidate"]
        unchanged = candidate - added - changed
        if unchanged != base - removed - changed or unchanged < 0:
            raise RuntimeError(f"{base} rows and {candidate} do not add up: +{added} -{removed} ~{changed}")
        keys = (*self.repeated.values(), *self.null_keys.values())
        return RowCounts(base, candidate, added, removed, changed, unchanged, *keys)

    def describe_columns(self, rows: str, matched: int) -> tuple[ColumnDiff, ...]:
        """Return what changed in each compared column."""
        values = self.shape.values
        columns = [ColumnDiff(column.name, 0, 0.0, 0, 0, None, ()) for column in values]
        if not values:
            return ()
        figures = self.connection.execute(diff_figures.select_figures(rows, values)).fetchall()
        for part in _in_parts(figures):
            examples = self._read_examples(rows, [(n, first) for n, _, _, _, first, *_ in part])
            for n, changed, from_null, to_null, _, *shift in part:
                moved = Shift(*shift) if shift[0] is not None else None
                share = changed / matched
                columns[n] = ColumnDiff(values[n].name, changed, share, from_null, to_null, moved, examples[n])
        return tuple(columns)

    def _read_examples(self, rows: str, wanted: Sequence[tuple[int, list[int]]]) -> dict[int, tuple[Example, ...]]:
        """Return the cells of columns in the rows that are wanted of each, as texts."""
        chosen = sorted({row for _, rows_of_one in wanted for row in rows_of_one})
        query = diff_figures.select_examples(rows, len(self.plan.key), [n for n, _ in wanted], chosen)
        texts = {row: (key, cells) for row, key, *cells in self.connection.execute(query).fetchall()}
        return {
            n: tuple(Example(texts[row][0], *texts[row][1][2 * at : 2 * at + 2]) for row in of_one)
            for at, (n, of_one) in enumerate(wanted)
        }

    def _look_at_keys(self) -> None:
        self.connection.execute(diff_sql.create_repeated(self.shape))
        for end in self.rows:
            rows, unproven, nulls = map(int, self._one(diff_sql.measure_keys(self.shape, end)))
            self.rows[end], self.null_keys[end] = rows, nulls
            if unproven > 1:
                self.connection.execute(diff_sql.insert_repeated(self.shape, end))
                count = f"SELECT count(*) FROM repeated WHERE side = '{end}'"
                self.repeated[end] = int(self._one(count)[0])

    def _one(self, query: str) -> tuple[Any, ...]:
        return fetch_one(self.connection, query)


def _count(batches: Sequence[Any]) -> int:
    return sum(batch.num_rows for batch in batches)


def _in_parts(figures: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(figures), _AT_ONCE):
        yield figures[start : start + _AT_ONCE]


def _share_renames(schema: SchemaDiff, columns: Sequence[ColumnDiff]) -> SchemaDiff:
    """Say of each renamed column how many of its values stayed."""
    changed = {column.name: column.share for column in columns}
    renamed = (replace(each, share=1 - changed.get(each.candidate, 0.0)) for each in schema.renamed)
    return replace(schema, renamed=tuple(renamed))


def _spell(options: Options) -> dict[str, Any]:
    """Return what was asked for, as JSON values."""
    spelled: dict[str, Any] = {"ignore": list(options.ignore), "tolerance": _spell_tolerance(options.tolerance)}
    if options.rename:
        spelled["rename"] = dict(options.rename)
    if options.where:
        spelled["where"] = options.where
    if options.sample is not None:
        spelled["sample"] = options.sample
    return spelled


def _spell_tolerance(tolerance: Tolerance | None) -> str | None:
    if tolerance is None:
        return None
    return f"{tolerance.amount * 100:f}%" if tolerance.relative else f"{tolerance.amount:f}"
