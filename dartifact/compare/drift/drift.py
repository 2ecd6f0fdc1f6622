"""Drift: how a batch differs from the merged batches before it, as results of checks. Pure; the profiles are given.

Each check asks whether a figure is unusual by size, by chance and by history (`domain.drift_statistics`). A check
that finds nothing is counted in the one passed result of its column. With too little history nothing is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dartifact.compare.drift.cases import FEW, MANY_ROWS, ColumnCase, Drift, describe_share
from dartifact.compare.drift.columns import find_column_drifts
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
    rows = sum(profile.rows for profile in history)
    if len(history) < rules.least_runs or rows < rules.least_rows:
        had = f"{len(history)} merged runs of {source} with {rows:,} rows so far"
        need = f"{rules.least_runs} with {rules.least_rows:,} rows are needed"
        words = f"{dataset}: drift not checked: {had}; {need}"
        return (Result(f"{dataset}.drift", dataset, Outcome.SKIPPED, words),)
    results = _to_results(dataset, None, _find_table_drifts(batch, history, rules), len(history))
    for name, column in batch.columns.items():
        before = [profile.columns[name] for profile in history if name in profile.columns]
        before = [past for past in before if past.layout.kind is column.layout.kind]
        if len(before) < rules.least_runs:
            words = f"{dataset}.{name}: drift not checked: {len(before)} merged runs had this column"
            results.append(Result(f"{dataset}.drift.{name}", dataset, Outcome.SKIPPED, words, column=name))
            continue
        case = ColumnCase(name, column, before, batch, history, rules, hi)
        results += _to_results(dataset, name, find_column_drifts(case), len(before))
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


def _find_table_drifts(batch: Profile, history: Sequence[Profile], rules: DriftRules) -> Iterator[Drift]:
    yield from _find_other_volume(batch, history, rules)
    rule = rules.of_table("deletions")
    past = [(profile.deleted, profile.rows + profile.deleted) for profile in history]
    figure = judge_share(batch.deleted, batch.rows + batch.deleted, past, rule.least)
    if figure.is_unusual and batch.deleted >= MANY_ROWS:
        words = f"{batch.deleted:,} rows are deletions: {describe_share(figure)}"
        yield Drift("deletions", None, rule.level, figure, words)
    rule = rules.of_table("repeats")
    past = [(profile.repeated, profile.known) for profile in history if profile.known]
    figure = judge_share(batch.repeated, batch.known, past, rule.least)
    if figure.is_unusual and batch.repeated >= FEW:
        words = f"{batch.repeated:,} of {batch.known:,} rows repeat what main has: {describe_share(figure)}"
        yield Drift("repeats", None, rule.level, figure, words)


def _find_other_volume(batch: Profile, history: Sequence[Profile], rules: DriftRules) -> Iterator[Drift]:
    """Judge the rows per second among windows of at most twice the length, on a logarithmic scale."""
    rule, seconds = rules.of_table("volume"), max(batch.seconds, 1.0)
    like = [profile for profile in history if profile.rows and 0.5 <= profile.seconds / seconds <= 2]
    if len(like) < rules.least_runs or not batch.rows:
        return
    rates = [math.log(profile.rows / profile.seconds) for profile in like]
    figure = judge_level(math.log(batch.rows / batch.seconds), rates, rule.least, 6 / math.sqrt(batch.rows))
    if figure.is_unusual:
        usual, limit = (math.exp(rate) * batch.seconds for rate in (figure.usual, figure.limit))
        words = f"{batch.rows:,} rows where about {usual:,.0f} are usual (limit: {limit:,.0f})"
        yield Drift("volume", None, rule.level, Figure(batch.rows, usual, limit), words)


def _to_results(dataset: str, column: str | None, found: Iterable[Drift], runs: int) -> list[Result]:
    """Return a result for each drift that counts, and a passed one for all the rest."""
    drifts = [drift for drift in found if drift.level is not Level.OFF]
    subject = f"{dataset}.{column}" if column else dataset
    words = f"{subject}: {'otherwise ' if drifts else ''}as in the last {runs} runs"
    passed = Result(_name_check(dataset, column), dataset, Outcome.PASSED, words, column=column)
    return [*(_to_result(dataset, drift) for drift in drifts), passed]


def _to_result(dataset: str, drift: Drift) -> Result:
    subject = f"{dataset}.{drift.column}" if drift.column else dataset
    return Result(
        f"{_name_check(dataset, drift.column)}.{drift.check}",
        dataset,
        Outcome.FAILED if drift.level is Level.FAIL else Outcome.WARNED,
        f"{subject}: {drift.words}",
        column=drift.column,
        measured=drift.figure.measured,
        threshold=f"{drift.figure.limit:.6g}, {drift.figure.usual:.6g} is usual",
        failing_rows=drift.count,
        condition=drift.condition,
    )


def _name_check(dataset: str, column: str | None) -> str:
    return f"{dataset}.drift.{column}" if column else f"{dataset}.drift"


def count_rows(result: Result, count: int) -> Result:
    """Return a result of rows whose number was not known yet with that number; few of them are a warning."""
    outcome = Outcome.WARNED if count < MANY_ROWS else result.outcome
    message = f"{result.message} ({count:,} row{'s' if count != 1 else ''})"
    return replace(result, failing_rows=count, outcome=outcome, message=message)
