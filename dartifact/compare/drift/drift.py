"""Drift: how a batch differs from the merged batches before it, as results of checks. Pure; the profiles are given.

Each check asks whether a figure is unusual by size, by chance and by history (`domain.drift_statistics`). A check
that finds nothing is counted in the one passed result of its column. With too little history nothing is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dartifact.compare.drift.columns import FEW, MANY_ROWS, Drift, look_at_column, tell_shares
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.drift_rules import DriftRules, Level
from dartifact.domain.drift_statistics import Figure, judge_level, judge_share
from dartifact.domain.profiles import Profile


def check_drift(
    dataset: str, batch: Profile, history: Sequence[Profile], rules: DriftRules, hi: str, *, source: str
) -> tuple[Result, ...]:
    """Compare a batch's profile with those of `history`, the newest first; `hi` is the SQL of its window's end.

    `source` names whose history it is, for people.
    """
    rows = sum(each.rows for each in history)
    if len(history) < rules.least_runs or rows < rules.least_rows:
        had = f"{len(history)} merged runs of {source} with {rows:,} rows so far"
        need = f"{rules.least_runs} with {rules.least_rows:,} rows are needed"
        words = f"{dataset}: drift not checked: {had}; {need}"
        return (Result(f"{dataset}.drift", dataset, Outcome.SKIPPED, words),)
    drifts = [each for each in _look_at_table(batch, history, rules) if each.level is not Level.OFF]
    results = [_to_result(dataset, each, batch.rows) for each in drifts]
    results.append(_say_passed(dataset, None, drifts, f"{len(history)} runs"))
    for name, column in batch.columns.items():
        before = [each.columns[name] for each in history if name in each.columns]
        before = [each for each in before if each.layout.kind is column.layout.kind]
        if len(before) < rules.least_runs:
            words = f"{dataset}.{name}: drift not checked: {len(before)} merged runs had this column"
            results.append(Result(f"{dataset}.drift.{name}", dataset, Outcome.SKIPPED, words, column=name))
            continue
        found = [each for each in look_at_column(name, column, before, batch, history, rules, hi)
                 if each.level is not Level.OFF]  # fmt: skip
        results += [_to_result(dataset, each, batch.rows) for each in found]
        results.append(_say_passed(dataset, name, found, f"{len(before)} runs"))
    return tuple(results)


def find_swapped(dataset: str, pair: tuple[str, str], rules: DriftRules) -> Result | None:
    """Return the result of two columns that fit each other's history, and not their own."""
    level = rules.of_table("swapped").level
    if level is Level.OFF:
        return None
    first, second = pair
    words = f"{dataset}: {first} and {second} look swapped: each is like the other was in earlier runs"
    outcome = Outcome.FAILED if level is Level.FAIL else Outcome.WARNED
    return Result(f"{dataset}.drift.swapped.{first}.{second}", dataset, outcome, words, column=first)


def _look_at_table(batch: Profile, history: Sequence[Profile], rules: DriftRules) -> Iterator[Drift]:
    rule = rules.of_table("volume")
    like = [each for each in history if each.rows and 0.5 <= each.seconds / max(batch.seconds, 1.0) <= 2]
    if len(like) >= rules.least_runs and batch.rows:
        rates = [math.log(each.rows / each.seconds) for each in like]
        figure = judge_level(math.log(batch.rows / batch.seconds), rates, rule.least, 6 / math.sqrt(batch.rows))
        if figure.is_unusual:
            usual, limit = (math.exp(each) * batch.seconds for each in (figure.usual, figure.limit))
            words = f"{batch.rows:,} rows where about {usual:,.0f} are usual (limit: {limit:,.0f})"
            yield Drift("volume", None, rule.level, Figure(batch.rows, usual, limit), words)
    rule = rules.of_table("deletions")
    figure = judge_share(batch.deleted, batch.rows + batch.deleted,
                         [(each.deleted, each.rows + each.deleted) for each in history], rule.least)  # fmt: skip
    if figure.is_unusual and batch.deleted >= MANY_ROWS:
        words = f"{batch.deleted:,} rows are deletions: {tell_shares(figure)}"
        yield Drift("deletions", None, rule.level, figure, words)
    rule = rules.of_table("repeats")
    figure = judge_share(
        batch.repeated, batch.known, [(each.repeated, each.known) for each in history if each.known], rule.least
    )
    if figure.is_unusual and batch.repeated >= FEW:
        words = f"{batch.repeated:,} of {batch.known:,} rows repeat what main has: {tell_shares(figure)}"
        yield Drift("repeats", None, rule.level, figure, words)


def _to_result(dataset: str, drift: Drift, rows: int) -> Result:
    subject = f"{dataset}.{drift.column}" if drift.column else dataset
    check = ".".join([f"{dataset}.drift", *([drift.column] if drift.column else []), drift.check])
    return Result(
        check,
        dataset,
        Outcome.FAILED if drift.level is Level.FAIL else Outcome.WARNED,
        f"{subject}: {drift.words}",
        column=drift.column,
        measured=drift.figure.measured,
        threshold=f"{drift.figure.limit:.6g}, {drift.figure.usual:.6g} is usual",
        failing_rows=drift.count,
        condition=drift.condition,
    )


def _say_passed(dataset: str, column: str | None, found: Sequence[Drift], runs: str) -> Result:
    subject = f"{dataset}.{column}" if column else dataset
    outcome, words = Outcome.PASSED, f"{subject}: as in the last {runs}"
    if found:
        words = f"{subject}: otherwise as in the last {runs}"
    return Result(".".join([f"{dataset}.drift", *([column] if column else [])]), dataset, outcome, words, column=column)


def count_rows(result: Result, count: int) -> Result:
    """Return a result of rows whose number was not known yet with that number; few of them are a warning."""
    outcome = Outcome.WARNED if count < MANY_ROWS else result.outcome
    message = f"{result.message} ({count:,} row{'s' if count != 1 else ''})"
    return replace(result, failing_rows=count, outcome=outcome, message=message)
