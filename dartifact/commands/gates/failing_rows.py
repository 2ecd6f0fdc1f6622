"""Failing rows: kept as evidence when a gate stops a run, read from there, found again where nothing was kept.

The rows of each check stand in `failing/<report>/<check>.parquet` on the hidden branch `evidence-<run id>`: the batch's
columns between `_row`, the number of the row in its file, and `_reason`, the sentence of the check. At most MOST_KEPT
of them, the first in the file; how many there are is `Result.failing_rows`. Not even the branch is there for a run that
every gate let pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import write_parquet
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Outcome, Report, Result
from dartifact.domain.hints import Command
from dartifact.domain.marks import show_values
from dartifact.domain.runs import Run
from dartifact.domain.sql_text import literal
from dartifact.domain.texts import first_line

if TYPE_CHECKING:
    import pyarrow as pa

MOST_KEPT = 10_000
EVIDENCE = "evidence-"
_STOPPING = (Outcome.FAILED, Outcome.WARNED)
_OURS = ("file_row_number", "_row", "_reason")


def evidence_branch(run_id: str) -> str:
    """Name the hidden branch that holds the evidence against a run."""
    return f"{EVIDENCE}{run_id}"


def evidence_path(digest: str, check: str) -> str:
    """Name the file of one check's failing rows in the report of a digest."""
    return f"failing/{digest[:16]}/{file_name(check)}.parquet"


def file_name(check: str) -> str:
    """Return a check's name as one that a file can have; two checks never share one."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", check).lstrip(".")[:100]
    return safe if safe == check else f"{safe}-{hashlib.sha256(check.encode()).hexdigest()[:8]}"


def find_failing(report: Report, run: Run) -> tuple[Result, ...]:
    """Return the results of a report that name failing rows of a run."""
    return tuple(
        each
        for each in report.results
        if each.outcome in _STOPPING
        and each.condition
        and each.failing_rows > 0
        and each.dataset == run.source
        and each.run_id in (None, run.run_id)
    )


# Writing


def keep_failing_rows(stack: Stack, run: Run, report: Report, actor: str) -> None:
    """Commit the failing rows of a report to the run's evidence branch; repeating it changes nothing.

    Raises what the lake raises, and ChecksErrored when the batch cannot be read: the gate has to be asked again.
    """
    results = find_failing(report, run)
    if not results or run.commit is None:
        return
    branch, lake = evidence_branch(run.run_id), stack.lake
    with tempfile.TemporaryDirectory(prefix="evidence-", dir=stack.home) as folder:
        files = _write_files(stack, run, results, Path(folder))
        if not files:
            return
        with contextlib.suppress(errors.Conflict):  # it is there, with what another gate has found
            lake.create_branch(branch, run.commit)
        for check, path in files.items():
            lake.upload(branch, evidence_path(report.digest, check), path)
    metadata = {"run": run.run_id, "gate": report.gate.value, "report": report.digest, "actor": actor}
    with contextlib.suppress(errors.NoChanges):  # a process that was killed after this has done it
        lake.commit(branch, f"keep failing rows of {len(files)} checks", metadata)


def _write_files(stack: Stack, run: Run, results: Sequence[Result], folder: Path) -> dict[str, Path]:
    files = {}
    with duck.connect() as connection:
        if not view_batch(stack, connection, run, run.commit or ""):
            return {}
        for result in results:
            path = folder / f"{file_name(result.check)}.parquet"
            try:
                table = connection.execute(select_failing(result)).to_arrow_table()
            except duckdb.IOException as error:
                message = f"the failing rows of {run.run_id} cannot be read: {first_line(error)}"
                raise errors.ChecksErrored(message) from error
            except duckdb.Error:
                # Found among the live rows, it may break on a deleted one. The verdict stands without its rows.
                continue
            write_parquet(table, path)
            files[result.check] = path
    return files


def select_failing(result: Result) -> str:
    """Select the failing rows of a check from the view `batch`, in the order of the file, at most MOST_KEPT."""
    ours = ", ".join(map(literal, _OURS))
    return (
        f"SELECT file_row_number AS _row, COLUMNS(lambda name: name NOT IN ({ours})), "
        f"{literal(show_values(result.message))} AS _reason "
        f"FROM batch WHERE {result.condition} ORDER BY ALL LIMIT {MOST_KEPT}"
    )


# Reading


def find_check(stack: Stack, run: Run, name: str) -> Result:
    """Return the result with failing rows that a name means: the whole of it, its end, or any part that only it has."""
    report = stack.ledger.report(run.report) if run.report else None
    results = find_failing(report, run) if report else ()
    for fits in (str.__eq__, str.endswith, str.__contains__):
        found = [each for each in results if fits(each.check, name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.check for each in found)
            raise errors.UsageError(f"{name!r} may be any of these checks: {names}", hint="write more of the name")
    names = ", ".join(each.check for each in results)
    known = f"those with failing rows: {names}" if names else "none of its checks has failing rows"
    raise errors.NotFound(
        f"run {run.run_id} has no failing rows of a check {name}; {known}", hint=Command("show", run.run_id)
    )


def read_failing_rows(stack: Stack, run: Run, result: Result, most: int = 20) -> tuple[dict[str, Any], ...]:
    """Return the first failing rows of a check: those that were kept, else those of the run's tested commit."""
    return look_at_failing(stack, run, result, most)[0]


def look_at_failing(stack: Stack, run: Run, result: Result, most: int) -> tuple[tuple[dict[str, Any], ...], int]:
    """Return the first failing rows of a check, and how many can be had."""
    with open_failing(stack, run, result) as connection:
        [[kept]] = connection.execute("SELECT count(*) FROM failing").fetchall()
        cursor = connection.execute(f"SELECT * FROM failing LIMIT {most}")
        names = [column[0] for column in cursor.description or ()]
        return tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall()), int(kept)


def read_failing_table(stack: Stack, run: Run, result: Result) -> pa.Table:
    """Return all failing rows of a check that can be had, at most MOST_KEPT."""
    with open_failing(stack, run, result) as connection:
        return connection.execute("SELECT * FROM failing").to_arrow_table()


def write_failing_rows(stack: Stack, run: Run, result: Result, out: Path) -> int:
    """Write all failing rows that can be had to a Parquet or CSV file, by its ending; return how many."""
    kinds = {".parquet": "FORMAT parquet, COMPRESSION zstd", ".csv": "FORMAT csv, HEADER"}
    if out.suffix not in kinds:
        raise errors.UsageError(f"{out} is neither a .parquet nor a .csv file")
    with open_failing(stack, run, result) as connection:
        try:
            query = f"COPY (SELECT * FROM failing) TO {literal(str(out))} ({kinds[out.suffix]})"
            [[rows]] = connection.execute(query).fetchall()
        except duckdb.IOException as error:
            raise errors.UsageError(f"{out} cannot be written: {first_line(error)}") from error
    return int(rows)


@contextmanager
def open_failing(stack: Stack, run: Run, result: Result) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the table `failing`, the failing rows of a check."""
    with duck.connect() as connection:
        kept = _locate_evidence(stack, run, result)
        if kept:
            duck.create_view(connection, "kept", kept, stack.lake.access)
            connection.execute("CREATE TABLE failing AS SELECT * EXCLUDE (file_row_number) FROM kept ORDER BY _row")
        elif result.condition and run.commit and view_batch(stack, connection, run, run.commit):
            connection.execute(f"CREATE TABLE failing AS {select_failing(result)}")
        else:
            connection.execute("CREATE TABLE failing (_row BIGINT, _reason VARCHAR)")
        yield connection


def _locate_evidence(stack: Stack, run: Run, result: Result) -> tuple[str, ...]:
    if run.report is None:
        return ()
    path = evidence_path(run.report, result.check)
    try:
        commit = stack.lake.head(evidence_branch(run.run_id)).commit_id
    except errors.NotFound:
        return ()
    objects = [each for each in stack.lake.list_objects(commit, path) if each.path == path]
    return stack.lake.locate(commit, objects) if objects else ()
