"""What a table diff will compare, decided before it does: columns, key and schema of two relations, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import duckdb

from dartifact.compare.diff import sql as diff_sql
from dartifact.compare.diff.columns import Column, Tolerance, can_be_key, compare_schema, is_time, match_columns
from dartifact.compare.diff.report import SchemaDiff
from dartifact.domain.errors import UsageError
from dartifact.domain.sql_text import quote

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
class DiffPlan:
    """What is compared: two sides, the key their rows are paired by, and what their schemas have in common.

    `types` are the DuckDB types of the columns of base and candidate by name, without the ignored ones. Without a key
    rows are compared as multisets.
    """

    base: Side
    candidate: Side
    key: tuple[str, ...]
    shape: diff_sql.Shape
    schema: SchemaDiff
    types: tuple[dict[str, str], dict[str, str]]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Return base and candidate."""
        return self.base, self.candidate


def plan_diff(connection: duckdb.DuckDBPyConnection, base: Side, candidate: Side, options: Options) -> DiffPlan:
    """Read the columns of both sides and choose the key; asks for a key only where none is given.

    UsageError: a key or ignored column does not exist. duckdb.Error: a side cannot be read.
    """
    columns = [_describe(connection, side) for side in (base, candidate)]
    known = {name for side in columns for name, _ in side}
    if unknown := [name for name in options.ignore if name not in known]:
        raise UsageError(f"neither side has a column {', '.join(unknown)}", hint=_list(sorted(known)))
    mine, theirs = ([column for column in side if column[0] not in options.ignore] for side in columns)
    untyped = base.untyped or candidate.untyped
    matched = match_columns(mine, theirs, untyped=untyped)
    by_name = {column.name: column for column in matched}
    if missing := [name for name in options.key if name not in by_name]:
        raise UsageError(f"the key {', '.join(missing)} is not a column of both sides", hint=_list(list(by_name)))
    key = tuple(dict.fromkeys(options.key)) or suggest_key(connection, (base, candidate), matched)
    shape = diff_sql.Shape(
        base.relation,
        candidate.relation,
        tuple(by_name[name] for name in key),
        tuple(column for column in matched if column.name not in key),
        options.tolerance,
    )
    schema = compare_schema(mine, theirs, untyped=untyped)
    return DiffPlan(base, candidate, key, shape, schema, (dict(mine), dict(theirs)))


def suggest_key(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], matched: Sequence[Column]
) -> tuple[str, ...]:
    """Return the fewest columns, named like ids at best, that together are unique and never null on both sides."""
    fits = [column for column in matched if column.cast is None and can_be_key(column.compared_type)]
    names = sorted((column.name for column in fits), key=_likeness)
    if found := _find_key(connection, sides, [(name,) for name in names]):
        return found
    # Times are unique by accident; with one more column they would be so more often.
    parts = [column.name for column in fits if not is_time(column.compared_type)]
    parts = sorted(parts, key=_likeness)[:_MOST_PARTS]
    return _find_key(connection, sides, [*combinations(parts, 2), *combinations(parts, 3)])


def fetch_one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the first row of a query, the empty tuple without one."""
    row = connection.execute(query).fetchone()
    return row if row is not None else ()


def _find_key(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], keys: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the first of the keys that is one: those that a sample does not refute are tried on all rows."""
    answers = _are_keys(connection, sides, keys, _KEY_SAMPLE)
    likely = [key for key, is_key in zip(keys, answers, strict=True) if is_key]
    return next((key for key in likely[:_MOST_KEY_TRIES] if _are_keys(connection, sides, [key], None)[0]), ())


def _are_keys(
    connection: duckdb.DuckDBPyConnection, sides: Sequence[Side], keys: Sequence[tuple[str, ...]], most: int | None
) -> list[bool]:
    if not keys:
        return []
    checks = ", ".join(map(_is_key, keys))
    limit = f" LIMIT {most}" if most else ""
    answers = [fetch_one(connection, f"SELECT {checks} FROM (SELECT * FROM {side.relation}{limit})") for side in sides]
    return [all(answer) for answer in zip(*answers, strict=True)]


def _describe(connection: duckdb.DuckDBPyConnection, side: Side) -> list[tuple[str, str]]:
    found = connection.execute(f"DESCRIBE {side.relation}").fetchall()
    return [(row[0], row[1]) for row in found]


def _likeness(name: str) -> tuple[bool, bool]:
    return name.lower() != "id", not name.lower().endswith(("_id", "_key"))


def _is_key(columns: tuple[str, ...]) -> str:
    names = [quote(name) for name in columns]
    nulls = "".join(f" AND count({name}) = count(*)" for name in names) if len(names) > 1 else ""
    distinct = names[0] if len(names) == 1 else f"row({', '.join(names)})"
    return f"count(DISTINCT {distinct}) = count(*){nulls}"


def _list(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else ""
