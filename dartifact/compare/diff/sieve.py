"""Drops the rows that both sides share, in one pass over Parquet files that are laid out by one key.

Both sides are read in the order of the key and aligned by it; rows whose keys meet and whose compared columns all hold
equal values are dropped. What is left, rows that differ and rows of one side only, is for the join to judge: the sieve
may keep rows that are the same, it never drops one that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dartifact.compare.diff.sorted_files import SortedFiles, Unfit

_FEW = 64  # values of a type that Arrow does not compare one by one are told apart in pieces of so many

_Array = Any
_Batch = Any


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of a stretch of both sides, as record batches, and how many rows there were."""

    base: _Batch
    candidate: _Batch
    base_rows: int
    candidate_rows: int


def sift(base: SortedFiles, candidate: SortedFiles) -> Iterator[Sifted]:
    """Yield what is left of both sides, stretch by stretch in the order of the key.

    Row groups that are the same on both sides are passed over. Unfit: the sides' types differ or, later, their keys do
    not increase; what was yielded is without meaning then.
    """
    if base.schema.types != candidate.schema.types:
        raise Unfit("the sides have different types")
    base.pass_over_shared(candidate)
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
