"""What is unusual about one column of a batch, and how the words for it go. Pure; the profiles are given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dartifact.compare.drift import profile_sql
from dartifact.compare.sql_text import quote
from dartifact.domain.drift_rules import DriftRules, Level, Rule
from dartifact.domain.drift_statistics import Figure, find_bounds, judge_distance, judge_level, judge_share
from dartifact.domain.profiles import FLAGS, ColumnProfile, Kind, Profile, add_columns, add_counts

# From here on a condition on rows stops a batch; fewer are a fact of life, and a warning.
MANY_ROWS = 3
# A distribution of fewer rows than this says nothing.
FEW = 30
# Windows whose lengths differ by no more than this factor hold rows that are as old.
_SAME_LENGTH = 1.1
# What was never seen in fewer rows than this may just be rare.
_SEEN_ENOUGH = 1000
_UNITS = {1000.0: "thousandths", 100.0: "hundredths, like cents", 60.0: "sixtieths", 10.0: "tenths"}


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


def look_at_column(
    name: str,
    column: ColumnProfile,
    before: Sequence[ColumnProfile],
    batch: Profile,
    history: Sequence[Profile],
    rules: DriftRules,
    hi: str,
) -> Iterator[Drift]:
    x = profile_sql.measured(name, column.layout.kind, hi)
    yield from _look_at_shares(name, column, before, batch, rules, x)
    yield from _look_at_flags(name, column, _like_windows(name, batch, history), before, batch, rules, x)
    yield from _look_at_values(name, column, before, rules, x)
    yield from _look_at_distribution(name, column, before, batch, history, rules)
    yield from _look_at_bins(name, column, before, rules)
    yield from _look_at_outliers(name, column, before, batch, history, rules, x)
    yield from _look_at_levels(name, column, before, rules)
    yield from _look_at_pairs(name, column, batch, history, rules)
    yield from _look_at_moves(name, batch, history, rules)


def _look_at_shares(
    name: str, column: ColumnProfile, before: Sequence[ColumnProfile], batch: Profile, rules: DriftRules, x: str
) -> Iterator[Drift]:
    rule = rules.of_column(name, "nulls")
    past = [(each.nulls, each.rows + each.nulls) for each in before]
    figure = judge_share(column.nulls, batch.rows, past, rule.least)
    if figure.is_unusual and column.nulls >= MANY_ROWS:
        words = f"{column.nulls:,} of {batch.rows:,} rows are null: {tell_shares(figure)}"
        yield Drift("nulls", name, rule.level, figure, words, column.nulls, f"{x} IS NULL")


def _like_windows(name: str, batch: Profile, history: Sequence[Profile], factor: float = 2.0) -> list[ColumnProfile]:
    """Return a column in the batches of windows about as long as this one's: how old rows are depends on that."""
    like = [each for each in history if 1 / factor <= each.seconds / max(batch.seconds, 1.0) <= factor]
    return [each.columns[name] for each in like if name in each.columns]


def _look_at_flags(
    name: str,
    column: ColumnProfile,
    like: Sequence[ColumnProfile],
    before: Sequence[ColumnProfile],
    batch: Profile,
    rules: DriftRules,
    x: str,
) -> Iterator[Drift]:
    rule = rules.of_column(name, "flags")
    for flag, what in FLAGS[column.layout.kind].items():
        past = like if flag == "stale" else before
        seen = [(each.flags[flag], each.rows) for each in past if flag in each.flags]
        if flag not in column.flags or len(seen) < rules.least_runs or (flag == "stale" and not _is_fresh(past)):
            continue
        count = column.flags[flag]
        figure = judge_share(count, column.rows, seen, rule.least)
        if count and (figure.is_unusual or _is_first(count, seen)):
            words = f"{count:,} of {column.rows:,} values {what}: {tell_shares(figure)}"
            condition = profile_sql.flag_condition(column.layout.kind, flag, x, batch.seconds)
            yield Drift(flag, name, _soften(rule, count, figure), figure, words, count, condition)


def _look_at_values(
    name: str, column: ColumnProfile, before: Sequence[ColumnProfile], rules: DriftRules, x: str
) -> Iterator[Drift]:
    layout, total = column.layout, add_columns(before)
    if layout.values is None:
        yield from _look_at_shapes(name, column, before, rules, x)
        return
    known = sum(column.values.values())
    if column.rows > known and total.rows >= _SEEN_ENOUGH:
        rule, count = rules.of_column(name, "new_values"), column.rows - known
        past = [(sum(each.new_values.values()), each.rows) for each in before]
        figure = judge_share(count, column.rows, past, rule.least)
        named = ", ".join(f"{value!r} ({of:,})" for value, of in list(column.new_values.items())[:3])
        words = f"{count:,} of {column.rows:,} values were never there before: {named}"
        level = _soften(rule, count, figure)
        yield Drift("new_values", name, level, figure, words, count, profile_sql.unknown_condition(layout.values, x))
    rule = rules.of_column(name, "vanished_values")
    for value, seen in total.values.items():
        expected = column.rows * seen / max(total.rows, 1)
        if column.values.get(value, 0) == 0 and expected >= rule.least and all(
            each.values.get(value) or each.new_values.get(value) for each in before if each.rows >= column.rows / 2
        ):  # fmt: skip
            words = f"the value {value!r} has vanished: about {expected:,.0f} rows with it are usual"
            yield Drift(f"vanished.{value}", name, rule.level, Figure(0, expected, rule.least), words)


def _look_at_shapes(
    name: str, column: ColumnProfile, before: Sequence[ColumnProfile], rules: DriftRules, x: str
) -> Iterator[Drift]:
    shapes = column.layout.shapes
    if shapes is None or not column.rows:
        return
    past = [(each.rows - sum(each.shapes.values()), each.rows) for each in before if each.layout.shapes == shapes]
    rule, count = rules.of_column(name, "new_shapes"), column.rows - sum(column.shapes.values())
    figure = judge_share(count, column.rows, past, rule.least) if past else None
    if figure is not None and figure.is_unusual and count >= MANY_ROWS:
        usual = max(column.shapes or {"": 0}, key=lambda each: column.shapes.get(each, 0))
        words = f"{count:,} of {column.rows:,} values have a form that was never there, unlike {usual!r}"
        condition = profile_sql.unknown_condition(shapes, profile_sql.shape_of(x))
        yield Drift("new_shapes", name, rule.level, figure, words, count, condition)


def _distributions(
    column: ColumnProfile, before: Sequence[ColumnProfile], *, lengths: bool
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Yield the counts of values, bins and shapes, here and before; `lengths`: those of texts are among them."""
    like = [each for each in before if each.layout.edges == column.layout.edges]
    if column.layout.values is not None:
        names = sorted(add_counts([each.values for each in (column, *before)]))
        yield [column.values.get(each, 0) for each in names], [[past.values.get(each, 0) for each in names]
                                                              for past in before]  # fmt: skip
    elif like and (lengths or column.layout.kind is not Kind.TEXT):
        yield list(column.bins), [list(each.bins) for each in like]
    if column.layout.shapes is not None:
        names = sorted(column.layout.shapes)
        yield [column.shapes.get(each, 0) for each in names], [[past.shapes.get(each, 0) for each in names]
                                                              for past in before]  # fmt: skip


def _look_at_distribution(
    name: str,
    column: ColumnProfile,
    before: Sequence[ColumnProfile],
    batch: Profile,
    history: Sequence[Profile],
    rules: DriftRules,
) -> Iterator[Drift]:
    rule = rules.of_column(name, "distribution")
    if column.layout.kind is Kind.TIME:
        # in a window twice as long half of the rows are older than all before
        like = _like_windows(name, batch, history, factor=_SAME_LENGTH)
        before = [each for each in like if each.layout.kind is Kind.TIME]
        if len(before) < rules.least_runs:
            return
    if column.rows < FEW or _only_grows(column, before):
        return
    # One more digit in a number that is part of a text is no drift: lengths are judged by their mean.
    for counts, past in _distributions(column, before, lengths=False):
        figure = judge_distance(counts, past, rule.least)
        if figure.is_unusual:
            total = [sum(each) for each in zip(*past, strict=True)]
            moved = _name_moves(column, before, counts, total)
            words = f"{figure.measured:.0%} of the rows lie elsewhere than usual (limit {figure.limit:.0%}): {moved}"
            yield Drift("distribution", name, rule.level, figure, words)
            return


def _look_at_bins(
    name: str, column: ColumnProfile, before: Sequence[ColumnProfile], rules: DriftRules
) -> Iterator[Drift]:
    """Look for a value that many rows have at once, as a default has that somebody has put in."""
    like = [each for each in before if each.layout.edges == column.layout.edges and each.rows >= FEW]
    if column.layout.kind is not Kind.NUMBER or len(like) < rules.least_runs or _only_grows(column, before):
        return
    rule = rules.of_column(name, "piled_up")
    figures = [judge_share(count, column.rows, [(each.bins[n], each.rows) for each in like], rule.least)
               for n, count in enumerate(column.bins)]  # fmt: skip
    worst = max(range(len(figures)), key=lambda n: figures[n].measured - figures[n].limit, default=None)
    if worst is not None and figures[worst].is_unusual and column.bins[worst] >= FEW:
        place, figure = list(profile_sql.name_bins(column.layout.edges))[worst], figures[worst]
        words = f"{column.bins[worst]:,} of {column.rows:,} values lie in {place}: {tell_shares(figure)}"
        yield Drift("piled_up", name, rule.level, figure, words)


def _name_moves(column: ColumnProfile, before: Sequence[ColumnProfile], counts: list[int], total: list[int]) -> str:
    layout, names = column.layout, list[str]()
    if layout.values is not None:
        names = sorted(add_counts([each.values for each in (column, *before)]))
    elif len(counts) == len(column.bins):
        unit = {Kind.NUMBER: "", Kind.TIME: " s old", Kind.TEXT: " characters"}[layout.kind]
        names = [each + unit for each in profile_sql.name_bins(layout.edges)]
    else:
        names = sorted(layout.shapes or ())
    shares = [(mine / max(sum(counts), 1), theirs / max(sum(total), 1), each)
              for mine, theirs, each in zip(counts, total, names, strict=True)]  # fmt: skip
    most = sorted(shares, key=lambda each: -abs(each[0] - each[1]))[:3]
    return ", ".join(f"{each} {theirs:.1%} → {mine:.1%}" for mine, theirs, each in most)


def _look_at_outliers(
    name: str,
    column: ColumnProfile,
    before: Sequence[ColumnProfile],
    batch: Profile,
    history: Sequence[Profile],
    rules: DriftRules,
    x: str,
) -> Iterator[Drift]:
    total = add_columns(before)
    if not column.measures or not total.measures or total.rows < _SEEN_ENOUGH or _only_grows(column, before):
        return
    low, high = find_bounds(total.measures["min"], total.measures["max"], total.measures["q50"])
    if column.layout.kind is Kind.TIME:
        high += _stretch(batch, history)
    least, most = column.measures["min"], column.measures["max"]
    size = f"length({x})" if column.layout.kind is Kind.TEXT else x
    rule = rules.of_column(name, "outliers")
    unit = {Kind.NUMBER: "", Kind.TIME: " s before the end of the window", Kind.TEXT: " characters"}[column.layout.kind]
    for bound, value, word, sign in ((low, least, "least", "<"), (high, most, "most", ">")):
        if column.layout.kind is Kind.TIME and sign == "<":
            continue  # young rows are as they should be; those of the future are counted as such
        if (value < bound) if sign == "<" else (value > bound):
            seen = total.measures["min" if sign == "<" else "max"]
            words = f"values go to {value:,.6g}{unit}; {seen:,.6g} is the {word} that was ever there"
            figure = Figure(value, seen, bound)
            yield Drift("outliers", name, rule.level, figure, words, -1, f"{size} {sign} {bound!r}")


def _stretch(batch: Profile, history: Sequence[Profile]) -> float:
    """Return by how many seconds a window is longer than any before: so much older its rows may be, after an outage."""
    return max(0.0, batch.seconds - max(each.seconds for each in history))


def _look_at_levels(
    name: str, column: ColumnProfile, before: Sequence[ColumnProfile], rules: DriftRules
) -> Iterator[Drift]:
    if column.rows < FEW or column.layout.kind is Kind.TIME or _only_grows(column, before):
        return
    past = [each for each in before if each.rows >= FEW and each.measures]
    if len(past) < rules.least_runs:
        return
    rule = rules.of_column(name, "median" if column.layout.kind is Kind.NUMBER else "length")
    check = "median" if column.layout.kind is Kind.NUMBER else "length"
    key = "q50" if check == "median" else "mean"
    if min(each.measures[key] for each in (*past, column)) > 0:
        figure = judge_level(
            math.log(column.measures[key]), [math.log(each.measures[key]) for each in past], rule.least
        )
        if figure.is_unusual:
            usual, limit = math.exp(figure.usual), math.exp(figure.limit)
            what = "the median is" if check == "median" else "the mean length is"
            words = (
                f"{what} {column.measures[key]:,.6g}, {usual:,.6g} is usual{_guess_unit(column.measures[key], usual)}"
            )
            yield Drift(check, name, rule.level, Figure(column.measures[key], usual, limit), words)
    rule = rules.of_column(name, "distinct")
    if column.layout.values is None:
        shares = [math.log(max(each.distinct, 1) / each.rows) for each in past if 0.5 <= each.rows / column.rows <= 2]
        if len(shares) >= rules.least_runs:
            figure = judge_level(math.log(max(column.distinct, 1) / column.rows), shares, rule.least)
            if figure.is_unusual and figure.measured < figure.usual:
                usual = math.exp(figure.usual) * column.rows
                words = f"about {column.distinct:,} different values where {usual:,.0f} are usual"
                limit = math.exp(figure.limit) * column.rows
                yield Drift("distinct", name, rule.level, Figure(column.distinct, usual, limit), words)


def _look_at_pairs(
    name: str, column: ColumnProfile, batch: Profile, history: Sequence[Profile], rules: DriftRules
) -> Iterator[Drift]:
    rule = rules.of_column(name, "pairs")
    for pair, counts in batch.pairs.items():
        first, second = pair.split("|")
        past = [each.pairs[pair] for each in history if pair in each.pairs]
        if first != name or len(past) < rules.least_runs or sum(each.rows for each in history) < _SEEN_ENOUGH:
            continue
        for index, (word, sign) in enumerate((("less", "<"), ("greater", ">"))):
            if counts[index] and not sum(each[index] for each in past) and sum(map(sum, past)) >= _SEEN_ENOUGH:
                figure = Figure(counts[index] / max(batch.rows, 1), 0.0, rule.least)
                said = {"less": "earlier", "greater": "later"}[word] if column.layout.kind is Kind.TIME else word
                words = f"in {counts[index]:,} rows {first} is {said} than {second}, which never happened before"
                condition = f"{quote(first)} {sign} {quote(second)}"
                yield Drift(f"{_name_sign(sign)}.{second}", name, _soften(rule, counts[index], figure), figure, words,
                            counts[index], condition)  # fmt: skip


def _name_sign(sign: str) -> str:
    return "less_than" if sign == "<" else "greater_than"


def _look_at_moves(name: str, batch: Profile, history: Sequence[Profile], rules: DriftRules) -> Iterator[Drift]:
    past = add_counts([each.moves.get(name, {}) for each in history])
    if sum(past.values()) < _SEEN_ENOUGH:
        return
    rule = rules.of_column(name, "regressions")
    for move, count in batch.moves.get(name, {}).items():
        old, new = move.split(" → ")
        back = past.get(f"{new} → {old}", 0)
        if not past.get(move, 0) and back >= FEW:
            figure = Figure(count / max(batch.known, 1), 0.0, rule.least)
            words = f"{count:,} rows go back from {old!r} to {new!r}; only the other way was ever seen ({back:,} times)"
            yield Drift(f"regression.{new}", name, _soften(rule, count, figure), figure, words)


def _is_first(count: int, past: Sequence[tuple[int, int]]) -> bool:
    return count > 0 and not sum(each for each, _ in past) and sum(of for _, of in past) >= _SEEN_ENOUGH


def _soften(rule: Rule, count: int, figure: Figure) -> Level:
    """Let what is rare, and new, be a warning."""
    is_rare = count < MANY_ROWS or not figure.is_unusual
    return Level.WARN if rule.level is Level.FAIL and is_rare else rule.level


def _is_fresh(before: Sequence[ColumnProfile]) -> bool:
    """Say whether a time is one of the window: what says when a row has changed, not when something was born."""
    rows = sum(each.rows for each in before)
    return sum(each.flags.get("stale", 0) for each in before) <= 0.01 * rows


def _only_grows(column: ColumnProfile, before: Sequence[ColumnProfile]) -> bool:
    """Say whether a number is one that counts up, like an id: each batch has it higher than the one before."""
    if column.layout.kind is not Kind.NUMBER:
        return False
    middles = [each.measures["q50"] for each in before if "q50" in each.measures]
    return len(middles) > 2 and all(newer > older for newer, older in pairwise(middles))


def _guess_unit(measured: float, usual: float) -> str:
    for factor, name in _UNITS.items():
        for ratio, words in ((measured / usual, f"{factor:g} times as much"), (usual / measured, f"in {name}")):
            if 0.9 < ratio / factor < 1.1:
                return f": is it {words}?" if ratio == usual / measured else f": it is {words}"
    return ""


def measure_strangeness(column: ColumnProfile, before: Sequence[ColumnProfile]) -> float:
    """Return how far a column is from earlier ones, 0 to 1: the largest distance of bins, values and shapes."""
    total = add_columns(before)
    figures = [
        judge_distance(mine, others, 0.0).measured for mine, others in _distributions(column, before, lengths=True)
    ]
    known = sum(column.values.values()) if column.layout.values is not None else sum(column.shapes.values())
    unknown = column.layout.values is not None or column.layout.shapes is not None
    figures.append(1 - known / column.rows if unknown and column.rows and total.rows else 0.0)
    return max(figures)


def tell_shares(figure: Figure) -> str:
    """Say how large a share is, and was."""
    return f"{figure.measured:.2%} where {figure.usual:.2%} is usual (limit {figure.limit:.2%})"
