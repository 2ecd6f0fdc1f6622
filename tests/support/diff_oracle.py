"""A naive oracle of the table diff: plain Python over lists of rows, sharing nothing with the engine."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
NAN = "NaN, which equals itself"


@dataclass
class Expected:
    """What a diff has to count."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: tuple[int, int] = (0, 0)
    cells: Counter[str] = field(default_factory=Counter)
    null_to_value: Counter[str] = field(default_factory=Counter)
    value_to_null: Counter[str] = field(default_factory=Counter)


def canonical(value: Any) -> Any:
    """Return a value that Python compares the way the diff is documented to."""
    if isinstance(value, float) and math.isnan(value):
        return NAN
    return 0.0 if isinstance(value, float) and value == 0 else value


def diff_naively(
    base: Sequence[Row],
    candidate: Sequence[Row],
    key: Sequence[str],
    columns: Sequence[str],
    is_near: Callable[[Any, Any], bool] = lambda a, b: False,
) -> Expected:
    """Compare two lists of rows by a key; without one, or where it is repeated, as multisets."""
    sides = [_by_key(rows, key) for rows in (base, candidate)]
    expected = Expected()
    if key:
        expected.repeated = tuple(sum(len(rows) > 1 for rows in side.values()) for side in sides)  # type: ignore[assignment]
    for each in set(sides[0]) | set(sides[1]):
        old, new = (side.get(each, []) for side in sides)
        if key and len(old) < 2 and len(new) < 2:
            _compare_pair(expected, old, new, columns, is_near)
        else:
            counts = [Counter(tuple(canonical(row[name]) for name in columns) for row in rows) for rows in (old, new)]
            expected.removed += (counts[0] - counts[1]).total()
            expected.added += (counts[1] - counts[0]).total()
            expected.unchanged += (counts[0] & counts[1]).total()
    return expected


def _compare_pair(
    expected: Expected, old: list[Row], new: list[Row], columns: Sequence[str], is_near: Callable[[Any, Any], bool]
) -> None:
    if not old or not new:
        expected.added += len(new)
        expected.removed += len(old)
        return
    cells = [(name, canonical(old[0][name]), canonical(new[0][name])) for name in columns]
    differing = [(name, a, b) for name, a, b in cells if a != b and not is_near(a, b)]
    for name, a, b in differing:
        expected.cells[name] += 1
        expected.null_to_value[name] += a is None
        expected.value_to_null[name] += b is None
    expected.changed += bool(differing)
    expected.unchanged += not differing


def _by_key(rows: Sequence[Row], key: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(canonical(row[name]) for name in key)].append(row)
    return found
