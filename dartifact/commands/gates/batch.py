"""The rows of a run at a commit, and what its contract says of them: evidence of two gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import duckdb

from dartifact.adapters.contracts.soda import check_contract
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import Notes
from dartifact.commands.gates.known_failures import tell_known
from dartifact.commands.stack import Stack
from dartifact.domain.checks import Outcome, Report, Result
from dartifact.domain.runs import Run

T = TypeVar("T")


def repeat_errored(check: Callable[[], T], report: Callable[[T], Report], attempts: int) -> T:
    """Return what a check found; one that could not be run is run again, at most `attempts` times in all."""
    found = check()
    for _ in range(attempts - 1):
        if not report(found).has_errors:
            break
        found = check()
    return found


def view_batch(stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: str) -> bool:
    """Define the view `batch`, the rows of a run at a commit; False when there are none."""
    objects = stack.lake.list_objects(commit, run.folder)
    if objects:
        duck.create_view(connection, "batch", stack.lake.locate(commit, objects), stack.lake.access)
    return bool(objects)


def check_own_rows(stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: Commit) -> tuple[Result, ...]:
    """Check the rows of a run against its contract; define the view `batch` of them."""
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
    urls = stack.lake.locate(commit.commit_id, stack.lake.list_objects(commit.commit_id, run.folder))
    notes = duck.read_notes(connection, urls, stack.lake.access)
    if notes is not None:
        results = (*_report_strange(run, notes), *(_forgive_later(result, notes) for result in results))
    return tell_known(stack, connection, run, commit, results)


def _report_strange(run: Run, notes: Notes) -> Iterator[Result]:
    """Fail for each name that the rows had and no column can be kept under."""
    for number, (name, why) in enumerate(sorted(notes.strange.items()), start=1):
        message = f"{run.source}: the rows have a key {name!r}, which {why}: it cannot be kept"
        check = f"{run.source}.schema.strange.{number}"
        yield Result(check, run.source, Outcome.FAILED, message, run_id=run.run_id)


def _forgive_later(result: Result, notes: Notes) -> Result:
    """Only warn of a column that the contract has got since the rows were brought."""
    missing = f"{result.dataset}.schema.missing."
    if not result.check.startswith(missing) or result.check.removeprefix(missing) in notes.declared:
        return result
    message = f"{result.dataset}.{result.column}: the contract has this column since these rows were brought"
    return replace(result, outcome=Outcome.WARNED, message=message, holds=False)
