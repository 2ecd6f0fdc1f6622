"""Parquet files that are laid out by one key, read in its order, each row once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_MOST_FILES = 500  # open at once
_MOST_ROWS = 122_880  # of one batch: a row group of DuckDB
_MOST_BYTES = 32_000_000  # of one batch, by the size of the file's rows
_FIRST = 256  # rows of a file that show how long a row is

_Array = Any
_Batch = Any


class Unfit(Exception):
    """The files are not laid out by the key, or not of one schema: they are compared in another way."""


class SortedFiles:
    """The Parquet files of one side, read by the first of some columns.

    `passed` counts the rows that were not read because both sides have them. Unfit: a file is not here, the schemas
    differ, or the statistics say that the key is in no order.
    """

    def __init__(self, files: Sequence[str], columns: Sequence[str]) -> None:
        if len(files) > _MOST_FILES or any("." in name for name in columns):
            raise Unfit("too many files, or a name that Parquet's readers take for a path")
        try:
            opened = [_File(path) for path in files]
        except (OSError, pa.ArrowException) as error:
            raise Unfit(str(error)) from error
        schemas = [file.reader.schema_arrow for file in opened]
        found = [[schema.get_field_index(name) for name in columns] for schema in schemas]
        if not found or any(min(places) < 0 for places in found):
            raise Unfit("a file lacks a column")
        types = [[schema.types[n] for n in places] for schema, places in zip(schemas, found, strict=True)]
        if any(each != types[0] for each in types):
            raise Unfit("the files have several schemas")
        self.schema = pa.schema(zip(columns, types[0], strict=True))
        self.rows = sum(file.metadata.num_rows for file in opened)
        self.passed = 0
        self._groups = _order_groups([_Group(file, n) for file in opened for n in range(file.metadata.num_row_groups)],
                                     columns[0])  # fmt: skip
        self._shared: set[_Group] = set()

    def pass_over_shared(self, other: SortedFiles) -> None:
        """Do not read, on both sides, the values of row groups whose columns are the same bytes on either.

        Where keys increase, no other row can have the key of one of theirs. Columns of one type that are packed in one
        way and are the same bytes hold the same values.
        """
        theirs = {group.describe(other.schema.names): group for group in other._groups}
        for group in self._groups:
            twin = theirs.get(group.describe(self.schema.names))
            if twin is not None and group.has_bytes_of(twin, self.schema.names, other.schema.names):
                self._shared.add(group)
                other._shared.add(twin)

    def read(self) -> Iterator[_Batch]:
        """Yield the rows in batches; Unfit as soon as a key is missing or not above the one before it."""
        last, width, measured = None, 0, None
        for group in self._groups:
            if group in self._shared:
                for keys in group.read(_MOST_ROWS, self.schema.names[:1]):
                    last = _check_order(keys.column(0), last)
                    self.passed += keys.num_rows
                continue
            if group.file is not measured and (first := next(group.read(_FIRST, self.schema.names), None)) is not None:
                width, measured = first.nbytes // first.num_rows, group.file
            for rows in group.read(self._choose_size(group.metadata, width), self.schema.names):
                last = _check_order(rows.column(0), last)
                yield rows

    def _choose_size(self, group: Any, width: int) -> int:
        """Return how many rows to read at once, by the bytes of one: repeated values take none in the file."""
        row = max(int(group.total_byte_size) // max(int(group.num_rows), 1), width, 1)
        return max(1, min(_MOST_ROWS, _MOST_BYTES // row))


class _File:
    """An open Parquet file, and where its columns lie."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.reader = pq.ParquetFile(path)
        self.metadata = self.reader.metadata

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Return the positions of the leaves of each column."""
        found: dict[str, list[int]] = {}
        for n in range(self.metadata.num_columns):
            found.setdefault(self.metadata.schema.column(n).path.partition(".")[0], []).append(n)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """One row group of a file."""

    file: _File
    number: int

    @property
    def metadata(self) -> Any:
        return self.file.metadata.row_group(self.number)

    def read(self, size: int, columns: Sequence[str]) -> Iterator[_Batch]:
        """Yield the rows, at most so many at once, with the columns in the order asked for."""
        batches = self.file.reader.iter_batches(
            size, row_groups=[self.number], columns=list(columns), use_threads=False
        )
        return (batch.select(list(columns)) for batch in batches if batch.num_rows)

    def find_range(self, key: str) -> tuple[Any, Any] | None:
        """Return the least and the greatest key as the file tells them."""
        found = self.metadata.column(self.file.places[key][0]).statistics
        return (found.min, found.max) if found is not None and found.has_min_max else None

    def describe(self, columns: Sequence[str]) -> tuple[object, ...]:
        """Return what two groups of the same bytes have in common; the first of the columns is the key."""
        chunks = self._list_chunks(columns)
        sizes = [(each.compression, each.total_compressed_size, each.total_uncompressed_size) for each in chunks]
        return self.metadata.num_rows, self.find_range(columns[0]), *sizes

    def has_bytes_of(self, other: _Group, columns: Sequence[str], others: Sequence[str]) -> bool:
        """Tell whether columns are, byte by byte, those of another group."""
        pairs = zip(self._list_chunks(columns), other._list_chunks(others), strict=True)
        with self.file.path.open("rb") as mine, other.file.path.open("rb") as theirs:
            return all(_read_chunk(mine, one) == _read_chunk(theirs, another) for one, another in pairs)

    def _list_chunks(self, columns: Sequence[str]) -> list[Any]:
        return [self.metadata.column(n) for name in columns for n in self.file.places[name]]


def _read_chunk(file: Any, chunk: Any) -> bytes:
    file.seek(min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset))
    return bytes(file.read(chunk.total_compressed_size))


def _order_groups(groups: list[_Group], key: str) -> list[_Group]:
    """Return the groups by their least key; as they lie where one does not tell it. Unfit: two overlap."""
    ranges = [(*bounds, n) for n, group in enumerate(groups) if (bounds := group.find_range(key)) is not None]
    if len(ranges) < len(groups):
        return groups
    ranges.sort()
    if any(one[1] > other[0] for one, other in pairwise(ranges)):
        raise Unfit("the files are in no order of the key")
    return [groups[n] for *_, n in ranges]


def _check_order(key: _Array, last: Any) -> Any:
    """Return the last key; Unfit unless all are there and each is above the one before it."""
    try:
        increases = pc.all(pc.less(key.slice(0, len(key) - 1), key.slice(1))).as_py() is not False
        follows = last is None or pc.less(last, key[0]).as_py()
    except pa.ArrowNotImplementedError as error:
        raise Unfit("the key's type has no order here") from error
    if key.null_count or not increases or not follows:
        raise Unfit("the keys do not increase")
    return key[-1]
