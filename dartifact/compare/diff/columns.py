"""Which columns are compared, as what type, and when two cells are equal: SQL expressions, pure text.

Equal cells: null equals null and nothing else, NaN equals NaN, -0.0 equals 0.0, a time stamp with a zone is its
instant, an interval is what it says (a month is not thirty days). Columns of two types are compared as numbers where
both are numbers, as instants where both are dates or times (one without a zone is UTC), else as text. Values are
compared themselves, never by a hash of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from dartifact.compare.diff.report import Renamed, Retyped, SchemaDiff
from dartifact.domain.errors import UsageError

Columns = Sequence[tuple[str, str]]

_SIGNED = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}
_UNSIGNED = {"UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20}
_DIGITS = {**_SIGNED, **_UNSIGNED}
_WIDE = ("HUGEINT", "UHUGEINT")
_WHOLE = (*_DIGITS, *_WIDE)
_FLOATS = ("FLOAT", "DOUBLE")
_NANOSECONDS = "TIMESTAMP_NS"
_NAIVE = ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_MOST_DIGITS = 38
_SLACK = "4.5e-16"
"""Two units in the last place of a double: what rounding alone puts between two numbers."""
# Parquet has no such type, or keeps less of it than it holds.
_NOT_STORED = ("INTERVAL", "HUGEINT", "UHUGEINT", "TIME WITH TIME ZONE", "BIT")


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
class Common:
    """What both sides of a column are brought to: a type, and the expression of either side's value, `{0}` for it."""

    type: str
    base: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of both sides; `base` is the name it has there, `common` None where both have one type."""

    name: str
    base: str
    base_type: str
    candidate_type: str
    common: Common | None = None

    @property
    def compared_type(self) -> str:
        """Return the type that the values are compared in."""
        return self.common.type if self.common else self.base_type

    @property
    def numeric(self) -> bool:
        """Tell whether both sides are numbers."""
        return is_number(self.base_type) and is_number(self.candidate_type)

    @property
    def is_same(self) -> bool:
        """Tell whether both sides have one name and one type."""
        return self.common is None and self.base == self.name

    @property
    def has_own_parts(self) -> bool:
        """Tell whether what is compared is more than the value itself: it is not what a group is made by then."""
        return self.common is not None or "INTERVAL" in self.base_type

    def base_value(self, reference: str) -> str:
        """Return the expression of the base's value as it is compared."""
        return self.common.base.format(reference) if self.common else reference

    def candidate_value(self, reference: str) -> str:
        """Return the expression of the candidate's value as it is compared."""
        return self.common.candidate.format(reference) if self.common else reference

    def differs(self, base: str, candidate: str, tolerance: Tolerance | None) -> str:
        """Return the condition under which two cells differ; never null."""
        left, right = self.base_value(base), self.candidate_value(candidate)
        distinct = f"{left} IS DISTINCT FROM {right}"
        if "INTERVAL" in self.compared_type:
            distinct = f"{distinct} OR CAST({left} AS VARCHAR) IS DISTINCT FROM CAST({right} AS VARCHAR)"
        if tolerance is None or not self.numeric:
            return f"({distinct})"
        return f"({distinct} AND NOT coalesce({self._is_near(base, candidate, tolerance)}, false))"

    def _is_near(self, base: str, candidate: str, tolerance: Tolerance) -> str:
        amount = f"{tolerance.amount:f}"
        kind = self.compared_type
        if tolerance.relative or kind in _FLOATS or kind == "VARCHAR":
            a, b = f"CAST({base} AS DOUBLE)", f"CAST({candidate} AS DOUBLE)"
            finite, greater = f"isfinite({a}) AND isfinite({b})", f"greatest(abs({a}), abs({b}))"
            limit = f"CAST('{amount}' AS DOUBLE)" + (f" * {greater}" if tolerance.relative else "")
            return f"({finite} AND abs({a} - {b}) <= {limit} + {greater} * {_SLACK})"
        left, right = self.base_value(base), self.candidate_value(candidate)
        wide = f"CAST({left} AS HUGEINT) - CAST({right} AS HUGEINT)" if kind in _WHOLE else None
        # Exact; a difference too great for the type is no small one.
        return f"TRY(abs({wide or f'{left} - {right}'}) <= {amount})"


def match_columns(
    base: Columns, candidate: Columns, *, untyped: bool, renamed: Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """Pair the columns that both sides have, in the base's order; `untyped` compares those of two types as text.

    `renamed` is the base's name → the candidate's.
    """
    theirs, new = dict(candidate), renamed or {}
    pairs = [(old, kind, new.get(old, old)) for old, kind in base]
    return tuple(
        Column(name, old, kind, theirs[name], _find_common(kind, theirs[name], untyped=untyped))
        for old, kind, name in pairs
        if name in theirs
    )


def compare_schema(
    base: Columns, candidate: Columns, *, untyped: bool, renamed: Mapping[str, str] | None = None
) -> SchemaDiff:
    """Compare two lists of columns. Texts of a CSV have no type."""
    new = renamed or {}
    mine, theirs = dict(base), dict(candidate)
    shared = [name for name, _ in base if name in theirs and name not in new]
    order = [name for name, _ in candidate if name in mine and name in shared]
    typed = () if untyped else shared
    retyped = tuple(Retyped(name, mine[name], theirs[name]) for name in typed if mine[name] != theirs[name])
    return SchemaDiff(
        added=tuple(name for name, _ in candidate if name not in mine and name not in new.values()),
        removed=tuple(name for name, _ in base if name not in theirs and name not in new),
        retyped=retyped,
        reordered=tuple(name for name, other in zip(shared, order, strict=True) if name != other),
        renamed=tuple(Renamed(old, name) for old, name in new.items()),
    )


def can_be_key(data_type: str) -> bool:
    """Tell whether a column of this type may be suggested as key: texts, whole numbers, dates, ids."""
    return data_type in (*_WHOLE, *_NAIVE, _NANOSECONDS, _ZONED, "VARCHAR", "UUID")


def is_time(data_type: str) -> bool:
    """Tell whether a type is one of instants; a date is none."""
    return data_type == _ZONED or data_type.startswith("TIMESTAMP")


def is_number(data_type: str) -> bool:
    """Tell whether a type is one of numbers."""
    return data_type in (*_WHOLE, *_FLOATS) or bool(_DECIMAL.fullmatch(data_type))


def store(value: str, data_type: str) -> str:
    """Return the expression that a value is kept as in a Parquet file: itself, or text where Parquet would round it."""
    return f"CAST({value} AS VARCHAR)" if any(each in data_type for each in _NOT_STORED) else value


def _find_common(base: str, candidate: str, *, untyped: bool) -> Common | None:
    if base == candidate:
        # DuckDB takes a month for thirty days.
        return _as("VARCHAR") if base == "INTERVAL" else None
    if untyped:
        return _as("VARCHAR")
    if is_number(base) and is_number(candidate):
        return _as("DOUBLE") if {base, candidate} & {*_FLOATS} else _find_exact(base, candidate)
    return _find_instant(base, candidate) or _find_text(base, candidate)


def _find_instant(base: str, candidate: str) -> Common | None:
    kinds = {base, candidate}
    if kinds <= {*_NAIVE}:
        return _as("TIMESTAMP")
    if kinds <= {*_NAIVE, _ZONED}:
        return _as(_ZONED)
    if kinds <= {*_NAIVE, _ZONED, _NANOSECONDS}:
        return Common("VARCHAR", _spell_instant(base), _spell_instant(candidate))
    return None


def _find_text(base: str, candidate: str) -> Common:
    text = "CAST({0} AS VARCHAR)"
    if {base, candidate} & {*_FLOATS}:
        text = _SPECIAL.format(text)
    return Common("VARCHAR", text, text)


def _as(data_type: str) -> Common:
    cast = f"CAST({{0}} AS {data_type})"
    return Common(data_type, cast, cast)


def _find_exact(base: str, candidate: str) -> Common:
    """Return the type that holds every value of two exact ones; where there is none they are written out."""
    kinds = (base, candidate)
    if all(kind in _SIGNED for kind in kinds) or all(kind in _UNSIGNED for kind in kinds):
        return _as(max(kinds, key=_DIGITS.__getitem__))
    if all(kind in _DIGITS for kind in kinds):
        unsigned = next(kind for kind in kinds if kind in _UNSIGNED)
        return _as("BIGINT" if unsigned != "UBIGINT" else "DECIMAL(20,0)")
    sizes = [_size(kind) for kind in kinds]
    scale = max(scale for _, scale in sizes)
    precision = max(whole for whole, _ in sizes) + scale
    if precision <= _MOST_DIGITS:
        return _as(f"DECIMAL({precision},{scale})")
    return Common("VARCHAR", _spell_number(base), _spell_number(candidate))


def _size(data_type: str) -> tuple[int, int]:
    match = _DECIMAL.fullmatch(data_type)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else (_DIGITS.get(data_type, 39), 0)


_SPECIAL = (
    "(CASE lower({0}) WHEN 'nan' THEN 'nan' WHEN 'infinity' THEN 'inf' WHEN '-infinity' THEN '-inf' ELSE {0} END)"
)
_WITHOUT_ZEROS = "(CASE WHEN contains({0}, '.') THEN rtrim(rtrim({0}, '0'), '.') ELSE {0} END)"


def _spell_number(data_type: str) -> str:
    """Return the expression of an exact number as text that is equal for equal ones."""
    match = _DECIMAL.fullmatch(data_type)
    text = "CAST({0} AS VARCHAR)"
    return _WITHOUT_ZEROS.format(text) if match and int(match[2]) else text


def _spell_instant(data_type: str) -> str:
    """Return the expression of an instant as text that is equal for equal ones, to the nanosecond."""
    value = "{0}" if data_type == _NANOSECONDS else "CAST({0} AS TIMESTAMP)"
    return _WITHOUT_ZEROS.format(f"CAST({value} AS VARCHAR)")
