"""Checks of a batch's keys: each row has one, and no two versions of a key are as new as each other."""

from __future__ import annotations

from typing import Any

import duckdb

from dartifact.adapters.contracts.answers import MOST_KEYS, spell_tuple
from dartifact.compare import current
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.runs import Run
from dartifact.domain.sources import Source
from dartifact.domain.sql_text import quote


def check_keys(source: Source, connection: duckdb.DuckDBPyConnection, run: Run) -> tuple[Result, ...]:
    """Check the keys of the view `batch`."""
    return _check_missing(source, connection, run), _check_ambiguous(source, connection, run)


def _check_missing(source: Source, connection: duckdb.DuckDBPyConnection, run: Run) -> Result:
    [[rows]] = connection.execute(f"SELECT count(*) FROM ({current.select_null_keys('batch', source.key)})").fetchall()
    condition = " OR ".join(f"{quote(name)} IS NULL" for name in source.key)
    message = f"{source.name}: {rows:,} rows without {', '.join(source.key)} (allowed: 0)"
    return _result(source, run, "key.missing", message, rows, rows, condition)


def _check_ambiguous(source: Source, connection: duckdb.DuckDBPyConnection, run: Run) -> Result:
    """Count keys, but rows as failing rows: all that share key and stamp with another content."""
    names = [quote(name) for name in (*source.key, source.updated_at)]
    texts = ", ".join(f"{name}::VARCHAR" for name in names)
    ambiguous = current.select_ambiguous("batch", source.key, source.updated_at)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE ambiguous AS {ambiguous}")
    [[keys]] = connection.execute("SELECT count(*) FROM ambiguous").fetchall()
    same = " AND ".join(
        f"b.{quote(name)} IS NOT DISTINCT FROM a.{quote(name)}" for name in (*source.key, source.updated_at)
    )
    [[rows]] = connection.execute(f"SELECT count(*) FROM batch b SEMI JOIN ambiguous a ON {same}").fetchall()
    spelled = connection.execute(f"SELECT {texts} FROM ambiguous ORDER BY ALL LIMIT {MOST_KEYS + 1}").fetchall()
    message = (
        f"{source.name}: {keys:,} keys ({', '.join(source.key)}) have conflicting versions with the same "
        f"{source.updated_at} (allowed: 0)"
    )
    return _result(source, run, "key.ambiguous", message, keys, rows, _name_keys(", ".join(names), spelled))


def _name_keys(columns: str, keys: list[Any]) -> str | None:
    """Return a condition with the keys as literals; None beyond what a condition can hold."""
    if len(keys) > MOST_KEYS or any("\0" in (value or "") for key in keys for value in key):
        return None
    return f"({columns}) IN ({', '.join(map(spell_tuple, keys))})"


def _result(
    source: Source, run: Run, name: str, message: str, measured: int, rows: int, condition: str | None
) -> Result:
    return Result(
        check=f"{source.name}.{name}",
        dataset=source.name,
        outcome=Outcome.FAILED if rows else Outcome.PASSED,
        message=message,
        run_id=run.run_id,
        column=source.key[0],
        measured=measured,
        threshold="0",
        failing_rows=rows,
        condition=condition if rows else None,
    )
