"""Which columns are compared, as what type, and when two cells are equal: SQL expressions, pure text.

Equal cells: null equals null and nothing else, NaN equals NaN, -0.0 equals 0.0, a time stamp with a zone is its
instant. Columns of two types are compared as numbers where both are numbers, as instants where both are dates or
times (one without a zone is UTC), else as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from dartifact.compare.diff.report import Retyped, SchemaDiff
from dartifact.domain.errors import UsageError

Columns = Sequence[tuple[str, str]]

_SIGNED = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}
_DIGITS = {**_SIGNED, "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20}
_WHOLE = (*_DIGITS, "HUGEINT", "UHUGEINT")
_FLOATS = ("FLOAT", "DOUBLE")
_NAIVE = ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart two numbers may be and count as equal: an absolute distance, or a share of the greater one."""

    amount: Decimal
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read `0.01` (absolute) or `1%` (relative); UsageError for anything else."""
        try:
            amount = Decimal(text.removesuffix("%"))
        except InvalidOperation as error:
            raise UsageError(f"{text!r} is not a tolerance", hint="0.01 is absolute, 1% is relative") from error
        if not amount.is_finite() or amount < 0:
            raise UsageError(
                f"the tolerance {text} is not a number of at least 0", hint="0.01 is absolute, 1% is relative"
            )
        return cls(amount / 100 if text.endswith("%") else amount, text.endswith("%"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of both sides, and the type its values are cast to first (None: they have one type)."""

    name: str
    base_type: str
    candidate_type: str
    cast: str | None

    @property
    def compared_type(self) -> str:
        """Return the type that the values are compared in."""
        return self.cast or self.base_type

    @property
    def numeric(self) -> bool:
        """Tell whether the values are compared as numbers."""
        return _is_number(self.compared_type)

    def value(self, reference: str) -> str:
        """Return the expression of a side's value as it is compared."""
        return f"CAST({reference} AS {self.cast})" if self.cast else reference

    def differs(self, base: str, candidate: str, tolerance: Tolerance | None) -> str:
        """Return the condition under which two cells differ; never null."""
        left, right = self.value(base), self.value(candidate)
        distinct = f"{left} IS DISTINCT FROM {right}"
        if tolerance is None or not self.numeric:
            return f"({distinct})"
        return f"({distinct} AND NOT coalesce({self._is_near(left, right, tolerance)}, false))"

    def _is_near(self, left: str, right: str, tolerance: Tolerance) -> str:
        amount = f"{tolerance.amount:f}"
        if tolerance.relative or self.compared_type in _FLOATS:
            a, b = f"CAST({left} AS DOUBLE)", f"CAST({right} AS DOUBLE)"
            limit = f"CAST('{amount}' AS DOUBLE)"
            finite = f"isfinite({a}) AND isfinite({b})"
            greater = f" * greatest(abs({a}), abs({b}))" if tolerance.relative else ""
            return f"({finite} AND abs({a} - {b}) <= {limit}{greater})"
        wide = f"CAST({left} AS HUGEINT) - CAST({right} AS HUGEINT)" if self.compared_type in _WHOLE else None
        # Exact; a difference too great for the type is no small one.
        return f"TRY(abs({wide or f'{left} - {right}'}) <= {amount})"


def match_columns(base: Columns, candidate: Columns, *, untyped: bool) -> tuple[Column, ...]:
    """Pair the columns that both sides have, in the base's order; `untyped` compares those of two types as text."""
    theirs = dict(candidate)
    return tuple(
        Column(name, kind, theirs[name], _common_type(kind, theirs[name], untyped=untyped))
        for name, kind in base
        if name in theirs
    )


def compare_schema(base: Columns, candidate: Columns, *, untyped: bool) -> SchemaDiff:
    """Compare two lists of columns; renamed ones are still among added and removed. Texts of a CSV have no type."""
    mine, theirs = dict(base), dict(candidate)
    shared = [name for name, _ in base if name in theirs]
    order = [name for name, _ in candidate if name in mine]
    typed = () if untyped else shared
    retyped = tuple(Retyped(name, mine[name], theirs[name]) for name in typed if mine[name] != theirs[name])
    return SchemaDiff(
        added=tuple(name for name, _ in candidate if name not in mine),
        removed=tuple(name for name, _ in base if name not in theirs),
        retyped=retyped,
        reordered=tuple(name for name, other in zip(shared, order, strict=True) if name != other),
    )


def can_be_key(data_type: str) -> bool:
    """Tell whether a column of this type may be suggested as key: texts, whole numbers, dates, ids."""
    return data_type in (*_WHOLE, *_NAIVE, _ZONED, "VARCHAR", "UUID")


def is_time(data_type: str) -> bool:
    """Tell whether a type is one of instants; a date is none."""
    return data_type == _ZONED or data_type.startswith("TIMESTAMP")


def _is_number(data_type: str) -> bool:
    return data_type in (*_WHOLE, *_FLOATS) or bool(_DECIMAL.fullmatch(data_type))


def _common_type(base: str, candidate: str, *, untyped: bool) -> str | None:
    if base == candidate:
        return None
    if untyped:
        return "VARCHAR"
    if _is_number(base) and _is_number(candidate):
        if base in _FLOATS or candidate in _FLOATS:
            return "DOUBLE"
        return _common_exact(base, candidate)
    if {base, candidate} <= set(_NAIVE):
        return "TIMESTAMP"
    return _ZONED if {base, candidate} <= {*_NAIVE, _ZONED} else "VARCHAR"


def _common_exact(base: str, candidate: str) -> str:
    """Return the decimal type that holds every value of two exact ones, text where there is none."""
    if {base, candidate} <= {*_DIGITS, "HUGEINT"}:
        return "HUGEINT"
    sizes = [_size(data_type) for data_type in (base, candidate)]
    scale = max(scale for _, scale in sizes)
    precision = max(whole for whole, _ in sizes) + scale
    return f"DECIMAL({precision},{scale})" if precision <= 38 else "VARCHAR"


def _size(data_type: str) -> tuple[int, int]:
    match = _DECIMAL.fullmatch(data_type)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else (_DIGITS.get(data_type, 39), 0)
