"""When a figure is unusual: against the sampling error, against the spread of history, and in its size.

Each statistic has to pass three limits: an effect that matters to somebody, what chance alone does with so few rows,
and what earlier batches did among themselves (they are no samples of one urn). Effect sizes instead of p-values,
which say "different" of any two batches that are large enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Standard errors and robust deviations (1.4826 x the median absolute deviation is one for normal figures).
_SIGMAS = 6.0
_MAD = 1.4826
# Rows from which on the shares of a batch say something, however large the one is that is compared with it.
_ENOUGH = 200
# How much further than ever before is unusual.
_MORE = 1.5


@dataclass(frozen=True, slots=True)
class Figure:
    """One statistic: what was measured, what is usual, and the limit that it passed or not."""

    measured: float
    usual: float
    limit: float

    @property
    def is_unusual(self) -> bool:
        """Say whether it is past its limit."""
        return self.measured > self.limit if self.limit >= self.usual else self.measured < self.limit


def judge_share(count: int, rows: int, before: Sequence[tuple[int, int]], least: float) -> Figure:
    """Judge a share that should not rise: `count` of `rows`; `before` holds the same of earlier batches.

    What never happened before counts from a tenth of `least` on.
    """
    seen, total = sum(count for count, _ in before), sum(of for _, of in before)
    usual = seen / total if total else 0.0
    chance = _SIGMAS * math.sqrt((usual * (1 - usual) + 1 / (total + 1)) / max(rows, 1))
    worst = max((count / of for count, of in before if of and of >= rows / 10), default=0.0)
    effect = least if seen else least / 10
    limit = usual + max(effect, chance if seen else 0.0, _MORE * (worst - usual))
    return Figure(count / rows if rows else 0.0, usual, limit)


def judge_level(measured: float, before: Sequence[float], least: float, chance: float = 0.0) -> Figure:
    """Judge a figure that should stay where it is; `least` and `chance` are distances from the median of history."""
    usual = median(before)
    deviations = [abs(level - usual) for level in before]
    distance = max(least, chance, _SIGMAS * _MAD * median(deviations), _MORE * max(deviations))
    return Figure(measured, usual, usual + math.copysign(distance, measured - usual))


def judge_distance(counts: Sequence[int], before: Sequence[Sequence[int]], least: float) -> Figure:
    """Judge how far a distribution is from that of all earlier batches: half the sum of differences of the shares.

    That is the total variation distance: the share of rows that would have to move. 0 to 1.
    """
    total = [sum(bin_counts) for bin_counts in zip(*before, strict=True)]
    rows = sum(counts)
    chance = 1.5 * math.sqrt(len([bin_total for bin_total in total if bin_total]) / max(rows, 1))
    like = [measure_distance(other, total) for other in before if sum(other) >= min(rows / 4, _ENOUGH)]
    usual = median(like) if like else 0.0
    limit = max(least, chance, 2 * max(like, default=0.0))
    return Figure(measure_distance(counts, total), usual, limit)


def measure_distance(counts: Sequence[int], others: Sequence[int]) -> float:
    """Return the total variation distance of two distributions over the same bins; 0 when one is empty."""
    mine, theirs = sum(counts), sum(others)
    if not mine or not theirs:
        return 0.0
    return sum(abs(a / mine - b / theirs) for a, b in zip(counts, others, strict=True)) / 2


def find_bounds(low: float, high: float, middle: float) -> tuple[float, float]:
    """Return how far values may go beyond what was ever seen: half as far again from the middle.

    On a logarithmic scale where all values are positive, since amounts spread by factors.
    """
    if low > 0:
        down, up = math.log(middle / low), math.log(high / middle)
        return low * math.exp(-0.5 * down - 0.1), high * math.exp(0.5 * up + 0.1)
    reach = 0.5 * (high - low)
    return low - reach, high + reach
