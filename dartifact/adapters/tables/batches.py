"""Batches: a source's JSON rows become a typed Arrow table, without losing anything on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from dartifact.adapters.tables.column_types import ANY_STAMP, ZONED_STAMP, decimal_size, text_form
from dartifact.domain.column_names import find_name_fault, find_twins
from dartifact.domain.errors import SourceMalformed, UsageError
from dartifact.domain.marks import mark
from dartifact.domain.sources import SYSTEM_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OLDEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_NEWEST = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MOST_DIGITS = 400
_DELETED = "_deleted"
DECLARED, STRANGE = "dartifact.declared", "dartifact.strange"
"""Under these keys a file keeps its `Notes`."""
_OF_JSON = {type(None), bool, int, float, Decimal, str, list, dict}


def build_batch(
    rows: Sequence[Mapping[str, object]],
    columns: Iterable[tuple[str, str]],
    *,
    zone: str | None,
    optional: Collection[str] | None = None,
) -> pa.Table:
    """Turn rows into a table: the contract's columns, then unknown keys as varchar, then `_deleted`.

    Values are those of JSON, or Python's own (date, datetime, time, Decimal, UUID). Numbers with a point have to come
    as Decimal (`json.loads(…, parse_float=Decimal)`). A column in which one value cannot be typed stays whole as
    varchar, texts as they were brought and everything else as its JSON text. Stamps become UTC microseconds; without an
    offset they are read in `zone`, and cannot be typed where there is none. Keys of `find_strange_names` are left out.
    With `optional` a column that no living row has is left out, unless it is one of these; else it is null throughout.
    SourceMalformed: a value has no text, bytes say, or a `_deleted` is no truth value.
    """
    import pyarrow as pa  # noqa: PLC0415

    if zone is not None:
        _zone(zone)
    declared = dict(columns)
    names = _list_names(rows) - find_strange_names(rows, declared).keys()
    living = _list_names(rows, living=True)
    absent = declared.keys() - {*optional, *living} if optional is not None and living else set()
    arrays: dict[str, Any] = {}
    for name, data_type in declared.items():
        if name not in absent:
            arrays[name] = _column(_take(rows, name), data_type, zone)
    for name in sorted(names - declared.keys() - {_DELETED}):
        arrays[name] = _texts(_take(rows, name))
    arrays[_DELETED] = pa.array([_flag(row.get(_DELETED)) for row in rows], pa.bool_())
    return pa.table(arrays)


def find_strange_names(rows: Sequence[Mapping[str, object]], declared: Iterable[str]) -> dict[str, str]:
    """Return the keys of rows that no column can be kept under, as the source spells them, each with the reason."""
    known = list(declared)
    brought = sorted(_list_names(rows) - {_DELETED, *known}, key=str)
    strange = {name: fault for name in brought if (fault := find_name_fault(name))}
    twins = find_twins([*known, *(name for name in brought if name not in strange)])
    return strange | {name: f"differs from {first} only in case" for name, first in twins.items()}


def build_versions(
    rows: Sequence[Mapping[str, object]], columns: Iterable[tuple[str, str]], *, zone: str | None
) -> pa.Table:
    """Turn rows into what tells versions apart: `row`, and for each name `typed name` and `brought name`.

    Each value stands in its own type, null where it has no place in it, and as the text that it was brought as: a file
    holds one of the two, whatever became of the column that it was in.
    """
    import pyarrow as pa  # noqa: PLC0415

    declared = dict(columns)
    names = sorted(declared.keys() | (_list_names(rows) - find_strange_names(rows, declared).keys() - {_DELETED}))
    arrays: dict[str, Any] = {"row": pa.array(range(len(rows)), pa.int64())}
    for name in names:
        values = _take(rows, name)
        data_type = declared.get(name, "varchar")
        brought = _texts(values)
        arrays[f"typed {name}"] = brought if data_type == "varchar" else _type_each(values, data_type, zone)
        arrays[f"brought {name}"] = brought
    arrays[f"typed {_DELETED}"] = pa.array([_flag(row.get(_DELETED)) for row in rows], pa.bool_())
    arrays[f"brought {_DELETED}"] = arrays[f"typed {_DELETED}"]
    return pa.table(arrays)


def retype(table: pa.Table, columns: Iterable[tuple[str, str]], *, zone: str | None) -> tuple[pa.Table, list[str]]:
    """Return a table with the columns in their types that were kept as texts, or in another type, and their names.

    A column that still has no place in its type stays as it is.
    """
    import pyarrow as pa  # noqa: PLC0415

    changed = []
    for name, data_type in columns:
        if name not in table.column_names or _is_of(table.schema.field(name).type, data_type):
            continue
        texts = table.column(name).cast(pa.string()).to_pylist()
        typed = _texts(texts) if data_type == "varchar" else _typed(texts, data_type, zone)
        if typed is not None:
            table = table.set_column(table.column_names.index(name), name, typed)
            changed.append(name)
    return table, changed


def _is_of(kind: pa.DataType, data_type: str) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return is_text if data_type == "varchar" else bool(kind == arrow_type(data_type))


def _list_names(rows: Iterable[Mapping[str, object]], *, living: bool = False) -> set[str]:
    shapes = {tuple(row) for row in rows if not (living and _flag(row.get(_DELETED)))}
    return {str(name) for shape in shapes for name in shape}


def _take(rows: Sequence[Mapping[str, object]], name: str) -> list[Any]:
    """Return the values of one key, those of Python as JSON spells them."""
    values = [row.get(name) for row in rows]
    if set(map(type, values)) <= _OF_JSON:
        return values
    return [_spell(value, name) for value in values]


def _spell(value: Any, name: str) -> Any:
    match value:
        case None | bool() | int() | float() | Decimal() | str() | list() | dict():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case UUID():
            return str(value)
        case tuple():
            return list(value)
        case _:
            kind = type(value).__name__
            raise SourceMalformed(f"{name} holds {kind}: only values of JSON, dates, times and UUIDs can be kept")


def _type_each(values: list[Any], data_type: str, zone: str | None) -> pa.Array:
    """Type every value that has a place in the type, null for the others: halves that hold one are parted again."""
    import pyarrow as pa  # noqa: PLC0415

    typed = _typed(values, data_type, zone)
    if typed is not None:
        return typed
    if len(values) == 1:
        return pa.nulls(1, arrow_type(data_type))
    half = len(values) // 2
    parts = (_type_each(part, data_type, zone) for part in (values[:half], values[half:]))
    return pa.concat_arrays([part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part for part in parts])


def add_system_columns(table: pa.Table, *, run_id: str, seq: int, extracted_at: datetime) -> pa.Table:
    """Return the table with `_run_id, _seq, _extracted_at, _deleted` as its last columns."""
    import pyarrow as pa  # noqa: PLC0415

    if extracted_at.tzinfo is None:
        raise ValueError("extracted_at needs a time zone")
    stamp = pa.scalar((extracted_at - _EPOCH) // _MICROSECOND, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    constants = (pa.scalar(run_id, pa.string()), pa.scalar(seq, pa.int64()), stamp)
    deleted = pa.repeat(pa.scalar(False), table.num_rows)
    if "_deleted" in table.column_names:
        deleted = table.column("_deleted")
        table = table.drop_columns(["_deleted"])
    for name, value in zip(SYSTEM_COLUMNS, constants, strict=False):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table.append_column("_deleted", deleted)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a batch's file says of itself: the columns that its contract declared, and names it could not keep."""

    declared: tuple[str, ...] = ()
    strange: Mapping[str, str] = field(default_factory=dict)


def write_parquet(table: pa.Table, path: Path, notes: Notes | None = None) -> None:
    """Write a table as Parquet (zstd); equal tables give equal bytes, however they are chunked."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    if notes is not None:
        told = {DECLARED: json.dumps(notes.declared), STRANGE: json.dumps(dict(notes.strange))}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **told})
    pq.write_table(table.combine_chunks(), path, compression="zstd")


def read_stamp(value: object, zone: str | None) -> datetime | None:
    """Return a row's stamp in UTC; None where it cannot be read or, without an offset, has happened twice."""
    if not isinstance(value, str):
        return None
    try:
        stamp = datetime.fromisoformat(value)
        if stamp.tzinfo is None:
            if zone is None:
                return None
            stamp = stamp.replace(tzinfo=_zone(zone))
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


def _column(values: list[Any], data_type: str, zone: str | None) -> pa.Array:
    typed = None if data_type == "varchar" else _typed(values, data_type, zone)
    return _texts(values) if typed is None else typed


def _typed(values: list[Any], data_type: str, zone: str | None) -> pa.Array | None:
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
            micros = [None if text is None else _micros(text, _zone(zone)) for text in texts.to_pylist()]
            stamps = pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        else:
            return None
    except (pa.ArrowInvalid, ValueError):
        return None
    return stamps if _within(stamps.cast(pa.int64()), _OLDEST, _NEWEST) else None


def _micros(text: str, zone: ZoneInfo) -> int:
    """Return UTC microseconds; a stamp without offset that happened twice (clocks set back) is the first one."""
    stamp = datetime.fromisoformat(text)
    return ((stamp if stamp.tzinfo else stamp.replace(tzinfo=zone)) - _EPOCH) // _MICROSECOND


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(f"{name!r} is not a time zone", hint="use a name like Europe/Berlin") from error


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


def _texts(values: list[Any]) -> pa.Array:
    """Return values as texts: strings as they are, everything else as its JSON text."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


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


def _flag(value: object) -> bool:
    match value:
        case None | False | "false":
            return False
        case True | "true":
            return True
        case _:
            raise SourceMalformed(f"_deleted is {mark(repr(value))}: it has to be true or false")
