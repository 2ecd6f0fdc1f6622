"""The closed set of column types a contract can name, and the one text form each of them is accepted in.

The forms are regular expressions in the common subset of Python and RE2: rows are typed with them on the way in, and
DuckDB counts with the very same ones what did not fit.
"""

from __future__ import annotations

import re

SIMPLE_TYPES = ("varchar", "bigint", "integer", "double", "boolean", "date", "timestamp with time zone")
KNOWN_TYPES = (*SIMPLE_TYPES, "decimal(p,s)")

_DECIMAL = re.compile(r"decimal\(([1-9][0-9]?),([0-9]{1,2})\)")
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?"
_STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"

ZONED_STAMP = _STAMP + _OFFSET
ANY_STAMP = _STAMP + _OFFSET + "?"


def normalise_type(text: str) -> str | None:
    """Return a type's one spelling, as DuckDB's `DESCRIBE` says it in small letters; None for an unknown type."""
    spelled = re.sub(r"\s*([(),])\s*", r"\1", " ".join(text.lower().split()))
    if spelled in SIMPLE_TYPES:
        return spelled
    return spelled if decimal_size(spelled) else None


def decimal_size(data_type: str) -> tuple[int, int] | None:
    """Return precision and scale of a decimal type, None for every other type."""
    match = _DECIMAL.fullmatch(data_type)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    return (precision, scale) if scale <= precision <= 38 else None


def text_form(data_type: str) -> str | None:
    """Return the expression a text must match in full to be a value of the type; None where any text will do."""
    if decimal_size(data_type):
        return _NUMBER
    return {
        "bigint": r"-?[1-9][0-9]*|0",
        "integer": r"-?[1-9][0-9]*|0",
        "double": _NUMBER,
        "boolean": r"true|false",
        "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "timestamp with time zone": ANY_STAMP,
    }.get(data_type)
