"""A run beside `main`: how many rows there fail the same check, and how the values of a column lie on both sides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import duckdb

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_current
from dartifact.domain.errors import ChecksErrored, NotFound, UsageError
from dartifact.domain.hints import Command
from dartifact.domain.runs import Run
from dartifact.domain.sql_text import quote
from dartifact.domain.texts import first_line

T = TypeVar("T")
SAMPLE = 100_000
"""Rows of `main` that a distribution looks at, drawn with a fixed seed."""
_BINS = 30
_CATEGORIES = 15


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of values or one value, and which share of the rows of each side lies there."""

    label: str
    lo: float | None
    hi: float | None
    main: float
    run: float


def count_in_main(stack: Stack, run: Run, conditions: Mapping[str, str]) -> dict[str, int]:
    """Count the current rows of the run's dataset in `main`, without its own, that each condition is true for.

    `conditions` are name → SQL; one that does not fit the columns of `main` is missing in the answer.
    """
    source = stack.source(run.source)
    with _open(stack, run) as (connection, has_main):
        if not has_main:
            return dict.fromkeys(conditions, 0)
        current = select_current("records", source.key, source.updated_at)
        connection.execute(f"CREATE TEMP TABLE current_rows AS {current}")
        counts = {}
        for name, condition in conditions.items():
            with contextlib.suppress(duckdb.BinderException):
                query = f"SELECT count(*) FROM current_rows WHERE {condition}"
                counts[name] = int(connection.execute(query).fetchall()[0][0])
        return counts


def compare_distribution(stack: Stack, run: Run, column: str) -> tuple[Bucket, ...]:
    """Return how the values of a column are distributed in `main` (a sample of its change records) and in the run.

    Numbers and times lie in 30 stretches of equal length between the 0.5th and the 99.5th hundredth of both sides;
    what lies beyond is counted in the outermost. Other values are counted as they are, the 15 most frequent ones
    apart. NotFound: neither side has the column.
    """
    with _open(stack, run) as (connection, has_main):
        sides = {"run": "batch"} | ({"main": "records"} if has_main else {})
        kinds: dict[str, str] = {}
        for name, view in sides.items():
            described = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {view}").fetchall()}
            if column in described:
                kinds[name] = described[column]
        if not kinds:
            raise NotFound(f"there is no column {column} in {run.run_id}", hint=Command("show", run.run_id))
        numeric = all(_is_numeric(kind) for kind in kinds.values())
        for name in ("main", "run"):
            value = _number(column, kinds[name]) if numeric and name in kinds else _text(column)
            rows = (
                f"(SELECT * FROM {sides[name]} USING SAMPLE reservoir({SAMPLE} ROWS) REPEATABLE (1))"
                if (name in kinds)
                else ""
            )
            query = f"SELECT {value} AS value FROM {rows}" if rows else "SELECT NULL::VARCHAR AS value WHERE false"
            if numeric and not rows:
                query = "SELECT NULL::DOUBLE AS value WHERE false"
            connection.execute(f"CREATE TEMP TABLE values_{name} AS {query}")
        return _bins(connection) if numeric else _categories(connection)


@contextmanager
def _open(stack: Stack, run: Run) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
    """Yield a connection with the view `batch` and, if `main` has rows of other runs, the view `records`."""
    if run.commit is None:
        raise UsageError(f"{run.run_id} has brought no rows", hint=Command("show", run.run_id))
    head = stack.lake.head(MAIN).commit_id
    objects = [
        each for each in stack.lake.list_objects(head, f"raw/{run.source}/") if not each.path.startswith(run.folder)
    ]
    with duck.connect() as connection:
        view_batch(stack, connection, run, run.commit)
        if objects:
            duck.create_view(connection, "records", stack.lake.locate(head, objects), stack.lake.access)
        try:
            yield connection, bool(objects)
        except duckdb.Error as error:
            raise ChecksErrored(f"main cannot be asked: {first_line(error)}") from error


def _is_numeric(kind: str) -> bool:
    plain = ("INTEGER", "BIGINT", "DOUBLE", "DATE", "HUGEINT")
    return kind.startswith(("DECIMAL", "TIMESTAMP")) or kind in plain


def _number(column: str, kind: str) -> str:
    name = quote(column)
    return f"epoch({name})" if kind.startswith(("TIMESTAMP", "DATE")) else f"CAST({name} AS DOUBLE)"


def _text(column: str) -> str:
    return f"coalesce(CAST({quote(column)} AS VARCHAR), 'null')"


def _bins(connection: duckdb.DuckDBPyConnection) -> tuple[Bucket, ...]:
    ends = []
    for side in ("main", "run"):
        query = f"SELECT quantile_cont(value, [0.005, 0.995]) FROM values_{side} WHERE isfinite(value)"
        [[found]] = connection.execute(query).fetchall()
        ends += [found] if found else []
    if not ends:
        return ()
    least, greatest = min(each[0] for each in ends), max(each[1] for each in ends)
    width = (greatest - least) / _BINS or 1.0
    place = f"CAST(greatest(0, least({_BINS - 1}, floor((value - {least!r}) / {width!r}))) AS INTEGER)"
    counts = {}
    for side in ("main", "run"):
        found = connection.execute(
            f"SELECT {place} AS bin, count(*) FROM values_{side} WHERE isfinite(value) GROUP BY bin"
        ).fetchall()
        counts[side] = _shares({int(number): int(rows) for number, rows in found})
    return tuple(
        Bucket(
            f"{least + n * width:g}",
            least + n * width,
            least + (n + 1) * width,
            counts["main"].get(n, 0.0),
            counts["run"].get(n, 0.0),
        )
        for n in range(_BINS)
    )


def _categories(connection: duckdb.DuckDBPyConnection) -> tuple[Bucket, ...]:
    counts = {}
    for side in ("main", "run"):
        found = connection.execute(f"SELECT value, count(*) FROM values_{side} GROUP BY value").fetchall()
        counts[side] = _shares({str(value): int(rows) for value, rows in found})
    names = sorted(
        {*counts["main"], *counts["run"]},
        key=lambda each: (-max(counts["main"].get(each, 0.0), counts["run"].get(each, 0.0)), each),
    )
    shown, rest = names[:_CATEGORIES], names[_CATEGORIES:]
    buckets = [Bucket(name, None, None, counts["main"].get(name, 0.0), counts["run"].get(name, 0.0)) for name in shown]
    if rest:
        sums = [sum(counts[side].get(name, 0.0) for name in rest) for side in ("main", "run")]
        buckets.append(Bucket(f"{len(rest):,} others", None, None, *sums))
    return tuple(buckets)


def _shares(counts: dict[T, int]) -> dict[T, float]:
    total = sum(counts.values())
    return {name: rows / total for name, rows in counts.items()}
