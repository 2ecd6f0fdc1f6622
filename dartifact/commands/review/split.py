"""Split a stopped run: the failing rows stay, the rest goes on; brought = merged + left out, row by row."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import write_parquet
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.review.decide import check_in_turn, find_stopped, list_failures, refuse_other
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Result
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import HAND

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class _Parts:
    """The rows of a run: those that no failing check names, and the others."""

    good: pa.Table
    left: pa.Table

    @property
    def counts(self) -> dict[str, Any]:
        """Return what the record tells of them."""
        good, left = self.good.num_rows, self.left.num_rows
        return {"brought": good + left, "merged": good, "left_out": left}


def split_run(stack: Stack, run_id: str, decision: Decision, *, progress: Progress = keep_quiet) -> Run:
    """Bring the rows of a stopped run that no failing check names, as a run of their own; return that derived run.

    The derived run is one of HAND over no window, with the order (`_seq`) of the run it comes from; it passes the
    local gate like every other and is queued, or stopped again. The rows left out are all that is left on the stopped
    run's branch: it stays as it is, with its gap, until they are fixed, approved or rejected. Killed half-way, the
    same call goes on with the derived run it had opened. Conflict when commit or report are not those that were seen.
    PolicyRefused: a failing check is not about single rows. UsageError: all rows fail, or none does.
    """
    stack.require(Role.REVIEWER, "leave rows out")
    require_reason(decision.reason)
    run = find_stopped(stack, run_id, "leave out")
    refuse_other(run, decision.seen)
    parts = _read_parts(stack, run, _list_row_failures(stack, run))
    derived = _find_opened(stack, run) or _open(stack, run, decision)
    parts = _Parts(_give(parts.good, derived), parts.left)
    with contextlib.suppress(errors.Conflict):  # it is there: this was killed half-way
        stack.lake.create_branch(derived.branch, stack.lake.head(MAIN).commit_id)
    metadata = {"actor": decision.actor, "reason": decision.reason[:500]}
    origin = {**metadata, "run": derived.run_id, "from": run_id}
    merged = _commit(stack, derived, parts.good, f"rows of {run_id}", origin)
    kept = _commit(stack, run, parts.left, f"leave rows to {derived.run_id}", {**metadata, "run": run_id})
    derived = _record(stack, run, derived, (merged, kept), parts, decision)
    return check_in_turn(stack, derived, decision.actor, progress)


def _list_row_failures(stack: Stack, run: Run) -> tuple[Result, ...]:
    """Return what a run was stopped for; PolicyRefused when a failing check is not about single rows."""
    failures = list_failures(stack, run)
    for failure in failures:
        if not failure.condition:
            message = f"this is not about single rows: {failure.message}"
            raise errors.PolicyRefused(message, hint=Command("fix", run.run_id))
    return failures


def _record(stack: Stack, run: Run, derived: Run, commits: tuple[str, str], parts: _Parts, decision: Decision) -> Run:
    """Write down, in one transaction, both runs with their new commits; return the derived one."""
    merged, kept = commits
    with stack.ledger.write() as tx:
        refuse_other(tx.runs.get(run.run_id), Seen(run.commit, run.report))
        tx.runs.refuse_while_merging(run.run_id)
        tx.runs.move(
            run.run_id,
            run.phase,
            EventType.ROWS_LEFT_OUT,
            decision.actor,
            expect=run.phase,
            adopt=True,
            reason=decision.reason,
            changes={"commit_id": kept, "rows": parts.left.num_rows},
            was=run.commit,
            commit=kept,
            derived=derived.run_id,
            **parts.counts,
        )
        tx.runs.move(
            derived.run_id,
            Phase.CHECKING,
            EventType.ROWS_BROUGHT,
            decision.actor,
            expect=Phase.HELD,
            reason=decision.reason,
            changes={"commit_id": merged, "rows": parts.good.num_rows, "reasons": []},
            commit=merged,
            came_from=run.run_id,
            **parts.counts,
        )
        return tx.runs.get(derived.run_id)


def _say_waiting(run: Run) -> str:
    return f"waits for the rows of {run.run_id} that do not fail"


def _find_opened(stack: Stack, run: Run) -> Run | None:
    """Return the derived run that a call which was killed has opened."""
    held = stack.ledger.runs(phases=(Phase.HELD,), ingestor=HAND, source=run.source)
    return next((other for other in held if other.commit is None and other.reasons == (_say_waiting(run),)), None)


def _open(stack: Stack, run: Run, decision: Decision) -> Run:
    with stack.ledger.write() as tx:
        derived = tx.windows.claim_by_hand(stack.source(run.source), stack.clock(), decision.reason, decision.actor)
        return tx.runs.move(
            derived.run_id,
            Phase.HELD,
            EventType.RUN_HELD,
            decision.actor,
            expect=Phase.EXTRACTING,
            changes={"reasons": [_say_waiting(run)]},
            reason=decision.reason,
        )


def _read_parts(stack: Stack, run: Run, failures: tuple[Result, ...]) -> _Parts:
    """Divide the rows of a run; UsageError when one of the parts is empty."""
    # a condition is about live rows, and may break on a deleted one
    fails = " OR ".join(f"(CASE WHEN _deleted THEN false ELSE {one.condition} END) IS TRUE" for one in failures)
    rows = "SELECT * EXCLUDE (file_row_number) FROM batch WHERE"
    with duck.connect() as connection:
        if not view_batch(stack, connection, run, run.commit or ""):
            raise errors.UsageError(f"there is nothing in {run.folder}", hint=Command("show", run.run_id))
        try:
            good, left = (
                connection.execute(f"{rows} {where} ORDER BY file_row_number").to_arrow_table()
                for where in (f"NOT ({fails})", fails)
            )
        except duckdb.IOException as error:
            raise errors.ChecksErrored(f"the rows of {run.run_id} cannot be read: {error}") from error
    if not good.num_rows or not left.num_rows:
        message = f"{'all' if left.num_rows else 'none'} of the {run.rows or 0:,} rows of {run.run_id} fail"
        raise errors.UsageError(message, hint=(Command("fix", run.run_id), ", or ", Command("reject", run.run_id)))
    return _Parts(good, left)


def _give(rows: pa.Table, owner: Run) -> pa.Table:
    """Return rows as those of another run."""
    import pyarrow as pa  # noqa: PLC0415

    place = rows.schema.get_field_index("_run_id")
    column = rows.schema.field(place)
    return rows.set_column(place, column, pa.array([owner.run_id] * rows.num_rows, column.type))


def _commit(stack: Stack, run: Run, table: pa.Table, message: str, metadata: dict[str, str]) -> str:
    path = f"{run.folder}part-0.parquet"
    with tempfile.TemporaryDirectory(prefix="leave-out-", dir=stack.home) as folder:
        file = Path(folder) / "part-0.parquet"
        write_parquet(table, file)
        stack.lake.upload(run.branch, path, file)
    others = [found.path for found in stack.lake.list_objects(run.branch, run.folder) if found.path != path]
    if others:
        stack.lake.delete_objects(run.branch, others)
    try:
        return stack.lake.commit(run.branch, message, metadata).commit_id
    except errors.NoChanges:  # killed after this: it is committed
        return stack.lake.head(run.branch).commit_id
