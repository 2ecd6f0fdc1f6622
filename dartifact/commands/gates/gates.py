"""The evidence of the local and the integration gate, read by commit id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from dartifact.adapters.contracts.soda import check_contract
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.commands.gates.drift import look_for_drift
from dartifact.commands.gates.key_checks import check_keys
from dartifact.commands.gates.known_failures import tell_known
from dartifact.commands.gates.waivers import waive_results
from dartifact.commands.stack import Stack
from dartifact.compare import current
from dartifact.domain.checks import Gate, Outcome, Report, Result
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import Run
from dartifact.domain.sources import Reference, Source
from dartifact.domain.sql_text import literal, quote

_SHOWN_REFERENCES = 1000


def look_at_batch(stack: Stack, run: Run, commit: Commit) -> tuple[Report, Profile | None]:
    """Check a run's own rows against its contract and its history, at the run's commit; return their profile, too."""
    with duck.connect() as connection:
        results = _check_own_rows(stack, connection, run, commit)
        drifts: tuple[Result, ...] = ()
        profile: Profile | None = None
        if not _is_out_of_reach(results):
            drifts, profile = look_for_drift(stack, connection, run, commit, "batch")
    waived = waive_results(stack, (*results, *drifts), [run])
    return Report(Gate.LOCAL, commit.commit_id, commit.meta_range, waived), profile


def check_candidate(stack: Stack, commit: Commit, runs: Sequence[Run]) -> Report:
    """Check each run's contract on its own rows, then keys and references on the current tables of the commit."""
    results: list[Result] = []
    with duck.connect() as connection:
        tables = _Tables(stack, connection, commit)
        for run in runs:
            own = waive_results(stack, _check_own_rows(stack, connection, run, commit), [run])
            results.extend(own)
            if not any(r.outcome in (Outcome.FAILED, Outcome.ERRORED) for r in own):
                results.extend(waive_results(stack, check_keys(stack.source(run.source), connection, run), [run]))
        if not any(r.outcome in (Outcome.FAILED, Outcome.ERRORED) for r in results):
            results.extend(_check_order(tables, stack.source(run.source), run) for run in runs)
            for source in stack.sources.values():
                for reference in source.references:
                    if {source.name, reference.dataset} & {run.source for run in runs}:
                        found = _check_reference(stack, tables, source, reference, runs)
                        results.extend(waive_results(stack, found, runs))
        if not results:
            results.append(
                Result("main.readable", "main", Outcome.PASSED, f"{tables.count_all()} objects are in place")
            )
    return Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, tuple(results))


def ask_again(ask: Callable[[], Report], attempts: int) -> Report:
    """Repeat a check that could not be asked, at most `attempts` times in all."""
    report = ask()
    for _ in range(attempts - 1):
        if all(result.outcome is not Outcome.ERRORED for result in report.results):
            break
        report = ask()
    return report


def _check_own_rows(
    stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: Commit
) -> tuple[Result, ...]:
    try:
        has_rows = view_batch(stack, connection, run, commit.commit_id)
    except duck.NotParquet as error:  # its own file: the run's fault
        message = f"{run.run_id}: {error.message}"
        return (Result(f"{run.source}.readable", run.source, Outcome.FAILED, message, run_id=run.run_id),)
    if not has_rows:
        message = f"{run.run_id}: there is nothing in {run.folder} at {commit.commit_id[:12]}"
        return (Result(f"{run.source}.present", run.source, Outcome.FAILED, message, run_id=run.run_id),)
    evolve = stack.source(run.source).evolve
    contract = stack.contract(run.source)
    results = check_contract(connection, contract, "batch", run_id=run.run_id, evolve=evolve)
    return tell_known(stack, connection, run, commit, results)


def _is_out_of_reach(results: Sequence[Result]) -> bool:
    """Say whether there is no batch to be read."""
    return any(each.check.endswith((".readable", ".present")) for each in results)


def view_batch(stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: str) -> bool:
    """Define the view `batch`, the rows of a run at a commit; False when there are none."""
    objects = stack.lake.list_objects(commit, run.folder)
    if objects:
        duck.create_view(connection, "batch", stack.lake.locate(commit, objects), stack.lake.access)
    return bool(objects)


def _check_order(tables: _Tables, source: Source, run: Run) -> Result:
    """Warn of rows that replace a newer version of their key: the source told them late, or its clock went back."""
    tables.view(source)
    records = f"records_{source.name}"
    own = f"(SELECT * FROM {records} WHERE _run_id = {literal(run.run_id)})"
    query = current.select_overtaking(own, records, source.key, source.updated_at)
    count = _count(tables.connection, query)
    return Result(
        check=f"{source.name}.{source.updated_at}.order",
        dataset=source.name,
        outcome=Outcome.WARNED if count else Outcome.PASSED,
        message=f"{source.name}: {count:,} rows are older than the version of their key that they replace",
        run_id=run.run_id,
        column=source.updated_at,
        measured=count,
    )


class _Tables:
    """The current tables of one commit, defined as they are asked for."""

    def __init__(self, stack: Stack, connection: duckdb.DuckDBPyConnection, commit: Commit) -> None:
        self.stack, self.connection, self.commit = stack, connection, commit
        self._viewed: dict[str, bool] = {}
        self._known: dict[str, bool] = {}

    def view(self, source: Source) -> bool:
        """Define `records_<dataset>`, all change records; False when the dataset has no rows yet."""
        if source.name not in self._viewed:
            objects = self.stack.lake.list_objects(self.commit.commit_id, f"raw/{source.name}/")
            self._viewed[source.name] = bool(objects)
            if objects:
                urls = self.stack.lake.locate(self.commit.commit_id, objects)
                duck.create_view(self.connection, f"records_{source.name}", urls, self.stack.lake.access)
        return self._viewed[source.name]

    def define(self, source: Source) -> bool:
        """Define `current_<dataset>`; False when the dataset has no rows yet."""
        if source.name not in self._known:
            self._known[source.name] = self.view(source)
            if self._known[source.name]:
                query = current.select_current(f"records_{source.name}", source.key, source.updated_at)
                self.connection.execute(f"CREATE TEMP TABLE current_{source.name} AS {query}")
        return self._known[source.name]

    def count_all(self) -> int:
        """Count the objects of the commit's raw data."""
        return len(self.stack.lake.list_objects(self.commit.commit_id, "raw/"))


def _check_reference(
    stack: Stack, tables: _Tables, source: Source, reference: Reference, runs: Sequence[Run]
) -> tuple[Result, ...]:
    if not tables.define(source):
        return ()
    parent = f"current_{reference.dataset}"
    if not tables.define(stack.source(reference.dataset)):
        parent = f"(SELECT NULL::VARCHAR AS {quote(reference.key)} WHERE false)"
    query = current.select_orphans(f"current_{source.name}", reference.column, parent, reference.key)
    rows = tables.connection.execute(query).fetchall()
    check = f"{source.name}.{reference.column}.reference"
    own = {run.run_id: run for run in runs if run.source == source.name}
    counts = Counter(run_id if run_id in own else None for run_id, _ in rows)
    results = []
    for run_id, count in counts.items():
        names = sorted({str(value) for owner, value in rows if (owner if owner in own else None) == run_id})
        words = (
            f"{source.name}.{reference.column}: {count:,} rows reference missing {reference.dataset}, e.g. {names[0]}"
        )
        common: dict[str, Any] = {
            "check": check,
            "dataset": source.name,
            "column": reference.column,
            "measured": count,
            "threshold": "0",
            "failing_rows": count,
        }
        if run_id is None:
            # Rows that were there before, or lost their parent to a revert or a deletion: shown, never a reason to
            # stop what repairs them.
            results.append(Result(outcome=Outcome.WARNED, message=f"{words} (in main before)", **common))
            continue
        waits = stack.clock() < own[run_id].created_at + stack.policy.orphan_grace
        listed = ", ".join(literal(name) for name in names[:_SHOWN_REFERENCES])
        results.append(
            Result(
                outcome=Outcome.FAILED,
                message=words + (" (grace period running)" if waits else " (grace period over)"),
                run_id=run_id,
                condition=f"CAST({quote(reference.column)} AS VARCHAR) IN ({listed})",
                holds=waits,
                **common,
            )
        )
    if not results:
        message = f"{source.name}.{reference.column}: every row references an existing row of {reference.dataset}"
        results.append(Result(check, source.name, Outcome.PASSED, message, column=reference.column, measured=0))
    return tuple(results)


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    return int(row[0]) if row else 0
