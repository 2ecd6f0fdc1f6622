"""Drift in how the values of one column lie: distribution, bins, outliers, middle and number of values. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dartifact.compare.drift import profile_sql
from dartifact.compare.drift.cases import FEW, SEEN_ENOUGH, ColumnCase, Drift, describe_share
from dartifact.domain.drift_statistics import Figure, find_bounds, judge_distance, judge_level, judge_share
from dartifact.domain.marks import mark
from dartifact.domain.profiles import ColumnProfile, Kind, add_columns, add_counts

# Windows whose lengths differ by no more than this factor hold rows that are as old.
_SAME_LENGTH = 1.1
_UNITS = {1000.0: "thousandths", 100.0: "hundredths, like cents", 60.0: "sixtieths", 10.0: "tenths"}


def find_moved_distribution(case: ColumnCase) -> Iterator[Drift]:
    """Find a distribution that is further from all earlier ones than they are from each other."""
    rule, before = case.rule("distribution"), case.before
    if case.kind is Kind.TIME:
        # in a window twice as long half of the rows are older than all before
        like = case.from_like_windows(factor=_SAME_LENGTH)
        before = [past for past in like if past.layout.kind is Kind.TIME]
        if len(before) < case.rules.least_runs:
            return
    if case.column.rows < FEW or case.only_grows(before):
        return
    # One more digit in a number that is part of a text is no drift: lengths are judged by their mean.
    for counts, past in _distributions(case.column, before, lengths=False):
        figure = judge_distance(counts, past, rule.least)
        if figure.is_unusual:
            total = [sum(bin_counts) for bin_counts in zip(*past, strict=True)]
            moved = _name_shifts(case.column, before, counts, total)
            words = f"{figure.measured:.0%} of the rows lie elsewhere than usual (limit {figure.limit:.0%}): {moved}"
            yield Drift("distribution", case.name, rule.level, figure, words)
            return


def find_piled_up(case: ColumnCase) -> Iterator[Drift]:
    """Find a value that many rows have at once, as a default has that somebody has put in."""
    column, rule = case.column, case.rule("piled_up")
    like = [past for past in case.with_same_edges() if past.rows >= FEW]
    if case.kind is not Kind.NUMBER or len(like) < case.rules.least_runs or case.only_grows():
        return
    figures = [
        judge_share(count, column.rows, [(past.bins[place], past.rows) for past in like], rule.least)
        for place, count in enumerate(column.bins)
    ]
    worst = max(range(len(figures)), key=lambda place: figures[place].measured - figures[place].limit, default=None)
    if worst is not None and figures[worst].is_unusual and column.bins[worst] >= FEW:
        where, figure = profile_sql.name_bins(column.layout.edges)[worst], figures[worst]
        words = f"{column.bins[worst]:,} of {column.rows:,} values lie in {mark(where)}: {describe_share(figure)}"
        yield Drift("piled_up", case.name, rule.level, figure, words)


def find_outliers(case: ColumnCase) -> Iterator[Drift]:
    """Find values far beyond what was ever there; lengths of a text, seconds before the window's end of a time."""
    column, total, rule = case.column, add_columns(case.before), case.rule("outliers")
    if not column.measures or not total.measures or total.rows < SEEN_ENOUGH or case.only_grows():
        return
    low, high = find_bounds(total.measures["min"], total.measures["max"], total.measures["q50"])
    if case.kind is Kind.TIME:
        high += _stretch(case)
    unit = {Kind.NUMBER: "", Kind.TIME: " s before the end of the window", Kind.TEXT: " characters"}[case.kind]
    size = f"length({case.x})" if case.kind is Kind.TEXT else case.x

    def describe(measure: str, word: str, sign: str, bound: float) -> Drift:
        value, seen = column.measures[measure], total.measures[measure]
        words = f"values go to {mark(f'{value:,.6g}{unit}')}; {mark(f'{seen:,.6g}')} is the {word} ever seen"
        figure = Figure(value, seen, bound)
        return Drift("outliers", case.name, rule.level, figure, words, -1, f"{size} {sign} {bound!r}")

    # Young rows are as they should be; those of the future are counted as such.
    if column.measures["min"] < low and case.kind is not Kind.TIME:
        yield describe("min", "least", "<", low)
    if column.measures["max"] > high:
        yield describe("max", "most", ">", high)


def _stretch(case: ColumnCase) -> float:
    """Return by how many seconds a window is longer than any before: so much older its rows may be, after an outage."""
    return max(0.0, case.batch.seconds - max(profile.seconds for profile in case.history))


def find_levels(case: ColumnCase) -> Iterator[Drift]:
    """Find a middle, or a number of different values, that is not where it was in all earlier batches."""
    past = [profile for profile in case.before if profile.rows >= FEW and profile.measures]
    if case.column.rows < FEW or case.kind is Kind.TIME or len(past) < case.rules.least_runs or case.only_grows():
        return
    yield from _find_other_middle(case, past)
    yield from _find_fewer_values(case, past)


def _find_other_middle(case: ColumnCase, past: Sequence[ColumnProfile]) -> Iterator[Drift]:
    """Judge the median of numbers, the mean length of texts, on a logarithmic scale: all have to be positive."""
    is_number = case.kind is Kind.NUMBER
    check, measure = ("median", "q50") if is_number else ("length", "mean")
    rule, measured = case.rule(check), case.column.measures[measure]
    levels = [profile.measures[measure] for profile in past]
    if min(*levels, measured) <= 0:
        return
    figure = judge_level(math.log(measured), [math.log(level) for level in levels], rule.least)
    if figure.is_unusual:
        usual, limit = math.exp(figure.usual), math.exp(figure.limit)
        what = "the median is" if is_number else "the mean length is"
        words = f"{what} {mark(f'{measured:,.6g}')}, {mark(f'{usual:,.6g}')} is usual{_guess_unit(measured, usual)}"
        yield Drift(check, case.name, rule.level, Figure(measured, usual, limit), words)


def _find_fewer_values(case: ColumnCase, past: Sequence[ColumnProfile]) -> Iterator[Drift]:
    """Judge the share of different values among batches of at most twice the size, on a logarithmic scale."""
    column, rule = case.column, case.rule("distinct")
    if column.layout.values is not None:
        return
    like = [profile for profile in past if 0.5 <= profile.rows / column.rows <= 2]
    if len(like) < case.rules.least_runs:
        return
    shares = [math.log(max(profile.distinct, 1) / profile.rows) for profile in like]
    figure = judge_level(math.log(max(column.distinct, 1) / column.rows), shares, rule.least)
    if figure.is_unusual and figure.measured < figure.usual:
        usual, limit = math.exp(figure.usual) * column.rows, math.exp(figure.limit) * column.rows
        words = f"about {column.distinct:,} different values where {usual:,.0f} are usual"
        yield Drift("distinct", case.name, rule.level, Figure(column.distinct, usual, limit), words)


def _guess_unit(measured: float, usual: float) -> str:
    for factor, name in _UNITS.items():
        if 0.9 < measured / usual / factor < 1.1:
            return f": it is {factor:g} times as much"
        if 0.9 < usual / measured / factor < 1.1:
            return f": is it in {name}?"
    return ""


def measure_unlikeness(column: ColumnProfile, before: Sequence[ColumnProfile]) -> float:
    """Return how far a column is from earlier ones, 0 to 1: the largest distance of bins, values and shapes."""
    figures = [
        judge_distance(counts, past, 0.0).measured for counts, past in _distributions(column, before, lengths=True)
    ]
    known = sum(column.values.values()) if column.layout.values is not None else sum(column.shapes.values())
    has_known = column.layout.values is not None or column.layout.shapes is not None
    figures.append(1 - known / column.rows if has_known and column.rows and add_columns(before).rows else 0.0)
    return max(figures)


def _distributions(
    column: ColumnProfile, before: Sequence[ColumnProfile], *, lengths: bool
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Yield the counts of values, bins and shapes, here and before; `lengths`: those of texts are among them."""
    like = [past for past in before if past.layout.edges == column.layout.edges]
    if column.layout.values is not None:
        names = sorted(add_counts([profile.values for profile in (column, *before)]))
        mine = [column.values.get(name, 0) for name in names]
        yield mine, [[past.values.get(name, 0) for name in names] for past in before]
    elif like and (lengths or column.layout.kind is not Kind.TEXT):
        yield list(column.bins), [list(past.bins) for past in like]
    if column.layout.shapes is not None:
        names = sorted(column.layout.shapes)
        mine = [column.shapes.get(name, 0) for name in names]
        yield mine, [[past.shapes.get(name, 0) for name in names] for past in before]


def _name_shifts(column: ColumnProfile, before: Sequence[ColumnProfile], counts: list[int], total: list[int]) -> str:
    """Name the three values, bins or shapes whose shares differ most."""
    shares = [
        (mine / max(sum(counts), 1), theirs / max(sum(total), 1), name)
        for mine, theirs, name in zip(counts, total, _name_places(column, before, len(counts)), strict=True)
    ]
    most = sorted(shares, key=lambda share: -abs(share[0] - share[1]))[:3]
    return ", ".join(f"{mark(name)} {theirs:.1%} → {mine:.1%}" for mine, theirs, name in most)


def _name_places(column: ColumnProfile, before: Sequence[ColumnProfile], count: int) -> list[str]:
    layout = column.layout
    if layout.values is not None:
        return sorted(add_counts([profile.values for profile in (column, *before)]))
    if count == len(column.bins):
        unit = {Kind.NUMBER: "", Kind.TIME: " s old", Kind.TEXT: " characters"}[layout.kind]
        return [name + unit for name in profile_sql.name_bins(layout.edges)]
    return sorted(layout.shapes or ())
