"""Drift in the rows of one column: nulls, flags, values, shapes, pairs and moves that are more, or new. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dartifact.compare.drift import profile_sql
from dartifact.compare.drift.cases import FEW, MANY_ROWS, SEEN_ENOUGH, ColumnCase, Drift, describe_share, soften
from dartifact.domain.drift_statistics import Figure, judge_share
from dartifact.domain.marks import mark
from dartifact.domain.profiles import FLAGS, ColumnProfile, Kind, add_columns, add_counts
from dartifact.domain.sql_text import quote


def find_nulls(case: ColumnCase) -> Iterator[Drift]:
    """Find more nulls than usual."""
    column, rows, rule = case.column, case.batch.rows, case.rule("nulls")
    past = [(profile.nulls, profile.rows + profile.nulls) for profile in case.before]
    figure = judge_share(column.nulls, rows, past, rule.least)
    if figure.is_unusual and column.nulls >= MANY_ROWS:
        words = f"{column.nulls:,} of {rows:,} rows are null: {describe_share(figure)}"
        yield Drift("nulls", case.name, rule.level, figure, words, column.nulls, f"{case.x} IS NULL")


def find_flags(case: ColumnCase) -> Iterator[Drift]:
    """Find values that carry a flag (blank, negative, stale…) more often than usual, or for the first time."""
    column, rule = case.column, case.rule("flags")
    for flag, what in FLAGS[case.kind].items():
        past = case.from_like_windows() if flag == "stale" else case.before
        seen = [(profile.flags[flag], profile.rows) for profile in past if flag in profile.flags]
        has_history = len(seen) >= case.rules.least_runs and (flag != "stale" or _is_fresh(past))
        if flag not in column.flags or not has_history:
            continue
        count = column.flags[flag]
        figure = judge_share(count, column.rows, seen, rule.least)
        if count and (figure.is_unusual or _is_first(count, seen)):
            words = f"{count:,} of {column.rows:,} values {what}: {describe_share(figure)}"
            condition = profile_sql.flag_condition(case.kind, flag, case.x, case.batch.seconds)
            yield Drift(flag, case.name, soften(rule, count, figure), figure, words, count, condition)


def find_values(case: ColumnCase) -> Iterator[Drift]:
    """Find categories that are new and categories that have vanished, or, of a free text, forms that are new."""
    if case.column.layout.values is None:
        yield from _find_new_shapes(case)
    else:
        yield from _find_new_values(case, case.column.layout.values)
        yield from _find_vanished_values(case)


def _find_new_values(case: ColumnCase, known: Sequence[str]) -> Iterator[Drift]:
    column = case.column
    count = column.rows - sum(column.values.values())
    if count <= 0 or add_columns(case.before).rows < SEEN_ENOUGH:
        return
    rule = case.rule("new_values")
    past = [(sum(profile.new_values.values()), profile.rows) for profile in case.before]
    figure = judge_share(count, column.rows, past, rule.least)
    named = ", ".join(f"{mark(repr(value))} ({of:,})" for value, of in list(column.new_values.items())[:3])
    words = f"{count:,} of {column.rows:,} values were never seen before: {named}"
    condition = profile_sql.unknown_condition(known, case.x)
    yield Drift("new_values", case.name, soften(rule, count, figure), figure, words, count, condition)


def _find_vanished_values(case: ColumnCase) -> Iterator[Drift]:
    column, total, rule = case.column, add_columns(case.before), case.rule("vanished_values")
    large = [profile for profile in case.before if profile.rows >= column.rows / 2]
    for value, seen in total.values.items():
        expected = column.rows * seen / max(total.rows, 1)
        if column.values.get(value, 0) or expected < rule.least:
            continue
        if all(profile.values.get(value) or profile.new_values.get(value) for profile in large):
            words = f"the value {mark(repr(value))} has vanished: about {expected:,.0f} rows with it are usual"
            yield Drift(f"vanished.{value}", case.name, rule.level, Figure(0, expected, rule.least), words)


def _find_new_shapes(case: ColumnCase) -> Iterator[Drift]:
    column, shapes = case.column, case.column.layout.shapes
    if shapes is None or not column.rows:
        return
    like = [profile for profile in case.before if profile.layout.shapes == shapes]
    past = [(profile.rows - sum(profile.shapes.values()), profile.rows) for profile in like]
    rule, count = case.rule("new_shapes"), column.rows - sum(column.shapes.values())
    figure = judge_share(count, column.rows, past, rule.least) if past else None
    if figure is not None and figure.is_unusual and count >= MANY_ROWS:
        usual = mark(repr(max(column.shapes or {"": 0}, key=lambda shape: column.shapes.get(shape, 0))))
        words = f"{count:,} of {column.rows:,} values have a form that was never seen before, unlike {usual}"
        condition = profile_sql.unknown_condition(shapes, profile_sql.shape_of(case.x))
        yield Drift("new_shapes", case.name, rule.level, figure, words, count, condition)


def find_pairs(case: ColumnCase) -> Iterator[Drift]:
    """Find rows in which the column is on the side of another column on which it never was."""
    for pair, counts in case.batch.pairs.items():
        first, second = pair.split("|")
        past = [profile.pairs[pair] for profile in case.history if pair in profile.pairs]
        has_history = len(past) >= case.rules.least_runs and sum(map(sum, past)) >= SEEN_ENOUGH
        if first != case.name or not has_history or sum(profile.rows for profile in case.history) < SEEN_ENOUGH:
            continue
        for side, sign in enumerate("<>"):
            if counts[side] and not sum(sides[side] for sides in past):
                yield _describe_pair(case, second, sign, counts[side])


def _describe_pair(case: ColumnCase, second: str, sign: str, count: int) -> Drift:
    rule = case.rule("pairs")
    figure = Figure(count / max(case.batch.rows, 1), 0.0, rule.least)
    number, time = ("less", "earlier") if sign == "<" else ("greater", "later")
    said = time if case.kind is Kind.TIME else number
    words = f"in {count:,} rows {case.name} is {said} than {second}, which never happened before"
    condition = f"{quote(case.name)} {sign} {quote(second)}"
    return Drift(f"{number}_than.{second}", case.name, soften(rule, count, figure), figure, words, count, condition)


def find_moves(case: ColumnCase) -> Iterator[Drift]:
    """Find rows that go from one category to another where only the other way was ever seen."""
    past = add_counts([profile.moves.get(case.name, {}) for profile in case.history])
    if sum(past.values()) < SEEN_ENOUGH:
        return
    rule = case.rule("regressions")
    for move, count in case.batch.moves.get(case.name, {}).items():
        old, new = move.split(" → ")
        back = past.get(f"{new} → {old}", 0)
        if not past.get(move, 0) and back >= FEW:
            figure = Figure(count / max(case.batch.known, 1), 0.0, rule.least)
            way = f"from {mark(repr(old))} to {mark(repr(new))}"
            words = f"{count:,} rows go back {way}; only the other way was ever seen ({back:,} times)"
            yield Drift(f"regression.{new}", case.name, soften(rule, count, figure), figure, words)


def _is_first(count: int, past: Sequence[tuple[int, int]]) -> bool:
    return count > 0 and not sum(flagged for flagged, _ in past) and sum(rows for _, rows in past) >= SEEN_ENOUGH


def _is_fresh(before: Sequence[ColumnProfile]) -> bool:
    """Say whether a time is one of the window: what says when a row has changed, not when something was born."""
    rows = sum(profile.rows for profile in before)
    return sum(profile.flags.get("stale", 0) for profile in before) <= 0.01 * rows
