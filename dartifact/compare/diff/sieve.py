"""Drops the rows that both sides share, in one pass over Parquet files that are laid out by one key.

Both sides are read in the order of the key and aligned by it; rows whose keys meet and whose compared columns all hold
equal values are dropped. What is left, rows that differ and rows of one side only, is for the join to judge: the sieve
may keep rows that are the same, it never drops one that is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_MOST_FILES = 500  # open at once
_MOST_ROWS = 122_880  # of one batch: a row group of DuckDB
_MOST_BYTES = 32_000_000  # of one batch, by the size of the file's rows
_FIRST = 256  # rows of a file that show how long a row is
_FEW = 64  # values of a type that Arrow does not compare one by one are told apart in pieces of so many

_Array = Any
_Batch = Any


class Unfit(Exception):
    """The files are not laid out by the key, or not of one schema: they are compared in another way."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of a stretch of both sides, as record batches, and how many rows there were."""

    base: _Batch
    candidate: _Batch
    base_rows: int
    candidate_rows: int


class SortedFiles:
    """The Parquet files of one side, read by the first of some columns.

    Unfit: a file is not here, the schemas differ, or the statistics say that the key is in no order.
    """

    def __init__(self, files: Sequence[str], columns: Sequence[str]) -> None:
        if len(files) > _MOST_FILES or any("." in name for name in columns):
            raise Unfit("too many files, or a name that Parquet's readers take for a path")
        try:
            opened = [pq.ParquetFile(path) for path in files]
        except (OSError, pa.ArrowException) as error:
            raise Unfit(str(error)) from error
        found = [[file.schema_arrow.get_field_index(name) for name in columns] for file in opened]
        if not found or any(min(places) < 0 for places in found):
            raise Unfit("a file lacks a column")
        types = [[file.schema_arrow.types[n] for n in places] for file, places in zip(opened, found, strict=True)]
        if any(each != types[0] for each in types):
            raise Unfit("the files have several schemas")
        self.schema = pa.schema(zip(columns, types[0], strict=True))
        self.rows = sum(file.metadata.num_rows for file in opened)
        self._groups = _order_groups(opened, columns[0])

    def read(self) -> Iterator[_Batch]:
        """Yield the rows in batches; Unfit as soon as a key is missing or not above the one before it."""
        last, width, measured = None, 0, None
        for file, group in self._groups:
            if file is not measured and (first := next(self._read_group(file, group, _FIRST), None)) is not None:
                width, measured = first.nbytes // first.num_rows, file
            size = self._choose_size(file.metadata.row_group(group), width)
            for rows in self._read_group(file, group, size):
                last = _check_order(rows.column(0), last)
                yield rows

    def _read_group(self, file: Any, group: int, size: int) -> Iterator[_Batch]:
        batches = file.iter_batches(size, row_groups=[group], columns=self.schema.names, use_threads=False)
        return (batch.select(self.schema.names) for batch in batches if batch.num_rows)

    def _choose_size(self, group: Any, width: int) -> int:
        """Return how many rows to read at once, by the bytes of one: repeated values take none in the file."""
        row = max(int(group.total_byte_size) // max(int(group.num_rows), 1), width, 1)
        return max(1, min(_MOST_ROWS, _MOST_BYTES // row))


def sift(base: SortedFiles, candidate: SortedFiles) -> Iterator[Sifted]:
    """Yield what is left of both sides, stretch by stretch in the order of the key.

    Unfit: the sides' types differ or, later, their keys do not increase; what was yielded is without meaning then.
    """
    if base.schema.types != candidate.schema.types:
        raise Unfit("the sides have different types")
    with ThreadPoolExecutor(2) as pool:
        mine, theirs = (_Ahead(pool, side) for side in (base, candidate))
        try:
            while mine.has_rows() or theirs.has_rows():
                ends = [side.last() for side in (mine, theirs) if side.has_rows()]
                end = reduce(pc.min_element_wise, ends)
                yield _sift_stretch(mine.take(end), theirs.take(end))
        except (pa.ArrowException, OSError) as error:
            raise Unfit(str(error)) from error


class _Ahead:
    """Hands out the rows of one side while the batch after them is being read."""

    def __init__(self, pool: ThreadPoolExecutor, side: SortedFiles) -> None:
        self._pool = pool
        self._batches = side.read()
        self._rows = pa.RecordBatch.from_arrays([pa.nulls(0, kind) for kind in side.schema.types], schema=side.schema)
        self._next: Future[_Batch | None] = self._read()

    def has_rows(self) -> bool:
        """Tell whether there is another row, and have it at hand."""
        if not self._rows.num_rows and (batch := self._next.result()) is not None:
            self._rows, self._next = batch, self._read()
        return bool(self._rows.num_rows)

    def last(self) -> Any:
        """Return the greatest key at hand."""
        return self._rows.column(0)[-1]

    def take(self, end: Any) -> _Batch:
        """Return the rows at hand whose keys are not above a value."""
        count = pc.sum(pc.less_equal(self._rows.column(0), end)).as_py() or 0
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return taken

    def _read(self) -> Future[_Batch | None]:
        return self._pool.submit(next, self._batches, None)


def _order_groups(files: Sequence[Any], key: str) -> list[tuple[Any, int]]:
    """Return the row groups by their least key; as they lie where one does not tell it. Unfit: two overlap."""
    groups = []
    ranges = []
    for file in files:
        paths = [file.metadata.schema.column(n).path for n in range(file.metadata.num_columns)]
        for group in range(file.metadata.num_row_groups):
            found = file.metadata.row_group(group).column(paths.index(key)).statistics
            groups.append((file, group))
            if found is not None and found.has_min_max:
                ranges.append((found.min, found.max, len(groups) - 1))
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


def _sift_stretch(base: _Batch, candidate: _Batch) -> Sifted:
    mine, theirs = _find_shared(base.column(0), candidate.column(0))
    b, c = (rows if mask is None else rows.filter(mask) for rows, mask in ((base, mine), (candidate, theirs)))
    pairs = zip(b.columns[1:], c.columns[1:], strict=True)
    masks = [mask for one, other in pairs if (mask := _find_differing(one, other)) is not None]
    differing = [rows.filter(reduce(pc.or_, masks)) if masks else rows.slice(0, 0) for rows in (b, c)]
    lone = [
        rows.slice(0, 0) if mask is None else rows.filter(pc.invert(mask))
        for rows, mask in ((base, mine), (candidate, theirs))
    ]
    left = [pa.concat_batches(each) for each in zip(differing, lone, strict=True)]
    return Sifted(left[0], left[1], base.num_rows, candidate.num_rows)


def _find_shared(base: _Array, candidate: _Array) -> tuple[_Array | None, _Array | None]:
    """Say of the keys of both sides, which increase, whether the other side has them; None for all of them."""
    if base.equals(candidate):
        return None, None
    if pa.types.is_integer(base.type) or pa.types.is_temporal(base.type):
        x, y = _read_numbers(base), _read_numbers(candidate)
        at = np.minimum(np.searchsorted(x, y), max(len(x) - 1, 0))
        found = x[at] == y if len(x) else np.zeros(len(y), bool)
        at, theirs = at[found], _to_mask(found)
    else:
        places = pc.index_in(candidate, value_set=base)
        at, theirs = _read_numbers(places.drop_null()), places.is_valid()
    mine = np.zeros(len(base), bool)
    mine[at] = True
    return None if len(at) == len(base) else _to_mask(mine), None if len(at) == len(candidate) else theirs


def _read_numbers(values: _Array) -> Any:
    """Return integers, or times as integers, as they lie in memory; Arrow's own way would load pandas."""
    sign = "u" if pa.types.is_unsigned_integer(values.type) else ""
    numbers = np.frombuffer(values.buffers()[1] or b"", f"{sign}int{values.type.bit_width}")
    return numbers[values.offset : values.offset + len(values)]


def _find_differing(base: _Array, candidate: _Array) -> _Array | None:
    """Say of the values of two columns, row by row, whether they may differ; None when all are equal."""
    if base.equals(candidate):
        return None
    try:
        differs = pc.not_equal(base, candidate)
    except pa.ArrowNotImplementedError:
        return _find_differing_pieces(base, candidate)
    if pa.types.is_floating(base.type):
        differs = pc.and_(differs, pc.invert(pc.and_(pc.is_nan(base), pc.is_nan(candidate))))
    if base.null_count or candidate.null_count:
        differs = pc.coalesce(differs, pc.xor(pc.is_null(base), pc.is_null(candidate)))
    return differs


def _find_differing_pieces(base: _Array, candidate: _Array) -> _Array:
    differs = np.zeros(len(base), bool)
    pieces = [(0, len(base))]
    while pieces:
        start, count = pieces.pop()
        if base.slice(start, count).equals(candidate.slice(start, count)):
            continue
        if count <= _FEW:
            differs[start : start + count] = True
        else:
            half = count // 2
            pieces += [(start, half), (start + half, count - half)]
    return _to_mask(differs)


def _to_mask(values: Any) -> _Array:
    """Bring truth values to Arrow; `pa.array` would load pandas."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))])
