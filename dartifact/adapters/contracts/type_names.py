"""What other databases call the column types of a contract."""

from __future__ import annotations

import re

from dartifact.adapters.tables.column_types import normalise_type

_MEANT = {
    "varchar": "text string str char character nvarchar bpchar clob uuid json jsonb",
    "bigint": "int int8 int64 long longint hugeint number",
    "integer": "int4 int32 int2 int16 smallint tinyint mediumint",
    "double": "float float4 float8 float64 real doubleprecision",
    "boolean": "bool bit",
    "date": "day date32",
    "timestamp with time zone": "timestamp timestamptz timestamp_tz datetime datetime64 timestampwithouttimezone",
}
_SUGGESTED = {word: meant for meant, words in _MEANT.items() for word in words.split()}
_EXACT = re.compile(r"(?:decimal|numeric|number|dec)\((\d+)(?:,(\d+))?\)")


def suggest_type(text: str) -> str:
    """Return the type of a contract that somebody who writes this type most likely means; empty for none."""
    plain = re.sub(r"\s+", "", text.lower())
    if match := _EXACT.fullmatch(plain):
        return normalise_type(f"decimal({match[1]},{match[2] or 0})") or ""
    if plain in ("decimal", "numeric", "money"):
        return "decimal(p,s)"
    return _SUGGESTED.get(re.sub(r"\(.*\)$", "", plain), "varchar" if plain.startswith("varchar(") else "")
