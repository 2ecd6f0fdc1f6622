"""What a check of drift looks at, one column of a batch and its history, and what it finds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dartifact.compare.drift import profile_sql
from dartifact.domain.drift_rules import DriftRules, Level, Rule
from dartifact.domain.drift_statistics import Figure
from dartifact.domain.profiles import ColumnProfile, Kind, Profile

# From here on a condition on rows stops a batch; fewer are a fact of life, and a warning.
MANY_ROWS = 3
# A distribution of fewer rows than this says nothing.
FEW = 30
# What was never seen in fewer rows than this may just be rare.
SEEN_ENOUGH = 1000


@dataclass(frozen=True, slots=True)
class Drift:
    """One way in which a batch differs: `condition` finds its rows, where it is one of rows; `count` is how many."""

    check: str
    column: str | None
    level: Level
    figure: Figure
    words: str
    count: int = 0
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnCase:
    """One column of a batch: `before` are the profiles of the column in the batches of `history`, newest first.

    A batch of the history that lacked the column, or had it in another kind, is missing from `before`. `hi` is the end
    of the window as SQL.
    """

    name: str
    column: ColumnProfile
    before: Sequence[ColumnProfile]
    batch: Profile
    history: Sequence[Profile]
    rules: DriftRules
    hi: str

    @property
    def kind(self) -> Kind:
        """Return how the column is measured."""
        return self.column.layout.kind

    @property
    def x(self) -> str:
        """Return the expression of what is measured of the column."""
        return profile_sql.measured(self.name, self.kind, self.hi)

    def rule(self, check: str) -> Rule:
        """Return the rule of a check on this column."""
        return self.rules.of_column(self.name, check)

    def from_like_windows(self, factor: float = 2.0) -> list[ColumnProfile]:
        """Return the column in batches whose windows are about as long: how old rows are depends on that."""
        seconds = max(self.batch.seconds, 1.0)
        like = [profile for profile in self.history if 1 / factor <= profile.seconds / seconds <= factor]
        return [profile.columns[self.name] for profile in like if self.name in profile.columns]

    def with_same_edges(self) -> list[ColumnProfile]:
        """Return those of `before` whose bins are the same."""
        return [past for past in self.before if past.layout.edges == self.column.layout.edges]

    def only_grows(self, before: Sequence[ColumnProfile] | None = None) -> bool:
        """Say whether a number is one that counts up, like an id: each batch has it higher than the one before."""
        if self.kind is not Kind.NUMBER:
            return False
        past = self.before if before is None else before
        middles = [profile.measures["q50"] for profile in past if "q50" in profile.measures]
        return len(middles) > 2 and all(newer > older for newer, older in pairwise(middles))


def soften(rule: Rule, count: int, figure: Figure) -> Level:
    """Let what is rare, and new, be a warning."""
    is_rare = count < MANY_ROWS or not figure.is_unusual
    return Level.WARN if rule.level is Level.FAIL and is_rare else rule.level


def describe_share(figure: Figure) -> str:
    """Say how large a share is, and was."""
    return f"{figure.measured:.2%} where {figure.usual:.2%} is usual (limit {figure.limit:.2%})"
