"""What is unusual about one column of a batch: all checks of it, in the order of the report. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dartifact.compare.drift.cases import ColumnCase, Drift
from dartifact.compare.drift.distributions import (
    find_levels,
    find_moved_distribution,
    find_outliers,
    find_piled_up,
)
from dartifact.compare.drift.rows import find_flags, find_moves, find_nulls, find_pairs, find_values

_CHECKS = (
    find_nulls,
    find_flags,
    find_values,
    find_moved_distribution,
    find_piled_up,
    find_outliers,
    find_levels,
    find_pairs,
    find_moves,
)


def find_column_drifts(case: ColumnCase) -> Iterator[Drift]:
    """Yield what every check finds unusual about a column."""
    for check in _CHECKS:
        yield from check(case)
