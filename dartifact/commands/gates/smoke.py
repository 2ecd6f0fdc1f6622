"""Evidence on a slot's commit: what the smoke gate asks before anybody reads it, and the traffic gate while some do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import duckdb

from dartifact.adapters.contracts.soda import check_contract
from dartifact.adapters.tables import duck
from dartifact.commands.gates.waivers import waive_results
from dartifact.commands.stack import Stack
from dartifact.domain.checks import Gate, Outcome, Report, Result
from dartifact.domain.sql_text import quote
from dartifact.domain.texts import first_line
from dartifact.domain.traffic import Consumer, ReportedError, judge_readers


def smoke_test(stack: Stack, commit: str, against: str | None, accepted: Collection[str] = ()) -> Report:
    """Test a slot's commit: its marts, contracts, probe queries, row counts against the commit that is served now.

    Of the marts in `accepted` a person, or the project, has said that they may go or shrink.
    """
    results = _ask_marts(stack, Gate.SMOKE, commit, against, probes=True)
    return _report(stack, Gate.SMOKE, commit, _accept(results, Gate.SMOKE, accepted))


def ask_traffic(
    stack: Stack,
    commit: str,
    against: str | None,
    exposed: tuple[Consumer, ...],
    reported: tuple[ReportedError, ...],
    accepted: Collection[str] = (),
) -> Report:
    """Test a slot that is read: errors of its exposed consumers and row counts; with no consumer, all of the probes."""
    results = judge_readers(exposed, reported)
    if not any(result.outcome is Outcome.FAILED for result in results):
        results += _ask_marts(stack, Gate.TRAFFIC, commit, against, probes=not exposed)
    return _report(stack, Gate.TRAFFIC, commit, _accept(results, Gate.TRAFFIC, accepted))


def _accept(results: tuple[Result, ...], gate: Gate, accepted: Collection[str]) -> tuple[Result, ...]:
    """Only warn of what readers lose because somebody has decided so."""
    checks = {f"{gate}.{mart}.rows" for mart in accepted}
    return tuple(
        replace(result, outcome=Outcome.WARNED, message=f"{result.message}, as was decided")
        if result.check in checks and result.outcome is Outcome.FAILED
        else result
        for result in results
    )


def _report(stack: Stack, gate: Gate, commit: str, results: tuple[Result, ...]) -> Report:
    return Report(gate, commit, stack.lake.commit_of(commit).meta_range, waive_results(stack, results))


def _ask_marts(stack: Stack, gate: Gate, commit: str, against: str | None, *, probes: bool) -> tuple[Result, ...]:
    results: list[Result] = []
    with duck.connect() as connection:
        counts = _open_marts(stack, connection, commit, "marts")
        results.extend(_report_readable(gate, mart, rows) for mart, rows in counts.items())
        if probes:
            for contract in stack.mart_contracts():
                if contract.dataset in counts:
                    results.extend(check_contract(connection, contract, f"marts.{contract.dataset}"))
        served = _open_marts(stack, connection, against, "served") if against else {}
        paths = sorted((stack.project / "checks" / "probes").glob("*.sql")) if probes else ()
        results.extend(_probe(connection, gate, path, may_be_empty=not any(served.values())) for path in paths)
    for mart, before in served.items():
        results.append(_compare_rows(gate, mart, before, counts.get(mart), stack.policy.smoke_least_share))
    return tuple(results)


def _open_marts(stack: Stack, connection: duckdb.DuckDBPyConnection, commit: str, schema: str) -> dict[str, int]:
    """Define views of the marts of a commit; return how many rows each has."""
    counts = {}
    connection.execute(f"CREATE SCHEMA {schema}; CREATE SCHEMA {schema}_files")
    for each in stack.lake.list_objects(commit, "marts/"):
        mart = each.path.removeprefix("marts/").removesuffix(".parquet")
        files = f"{schema}_files.{quote(mart)}"
        duck.create_view(connection, files, stack.lake.locate(commit, [each]), stack.lake.access)
        # The file carries no bookkeeping of ours but the reader's row number.
        view = f"{schema}.{quote(mart)}"
        connection.execute(f"CREATE VIEW {view} AS SELECT * EXCLUDE (file_row_number) FROM {files}")
        row = connection.execute(f"SELECT count(*) FROM {view}").fetchone()
        counts[mart] = row[0] if row else 0
    return counts


def _report_readable(gate: Gate, mart: str, rows: int) -> Result:
    words = f"{mart} can be read: {rows:,} rows"
    return Result(f"{gate}.{mart}.readable", mart, Outcome.PASSED, words, measured=rows)


def _probe(connection: duckdb.DuckDBPyConnection, gate: Gate, path: Path, *, may_be_empty: bool) -> Result:
    """Ask what a consumer asks: an answer of no rows, or none at all, fails; while nothing is served yet, it may."""
    check = f"{gate}.probe.{path.stem}"
    try:
        answered = connection.execute(path.read_text(encoding="utf-8")).fetchone() is not None
    except duckdb.IOException as error:
        message = f"probe {path.stem} could not run: {first_line(error)}"
        return Result(check, path.stem, Outcome.ERRORED, message)
    except duckdb.Error as error:
        message = f"probe {path.stem} failed: {first_line(error)}"
        return Result(check, path.stem, Outcome.FAILED, message)
    if not answered:
        outcome = Outcome.WARNED if may_be_empty else Outcome.FAILED
        return Result(check, path.stem, outcome, f"probe {path.stem} returned no rows")
    return Result(check, path.stem, Outcome.PASSED, f"probe {path.stem} returned rows")


def _compare_rows(gate: Gate, mart: str, before: int, now: int | None, least_share: float) -> Result:
    check = f"{gate}.{mart}.rows"
    if now is None:
        return Result(check, mart, Outcome.FAILED, f"{mart} is missing; production has it with {before:,} rows")
    fails = now < before * least_share
    message = f"{mart}: {now:,} rows, production shows {before:,} (at least {least_share:.0%} must remain)"
    outcome = Outcome.FAILED if fails else Outcome.PASSED
    return Result(check, mart, outcome, message, measured=now, threshold=f">= {before * least_share:.0f}")
