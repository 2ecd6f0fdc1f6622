"""Batches: a source's rows become a typed Arrow table, without losing anything on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dartifact.adapters.tables.typed_values import (
    find_zone,
    has_type,
    spell_texts,
    type_column,
    type_each,
    type_values,
)
from dartifact.domain.column_names import find_name_fault, find_twins
from dartifact.domain.errors import SourceMalformed
from dartifact.domain.marks import mark

if TYPE_CHECKING:
    import pyarrow as pa

_DELETED = "_deleted"
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
        find_zone(zone)
    declared = dict(columns)
    names = _list_names(rows) - find_strange_names(rows, declared).keys()
    living = _list_names(rows, living=True)
    absent = declared.keys() - {*optional, *living} if optional is not None and living else set()
    arrays: dict[str, Any] = {}
    for name, data_type in declared.items():
        if name not in absent:
            arrays[name] = type_column(_take(rows, name), data_type, zone)
    for name in sorted(names - declared.keys() - {_DELETED}):
        arrays[name] = spell_texts(_take(rows, name))
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
        brought = spell_texts(values)
        arrays[f"typed {name}"] = brought if data_type == "varchar" else type_each(values, data_type, zone)
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
        if name not in table.column_names or has_type(table.schema.field(name).type, data_type):
            continue
        texts = table.column(name).cast(pa.string()).to_pylist()
        typed = spell_texts(texts) if data_type == "varchar" else type_values(texts, data_type, zone)
        if typed is not None:
            table = table.set_column(table.column_names.index(name), name, typed)
            changed.append(name)
    return table, changed


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


def _flag(value: object) -> bool:
    match value:
        case None | False | "false":
            return False
        case True | "true":
            return True
        case _:
            raise SourceMalformed(f"_deleted is {mark(repr(value))}: it has to be true or false")
