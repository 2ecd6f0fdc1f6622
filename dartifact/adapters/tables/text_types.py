"""The types that texts are written in: of a whole column, or none."""

from __future__ import annotations

import duckdb

from dartifact.domain.sql_text import literal, quote

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DAY = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_TYPES = {
    "BOOLEAN": "(?i:true|false)",
    "BIGINT": r"[+-]?\d+",
    "DECIMAL(38,0)": r"[+-]?\d+",
    "DOUBLE": rf"{_NUMBER}|(?i:nan|[+-]?inf(inity)?)",
    "DATE": _DAY,
    "TIMESTAMP": rf"{_DAY}[ T]{_CLOCK}( ?(Z|[+-]\d{{2}}(:?\d{{2}})?))?",
    "TIME": _CLOCK,
}
_PAIRS_AT_ONCE = 300
_SAMPLE = 10_000


def guess_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the type of each column of a relation of texts: the first that every text is one of, else VARCHAR.

    Whole numbers of up to 38 digits stay exact; times are ISO 8601 with at most microseconds, those with an offset in
    UTC. Columns without any text are VARCHAR.
    """
    names = [str(row[0]) for row in connection.execute(f"DESCRIBE {relation}").fetchall()]
    all_pairs = [(name, kind) for name in names for kind in _TYPES]
    sample = f"(SELECT * FROM {relation} LIMIT {_SAMPLE})"
    likely: dict[str, list[str]] = {name: [] for name in names}
    for (name, kind), fits in _test(connection, sample, all_pairs):
        if fits is not False:
            likely[name].append(kind)
    found: dict[str, str] = {}
    # most columns are of the first type that a sample does not refute
    while tried := [(name, kinds.pop(0)) for name, kinds in likely.items() if kinds and name not in found]:
        found |= dict(pair for pair, fits in _test(connection, relation, tried) if fits)
    return {name: found.get(name, "VARCHAR") for name in names}


def _test(
    connection: duckdb.DuckDBPyConnection, relation: str, pairs: list[tuple[str, str]]
) -> list[tuple[tuple[str, str], bool | None]]:
    """Tell of each pair of column and type whether all texts of the column are of it, None without any text."""
    tested: list[tuple[tuple[str, str], bool | None]] = []
    for first in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[first : first + _PAIRS_AT_ONCE]
        tests = ", ".join(_is_written_in(quote(name), kind) for name, kind in some)
        [answers] = connection.execute(f"SELECT {tests} FROM {relation}").fetchall()
        tested += zip(some, answers, strict=True)
    return tested


def _is_written_in(column: str, kind: str) -> str:
    matches = f"regexp_full_match({column}, {literal(_TYPES[kind])}) AND TRY_CAST({column} AS {kind}) IS NOT NULL"
    return f"bool_and(CASE WHEN {column} IS NOT NULL THEN {matches} END)"
