"""The drift of a run: its batch is profiled and compared with the merged runs of its ingestor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import duckdb

from dartifact.adapters.contracts.drift_file import drift_path, load_drift_rules
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.commands.stack import Stack
from dartifact.compare import current
from dartifact.compare.drift.distributions import measure_unlikeness
from dartifact.compare.drift.drift import check_drift, count_rows, find_swapped
from dartifact.compare.drift.profiling import Scan, add_known, profile_as, profile_batch
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.drift_rules import DriftRules
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import Run
from dartifact.domain.texts import first_line

_MOST_PAIRS = 10
_STRANGE = 0.3


def look_for_drift(
    stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: Commit, relation: str
) -> tuple[tuple[Result, ...], Profile | None]:
    """Profile a run's rows, which `relation` holds, and compare them with the history of its ingestor.

    No profile where there is nothing to be profiled, or it could not be.
    """
    source = stack.source(run.source)
    rules = load_drift_rules(
        drift_path(stack.project / "checks", run.source), [name for name, _ in stack.contract(run.source).columns]
    )
    history = stack.ledger.profiles(run.ingestor, before=run.window.seq, most=rules.history)
    scan = Scan(connection, relation, run.window.lo, run.window.hi)
    try:
        profile = profile_batch(scan, history)
        if not profile.rows:
            return (), None
        if define_before(stack, connection, run, commit, relation):
            profile = add_known(scan, profile, source, "before")
        results = compare_with_history(scan, run.source, profile, history, rules, f"{run.ingestor} ({run.source})")
    except duckdb.Error as error:
        message = f"{run.source}: drift could not be checked: {first_line(error)}"
        return (Result(f"{run.source}.drift", run.source, Outcome.ERRORED, message, run_id=run.run_id),), None
    return tuple(replace(each, run_id=run.run_id) for each in results), profile


def compare_with_history(
    scan: Scan, dataset: str, profile: Profile, history: Sequence[Profile], rules: DriftRules, source: str
) -> tuple[Result, ...]:
    """Compare a batch with the profiles before it; `source` names whose history that is."""
    results = check_drift(dataset, profile, history, rules, scan.end, source=source)
    results = tuple(_finish(scan.connection, scan.relation, each) for each in results)
    return (*results, *_look_for_swapped(scan, dataset, profile, history, rules, results))


def define_before(
    stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: Commit, batch: str | None
) -> bool:
    """Define `before`, the current table that a run branched from; False where the dataset had no rows.

    With `batch` only the rows of the keys that this relation brings: a gate asks about no others, and need not put all
    of `main` in order for them.
    """
    source = stack.source(run.source)
    base = commit.parents[0]
    objects = stack.lake.list_objects(base, f"raw/{run.source}/")
    there = [each for each in objects if not each.path.startswith(run.folder)]
    if not there:
        return False
    duck.create_view(connection, "records_before", stack.lake.locate(base, there), stack.lake.access)
    records = f"({current.select_touched('records_before', batch, source.key)})" if batch else "records_before"
    query = current.select_current(records, source.key, source.updated_at)
    connection.execute(f"CREATE OR REPLACE VIEW before AS {query}")
    return True


def _finish(connection: duckdb.DuckDBPyConnection, relation: str, result: Result) -> Result:
    if result.condition is None:
        return result
    condition = f"({result.condition}) AND _deleted IS NOT TRUE"
    if result.failing_rows >= 0:
        return replace(result, condition=condition)
    counted = connection.execute(f"SELECT count(*) FROM {relation} WHERE {condition}").fetchall()[0][0]
    return count_rows(replace(result, condition=condition), counted)


def _look_for_swapped(
    scan: Scan,
    dataset: str,
    profile: Profile,
    history: Sequence[Profile],
    rules: DriftRules,
    results: Sequence[Result],
) -> tuple[Result, ...]:
    """Ask of columns that are unlike themselves whether they are like each other."""
    past = {name: [each.columns[name] for each in history if name in each.columns] for name in profile.columns}
    red = {each.column for each in results if each.outcome is Outcome.FAILED and each.column}
    strange = {name: measure_unlikeness(profile.columns[name], past[name]) for name in profile.columns if name in red}
    names = [name for name, figure in strange.items() if figure > _STRANGE and past[name]]
    alike = [
        (a, b) for a, b in combinations(names, 2) if profile.columns[a].layout.kind is profile.columns[b].layout.kind
    ]
    found = []
    for first, second in alike[:_MOST_PAIRS]:
        other = profile_as(scan, profile.layout, {first: second, second: first})
        is_better = all(
            measure_unlikeness(other.columns[name], past[name]) < strange[name] / 2 for name in (first, second)
        )
        swapped = find_swapped(dataset, (first, second), rules) if is_better else None
        found += [swapped] if swapped else []
    return tuple(found)
