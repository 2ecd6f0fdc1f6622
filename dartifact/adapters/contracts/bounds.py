"""Numbers of a contract as SQL compares them: exactly, or refused.

DuckDB reads a number of more than 38 digits as a double, and casts a column to the digits behind the point of what it
is compared with. So a bound is cut to the digits that the column has, in the direction that changes no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from dartifact.adapters.tables.column_types import decimal_size

LISTS = ("valid_values", "invalid_values", "missing_values")
BOUNDS = ("valid_min", "valid_max")
_MOST_DIGITS = 38
_MEASURED_EXACTLY = ("aggregate", "metric")
_EXACT = Context(prec=1000)


class Plain(Decimal):
    """A decimal that is all digits as text, never `1E+3`: SQL takes that for a double."""

    def __str__(self) -> str:
        """Return all digits."""
        return format(self, "f")


def find_number_fault(key: str, value: object, data_type: str) -> str:
    """Say why a bound or a listed value cannot be compared with a column as it is written; empty where it can."""
    scale = scale_of(data_type)
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if (
        key in LISTS
        and isinstance(value, str)
        and data_type != "varchar"
        and (scale is not None or is_double(data_type))
    ):
        return f"{value!r} is text, the column is {data_type}: write it as a number"
    if key in LISTS and is_number and data_type == "varchar":
        return f"{value} is a number, the column is varchar: put it in quotes"
    if scale is None or not is_number:
        return ""
    number = _cut(key, value, scale)
    if key in LISTS and number != value:
        return f"{Plain(value)} is no {data_type}"  # type: ignore[arg-type]
    if len(format(abs(number).to_integral_value(ROUND_FLOOR), "f")) + scale > _MOST_DIGITS:
        return f"{Plain(value)} has too many digits to be compared with {data_type}"  # type: ignore[arg-type]
    return ""


def fit_numbers(key: str, value: Any, data_type: str) -> Any:
    """Return a value of a check as it is to stand in SQL that compares it with a column of this type."""
    if key in LISTS:
        return [fit_numbers("", item, data_type) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    if is_double(data_type):
        return float(value)
    scale = scale_of(data_type)
    return Plain(value if scale is None else _cut(key, value, scale))


def exact_body(kind: str, body: Mapping[str, Any], data_type: str) -> dict[str, Any]:
    """Return what a check says with its numbers as they are compared: exactly, but for counts and shares."""
    fitted = {
        key: fit_numbers(key, value, data_type) if key in (*BOUNDS, *LISTS) else value for key, value in body.items()
    }
    if "threshold" in fitted and kind not in _MEASURED_EXACTLY:
        fitted["threshold"] = _as_floats(fitted["threshold"])
    return fitted


def _as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if isinstance(value, Decimal) else value


def scale_of(data_type: str) -> int | None:
    """Return the digits behind the point of a type that is exact, None for every other type."""
    if data_type in ("bigint", "integer"):
        return 0
    size = decimal_size(data_type)
    return size[1] if size else None


def is_double(data_type: str) -> bool:
    """Tell whether numbers of a type are not exact."""
    return data_type == "double"


def _cut(key: str, value: Any, scale: int) -> Decimal:
    rounding = ROUND_CEILING if key == "valid_min" else ROUND_FLOOR
    number = Decimal(value)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > scale:
        number = number.quantize(Decimal(1).scaleb(-scale), rounding, _EXACT)
    return number
