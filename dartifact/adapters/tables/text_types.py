"""The types that texts are written in: of a whole column, or none."""

from __future__ import annotations

import duckdb

from dartifact.domain.sql_text import literal, quote

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DAY = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_TYPES = (
    ("BOOLEAN", "(?i:true|false)"),
    ("BIGINT", r"[+-]?\d+"),
    ("DECIMAL(38,0)", r"[+-]?\d+"),
    ("DOUBLE", rf"{_NUMBER}|(?i:nan|[+-]?inf(inity)?)"),
    ("DATE", _DAY),
    ("TIMESTAMP", rf"{_DAY}[ T]{_CLOCK}( ?(Z|[+-]\d{{2}}(:?\d{{2}})?))?"),
    ("TIME", _CLOCK),
)
_COLUMNS_AT_ONCE = 50


def guess_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the type of each column of a relation of texts: the first that every text is one of, else VARCHAR.

    Whole numbers of up to 38 digits stay exact; times are ISO 8601 with at most microseconds, those with an offset in
    UTC. Columns without any text are VARCHAR.
    """
    names = [str(row[0]) for row in connection.execute(f"DESCRIBE {relation}").fetchall()]
    found: dict[str, str] = {}
    for first in range(0, len(names), _COLUMNS_AT_ONCE):
        some = names[first : first + _COLUMNS_AT_ONCE]
        tests = ", ".join(_is_written_in(quote(name), *kind) for name in some for kind in _TYPES)
        [answers] = connection.execute(f"SELECT {tests} FROM {relation}").fetchall()
        for place, name in enumerate(some):
            mine = answers[place * len(_TYPES) : (place + 1) * len(_TYPES)]
            fits = (kind for (kind, _), fit in zip(_TYPES, mine, strict=True) if fit)
            found[name] = next(fits, "VARCHAR")
    return found


def _is_written_in(column: str, kind: str, pattern: str) -> str:
    matches = f"regexp_full_match({column}, {literal(pattern)}) AND TRY_CAST({column} AS {kind}) IS NOT NULL"
    return f"bool_and(CASE WHEN {column} IS NOT NULL THEN {matches} END)"
