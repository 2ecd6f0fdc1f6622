"""Runs a table diff on a DuckDB connection: two relations in, a report and the differing rows out.

Memory is bounded: what does not fit is spilled to the folder given to `bound`. Where the files are laid out by the key
they are compared stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from dartifact.compare.diff import figures as diff_figures
from dartifact.compare.diff import sql as diff_sql
from dartifact.compare.diff.columns import Column, Tolerance, can_be_key, compare_schema, is_time, match_columns
from dartifact.compare.diff.report import ColumnDiff, DiffReport, Example, Renamed, RowCounts, SchemaDiff, Shift
from dartifact.compare.diff.stretches import find_stretches
from dartifact.compare.sql_text import literal, quote
from dartifact.domain.errors import UsageError

MEMORY = "700MB"
_RENAME_SAMPLE = 2_000
_KEY_SAMPLE = 10_000
_MOST_KEY_TRIES = 8
_MOST_PARTS = 6


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a diff: a relation of the connection and the name people know it by.

    `files` are the Parquet files behind it where it is nothing but them; `untyped`: its values are texts as written.
    """

    relation: str
    label: str
    files: tuple[str, ...] = ()
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to compare. No key: one is suggested, and where there is none rows are compared as multisets."""

    key: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    tolerance: Tolerance | None = None


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
    work = _Comparison(connection, base, candidate, options)
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
        key=work.key,
        key_origin="given" if options.key else "suggested" if work.key else "none",
        scope=scope,
        rows=counts,
        columns=work.describe_columns(rows, cells, counts.changed + counts.unchanged),
        schema=schema,
        options={
            "ignore": list(options.ignore),
            "tolerance": _spell(options.tolerance),
        },
    )
    return Diff(report, StoredRows(work.key, work.shape.values, options.tolerance))


@dataclass
class _Comparison:
    connection: duckdb.DuckDBPyConnection
    base: Side
    candidate: Side
    options: Options
    key: tuple[str, ...] = ()
    shape: diff_sql.Shape = field(init=False)
    schema: SchemaDiff = field(init=False)
    types: tuple[dict[str, str], dict[str, str]] = field(init=False)
    repeated: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = [self._describe(side) for side in (self.base, self.candidate)]
        known = {name for side in columns for name, _ in side}
        if unknown := [name for name in self.options.ignore if name not in known]:
            raise UsageError(f"neither side has a column {', '.join(unknown)}", hint=_list(sorted(known)))
        mine, theirs = ([each for each in side if each[0] not in self.options.ignore] for side in columns)
        untyped = self.base.untyped or self.candidate.untyped
        matched = match_columns(mine, theirs, untyped=untyped)
        names = [each.name for each in matched]
        if missing := [name for name in self.options.key if name not in names]:
            raise UsageError(f"the key {', '.join(missing)} is no column of both sides", hint=_list(names))
        self.key = tuple(dict.fromkeys(self.options.key)) or self._suggest_key(matched)
        self.schema = compare_schema(mine, theirs, untyped=untyped)
        self.types = (dict(mine), dict(theirs))
        self.shape = diff_sql.Shape(
            self.base.relation,
            self.candidate.relation,
            tuple(each for name in self.key for each in matched if each.name == name),
            tuple(each for each in matched if each.name not in self.key),
            self.options.tolerance,
        )

    def find_differences(self) -> None:
        """Fill the table `differing`."""
        shape, run = self.shape, self.connection.execute
        run(diff_sql.create_differing(shape))
        if not shape.key:
            run(diff_sql.create_unbalanced(shape))
            run(diff_sql.insert_unpaired(shape))
            return
        self._find_repeated()
        has_null_keys = any(self._one(diff_sql.find_null_key(shape, side.relation))[0] for side in self.sides)
        shape = self.shape = replace(shape, has_null_keys=has_null_keys)
        has_repeated = any(self.repeated.values())
        files = (self.base.files, self.candidate.files)
        for within in find_stretches(self.connection, shape.key[0], *files):
            run(diff_sql.find_suspects(shape, within, repeated=has_repeated))
            run(diff_sql.find_originals(shape, within))
            run(diff_sql.insert_pairs(shape))
        if has_repeated:
            run(diff_sql.insert_unpaired(shape))

    def write_rows(self, rows_file: Path) -> None:
        """Write the differing rows in the order of the report."""
        ties = not self.key or any(self.repeated.values())
        query = diff_sql.select_report_order(self.shape, ties=ties)
        self.connection.execute(f"COPY ({query}) TO {literal(str(rows_file))} (FORMAT parquet, COMPRESSION zstd)")
        for name in ("differing", "suspects", "originals", "unbalanced"):
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")

    def read_counts(self, rows: str) -> tuple[int, ...]:
        """Return added, removed and changed rows, then the changed cells of each column."""
        return self._one(diff_figures.select_counts(rows, self.shape.values, self.options.tolerance))

    def count_rows(self, added: int, removed: int, changed: int) -> RowCounts:
        """Count the rows of both sides; RuntimeError if the counts contradict each other, which is a bug."""
        base, candidate = (int(self._one(f"SELECT count(*) FROM {side.relation}")[0]) for side in self.sides)
        unchanged = candidate - added - changed
        if unchanged != base - removed - changed or unchanged < 0:
            raise RuntimeError(f"{base} rows and {candidate} do not add up: +{added} -{removed} ~{changed}")
        repeated = (self.repeated.get(side.relation, 0) for side in self.sides)
        return RowCounts(base, candidate, added, removed, changed, unchanged, *repeated)

    def describe_columns(self, rows: str, cells: Sequence[int], matched: int) -> tuple[ColumnDiff, ...]:
        """Return what changed in each compared column."""
        columns = []
        for n, (column, changed) in enumerate(zip(self.shape.values, cells, strict=True)):
            if not changed:
                columns.append(ColumnDiff(column.name, 0, 0.0, 0, 0, None, ()))
                continue
            query = diff_figures.select_figures(rows, len(self.key), n, column, self.options.tolerance)
            from_null, to_null, examples, *shift = self._one(query)
            moved = Shift(*shift) if shift and shift[0] is not None else None
            told = tuple(Example(*each) for each in examples)
            columns.append(ColumnDiff(column.name, changed, changed / matched, from_null, to_null, moved, told))
        return tuple(columns)

    def find_renames(self) -> SchemaDiff:
        """Return the schema's differences, with columns that only changed their name taken out of added and removed."""
        schema, (mine, theirs) = self.schema, self.types
        pairs = [(old, new) for old in schema.removed for new in schema.added if mine[old] == theirs[new]]
        for most in (_RENAME_SAMPLE, None):
            if not pairs or not self.key:
                return schema
            answers = self._one(diff_sql.select_renames(self.shape, pairs, most=most))
            pairs = [pair for pair, same in zip(pairs, answers, strict=True) if same]
        places = [{name: place for place, name in enumerate(side)} for side in self.types]
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

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.base, self.candidate

    def _find_repeated(self) -> None:
        self.connection.execute(diff_sql.create_repeated(self.shape))
        for side in self.sides:
            name = side.relation
            if side.files and self._one(diff_sql.prove_unique(self.shape, name))[0] <= 1:
                continue
            self.connection.execute(diff_sql.insert_repeated(self.shape, name))
            count = f"SELECT count(*) FROM repeated WHERE side = {literal(name)}"
            self.repeated[name] = int(self._one(count)[0])

    def _suggest_key(self, matched: Sequence[Column]) -> tuple[str, ...]:
        """Return the fewest columns, named like ids at best, that together are unique and never null on both sides."""
        fits = [each for each in matched if each.cast is None and can_be_key(each.compared_type)]
        names = sorted((each.name for each in fits), key=_likeness)
        if found := self._find_key([(name,) for name in names]):
            return found
        # Times are unique by accident; with one more column they would be so more often.
        parts = [each.name for each in fits if not is_time(each.compared_type)]
        parts = sorted(parts, key=_likeness)[:_MOST_PARTS]
        return self._find_key([*combinations(parts, 2), *combinations(parts, 3)])

    def _find_key(self, keys: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """Return the first of the keys that is one: those that a sample does not refute are tried on all rows."""
        likely = [key for key, is_key in zip(keys, self._are_keys(keys, _KEY_SAMPLE), strict=True) if is_key]
        return next((key for key in likely[:_MOST_KEY_TRIES] if self._are_keys([key], None)[0]), ())

    def _are_keys(self, keys: Sequence[tuple[str, ...]], most: int | None) -> list[bool]:
        if not keys:
            return []
        checks = ", ".join(map(_is_key, keys))
        limit = f" LIMIT {most}" if most else ""
        answers = [self._one(f"SELECT {checks} FROM (SELECT * FROM {side.relation}{limit})") for side in self.sides]
        return [all(each) for each in zip(*answers, strict=True)]

    def _describe(self, side: Side) -> list[tuple[str, str]]:
        found = self.connection.execute(f"DESCRIBE {side.relation}").fetchall()
        return [(row[0], row[1]) for row in found]

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self.connection.execute(query).fetchone()
        return row if row is not None else ()


def _likeness(name: str) -> tuple[bool, bool]:
    return name.lower() != "id", not name.lower().endswith(("_id", "_key"))


def _is_key(columns: tuple[str, ...]) -> str:
    names = [quote(name) for name in columns]
    nulls = "".join(f" AND count({name}) = count(*)" for name in names) if len(names) > 1 else ""
    distinct = names[0] if len(names) == 1 else f"row({', '.join(names)})"
    return f"count(DISTINCT {distinct}) = count(*){nulls}"


def _spell(tolerance: Tolerance | None) -> str | None:
    if tolerance is None:
        return None
    return f"{tolerance.amount * 100:f}%" if tolerance.relative else f"{tolerance.amount:f}"


def _list(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else ""
