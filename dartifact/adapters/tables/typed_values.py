"""Values of a source in the types of a contract: each exactly, or not at all.

Pure, but for Arrow, which is imported where it is needed.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dartifact.adapters.tables.column_types import ANY_STAMP, ZONED_STAMP, decimal_size, text_form
from dartifact.domain.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_OLDEST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
_NEWEST = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - EPOCH) // MICROSECOND
_MOST_DIGITS = 400


def read_stamp(value: object, zone: str | None) -> datetime | None:
    """Return a row's stamp in UTC; None where it cannot be read or, without an offset, has happened twice."""
    if not isinstance(value, str):
        return None
    try:
        stamp = datetime.fromisoformat(value)
        if stamp.tzinfo is None:
            if zone is None:
                return None
            stamp = stamp.replace(tzinfo=find_zone(zone))
            if stamp.utcoffset() != stamp.replace(fold=1).utcoffset():
                return None
        return stamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def arrow_type(data_type: str) -> pa.DataType:
    """Return the Arrow type of a contract's column type."""
    import pyarrow as pa  # noqa: PLC0415

    if size := decimal_size(data_type):
        return pa.decimal128(*size)
    types = {
        "varchar": pa.string(),
        "bigint": pa.int64(),
        "integer": pa.int32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }
    return types[data_type]


def has_type(kind: pa.DataType, data_type: str) -> bool:
    """Say whether an Arrow type is that of a contract's column type."""
    import pyarrow as pa  # noqa: PLC0415

    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return is_text if data_type == "varchar" else bool(kind == arrow_type(data_type))


def type_column(values: list[Any], data_type: str, zone: str | None) -> pa.Array:
    """Return a column in its type, as texts where one value has no exact place in it."""
    typed = None if data_type == "varchar" else type_values(values, data_type, zone)
    return spell_texts(values) if typed is None else typed


def type_values(values: list[Any], data_type: str, zone: str | None) -> pa.Array | None:
    """Return the column in its type, None as soon as one value has no exact place in it."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values), arrow_type(data_type))
    if data_type in ("date", "timestamp with time zone"):
        texts = _strings(values) if kinds == {str} else None
        return None if texts is None else _dates(texts) if data_type == "date" else _stamps(texts, zone)
    converted: list[Any] | None = None
    if data_type == "boolean" and kinds <= {bool, str}:
        converted = _truths(values)
    elif data_type != "boolean" and kinds <= {int, Decimal, float, str}:
        converted = _numbers(values, data_type)
    try:
        return None if converted is None else pa.array(converted, arrow_type(data_type))
    except (pa.ArrowException, OverflowError, ValueError):
        return None


def type_each(values: list[Any], data_type: str, zone: str | None) -> pa.Array:
    """Type every value that has a place in the type, null for the others: halves that hold one are parted again."""
    import pyarrow as pa  # noqa: PLC0415

    typed = type_values(values, data_type, zone)
    if typed is not None:
        return typed
    if len(values) == 1:
        return pa.nulls(1, arrow_type(data_type))
    half = len(values) // 2
    parts = (type_each(part, data_type, zone) for part in (values[:half], values[half:]))
    return pa.concat_arrays([part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part for part in parts])


def spell_texts(values: list[Any]) -> pa.Array:
    """Return values as texts: strings as they are, everything else as its JSON text."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def find_zone(name: str) -> ZoneInfo:
    """Return a time zone; UsageError when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(f"{name!r} is not a time zone", hint="use a name like Europe/Berlin") from error


def _truths(values: list[Any]) -> list[bool | None] | None:
    words = {"true": True, "false": False}
    truths = [words.get(value) if isinstance(value, str) else value for value in values]
    lost = any(truth is None and value is not None for truth, value in zip(truths, values, strict=True))
    return None if lost else truths


def _numbers(values: list[Any], data_type: str) -> list[Any] | None:
    form = re.compile(text_form(data_type) or "")
    convert = {"bigint": _whole, "integer": _whole, "double": _double}.get(data_type)
    numbers: list[Any] = []
    for value in values:
        kind, number = type(value), value
        if kind is str:
            if not form.fullmatch(value):
                return None
            number = Decimal(value)
        elif kind is float:
            number = Decimal(repr(value))
        if type(number) is Decimal and not (number.is_finite() and abs(number.adjusted()) < _MOST_DIGITS):
            return None  # 1E+1000000 is valid JSON, and expanding it takes minutes
        if convert and number is not None:
            number = convert(number)
            if number is None:
                return None
        numbers.append(number)
    return numbers


def _whole(number: int | Decimal) -> int | None:
    whole = int(number)
    return whole if whole == number else None


def _double(number: int | Decimal) -> float | None:
    try:
        double = float(number)
    except OverflowError:
        return None
    return double if abs(double) != float("inf") and (double or not number) else None


def _dates(texts: pa.Array) -> pa.Array | None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not _all_match(texts, text_form("date") or ""):
        return None
    try:
        days = pc.cast(texts, pa.date32())
    except pa.ArrowInvalid:
        return None
    return days if _within(days.cast(pa.int32()), _OLDEST // 86_400_000_000, _NEWEST // 86_400_000_000) else None


def _stamps(texts: pa.Array, zone: str | None) -> pa.Array | None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not _all_match(texts, ANY_STAMP):
        return None
    try:
        if _all_match(texts, ZONED_STAMP):
            texts = pc.replace_substring_regex(texts, r"(\.[0-9]{6})[0-9]+", r"\1")
            stamps = pc.cast(texts, pa.timestamp("us", tz="UTC"))
        elif zone is not None:
            micros = [None if text is None else _micros(text, find_zone(zone)) for text in texts.to_pylist()]
            stamps = pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        else:
            return None
    except (pa.ArrowInvalid, ValueError):
        return None
    return stamps if _within(stamps.cast(pa.int64()), _OLDEST, _NEWEST) else None


def _micros(text: str, zone: ZoneInfo) -> int:
    """Return UTC microseconds; a stamp without offset that happened twice (clocks set back) is the first one."""
    stamp = datetime.fromisoformat(text)
    return ((stamp if stamp.tzinfo else stamp.replace(tzinfo=zone)) - EPOCH) // MICROSECOND


def _within(numbers: pa.Array, low: int, high: int) -> bool:
    """Tell whether all dates are ones that Python's readers can show too."""
    import pyarrow.compute as pc  # noqa: PLC0415

    ends = pc.min_max(numbers).as_py()
    return ends["min"] is None or bool(low <= ends["min"] and ends["max"] <= high)


def _all_match(texts: pa.Array, form: str) -> bool:
    import pyarrow.compute as pc  # noqa: PLC0415

    return pc.all(pc.match_substring_regex(texts, f"^({form})$")).as_py() is not False


def _strings(values: list[Any]) -> pa.Array | None:
    import pyarrow as pa  # noqa: PLC0415

    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    # half a surrogate pair is valid JSON and no valid UTF-8: keep it readable as the escape it came as
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _json(value: Any) -> str:
    """Return JSON text with decimals written as the numbers they were."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(key)}:{_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_json(item) for item in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
