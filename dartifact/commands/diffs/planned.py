"""What one diff is to compare, before anything is: its tables, one after the other, and those of one side only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dartifact.commands.diffs.store import StoredDiff
from dartifact.compare.diff.report import LoneTables


@dataclass(frozen=True, slots=True)
class PlannedDiffs:
    """The tables that both sides have, each with what compares it, and the names of those that one side has alone."""

    tables: tuple[tuple[str, Callable[[], StoredDiff]], ...]
    lone: LoneTables = field(default_factory=LoneTables)
