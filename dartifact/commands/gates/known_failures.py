"""Known failures: which failing rows of a batch fail in `main` already, told apart from what is new."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from dartifact.adapters.contracts.contracts import Check, checks_of
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates.drift import define_before
from dartifact.commands.stack import Stack
from dartifact.domain.checks import CheckPolicy, Outcome, Result
from dartifact.domain.runs import Run
from dartifact.domain.sql_text import quote

_OF_ROWS = ("missing", "invalid", "failed_rows")


def tell_known(
    stack: Stack, connection: duckdb.DuckDBPyConnection, run: Run, commit: Commit, results: tuple[Result, ...]
) -> tuple[Result, ...]:
    """Return the contract's results on the view `batch`, with the number of failing rows that `main` had before.

    A row is known when the current row of its key fails the same check. Under the policy `not_worse_than_main` a check
    all of whose failing rows are known only warns.
    """
    checks = {each.id: each for each in checks_of(stack.contract(run.source)) if each.kind in _OF_ROWS}
    failing = {each.check for each in results if each.check in checks and each.condition and each.failing_rows}
    if not failing or not define_before(stack, connection, run, commit, "batch"):
        return results
    key = stack.source(run.source).key
    return tuple(
        _tell(connection, key, checks[each.check], each) if each.check in failing else each for each in results
    )


def _tell(connection: duckdb.DuckDBPyConnection, key: tuple[str, ...], check: Check, result: Result) -> Result:
    # as text: the batch may have kept a column as it was brought, untyped
    names = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in key)
    failing, known = (f"(SELECT {names} FROM {each} WHERE {result.condition})" for each in ("batch", "before"))
    using = ", ".join(map(quote, key))
    try:
        query = f"SELECT count(*) FROM {failing} SEMI JOIN {known} USING ({using})"
        [[rows]] = connection.execute(query).fetchall()
    except duckdb.Error:  # a condition on what only one of the two has
        return result
    if not rows:
        return replace(result, known_rows=0)
    words = f"{result.message}; {rows:,} of them {'was' if rows == 1 else 'were'} in main before"
    new = result.failing_rows - rows
    words += f", {new:,} {'is' if new == 1 else 'are'} new" if new > 0 else ""
    is_no_worse = check.policy is CheckPolicy.NOT_WORSE_THAN_MAIN and new <= 0 and result.outcome is Outcome.FAILED
    outcome = Outcome.WARNED if is_no_worse else result.outcome
    return replace(result, known_rows=rows, message=words, outcome=outcome)
