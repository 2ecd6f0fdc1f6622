"""The integration gate: runs on the merged result, with keys and references of whole tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import duckdb

from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.commands.faults import confine
from dartifact.commands.gates.batch import check_own_rows, repeat_errored
from dartifact.commands.gates.key_checks import check_keys
from dartifact.commands.gates.waivers import waive_results
from dartifact.commands.stack import Stack
from dartifact.compare import current
from dartifact.domain.checks import Gate, Outcome, Report, Result, has_failed
from dartifact.domain.marks import mark
from dartifact.domain.runs import Run
from dartifact.domain.sources import Reference, Source
from dartifact.domain.sql_text import literal, quote

_SHOWN_REFERENCES = 1000


def check_candidate(stack: Stack, commit: Commit, runs: Sequence[Run]) -> Report:
    """Check each run's contract on its own rows, then keys and references on the current tables of the commit.

    What could not be run is run again, as often as the policy says.
    """
    return repeat_errored(lambda: _check_once(stack, commit, runs), lambda report: report, stack.policy.attempts)


def _check_once(stack: Stack, commit: Commit, runs: Sequence[Run]) -> Report:
    with duck.connect() as connection:
        results = [result for run in runs for result in _check_run(stack, connection, commit, run)]
        tables = _Tables(stack, connection, commit)
        if not has_failed(results):
            results += _check_tables(stack, tables, runs)
        if not results:
            message = f"{tables.count_all()} objects are in place"
            results.append(Result("main.readable", "main", Outcome.PASSED, message))
    return Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, tuple(results))


def _check_run(stack: Stack, connection: duckdb.DuckDBPyConnection, commit: Commit, run: Run) -> tuple[Result, ...]:
    """Check the rows of one run by themselves; its keys only if its contract holds.

    What breaks on these rows, or on this run's contract, is an errored result of this run, and of nobody else.
    """
    return confine(stack, (run,), "the integration gate", lambda: _ask_run(stack, connection, commit, run))


def _ask_run(stack: Stack, connection: duckdb.DuckDBPyConnection, commit: Commit, run: Run) -> tuple[Result, ...]:
    own = waive_results(stack, check_own_rows(stack, connection, run, commit), [run])
    if has_failed(own):
        return own
    return (*own, *waive_results(stack, check_keys(stack.source(run.source), connection, run), [run]))


def _check_tables(stack: Stack, tables: _Tables, runs: Sequence[Run]) -> list[Result]:
    """Check what runs do to the current tables: newer rows replaced by older ones, references to what is missing."""
    what = "the integration gate"
    results: list[Result] = []
    for run in runs:
        results += confine(stack, (run,), what, partial(_check_order, tables, stack.source(run.source), run))
    changed = {run.source for run in runs}
    for source in stack.sources.values():
        for reference in source.references:
            if {source.name, reference.dataset} & changed:
                children = tuple(run for run in runs if run.source == source.name)
                blamed = children or tuple(run for run in runs if run.source == reference.dataset)
                ask = partial(_check_reference, stack, tables, source, reference, runs)
                results += waive_results(stack, confine(stack, blamed, what, ask), runs)
    return results


def _check_order(tables: _Tables, source: Source, run: Run) -> tuple[Result, ...]:
    """Warn of rows that replace a newer version of their key: the source told them late, or its clock went back."""
    tables.view(source)
    records = f"records_{source.name}"
    own = f"(SELECT * FROM {records} WHERE _run_id = {literal(run.run_id)})"
    query = current.select_overtaking(own, records, source.key, source.updated_at)
    count = _count(tables.connection, query)
    found = Result(
        check=f"{source.name}.{source.updated_at}.order",
        dataset=source.name,
        outcome=Outcome.WARNED if count else Outcome.PASSED,
        message=f"{source.name}: {count:,} rows are older than the version of their key that they replace",
        run_id=run.run_id,
        column=source.updated_at,
        measured=count,
    )
    return (found,)


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
        words = f"{source.name}.{reference.column}: {count:,} rows reference missing {reference.dataset}"
        words += f", e.g. {mark(names[0])}"
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
