"""Which drift is looked for, how much of it counts, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LEAST_RUNS, LEAST_ROWS, HISTORY = 5, 200, 30


class Level(StrEnum):
    """What a drift comes to."""

    FAIL = "fail"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of drift comes to, and the smallest of it that counts, whatever history says is unusual."""

    level: Level
    least: float


# least: a share of rows (nulls, flags, categories, piled_up, outliers, pairs, repeats, regressions), a distance from 0
# to 1 (distribution), the logarithm of a ratio (volume, median, distinct, length).
TABLE_RULES: Mapping[str, Rule] = {
    "volume": Rule(Level.FAIL, 0.5),
    "deletions": Rule(Level.FAIL, 0.05),
    "repeats": Rule(Level.FAIL, 0.1),
    "swapped": Rule(Level.FAIL, 0.0),
}
COLUMN_RULES: Mapping[str, Rule] = {
    "nulls": Rule(Level.FAIL, 0.02),
    "flags": Rule(Level.FAIL, 0.02),
    "new_values": Rule(Level.FAIL, 0.02),
    "vanished_values": Rule(Level.FAIL, 30.0),
    "new_shapes": Rule(Level.FAIL, 0.02),
    "distribution": Rule(Level.FAIL, 0.15),
    "piled_up": Rule(Level.FAIL, 0.05),
    "outliers": Rule(Level.FAIL, 0.002),
    "median": Rule(Level.FAIL, 0.4),
    "distinct": Rule(Level.FAIL, 0.7),
    "length": Rule(Level.FAIL, 0.3),
    "pairs": Rule(Level.FAIL, 0.002),
    "regressions": Rule(Level.FAIL, 0.002),
}


@dataclass(frozen=True, slots=True)
class DriftRules:
    """The rules of one dataset; what it does not declare is as in `TABLE_RULES` and `COLUMN_RULES`."""

    history: int = HISTORY
    least_runs: int = LEAST_RUNS
    least_rows: int = LEAST_ROWS
    table: Mapping[str, Rule] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)

    def of_table(self, check: str) -> Rule:
        """Return the rule of a check on the batch as a whole."""
        return self.table.get(check, TABLE_RULES[check])

    def of_column(self, column: str, check: str) -> Rule:
        """Return the rule of a check on one column."""
        return self.columns.get(column, {}).get(check, COLUMN_RULES[check])
