"""Leave the failing rows of a stopped run out and bring the rest: brought = merged + left out, row by row."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batches import write_parquet
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.review.decide import check_in_turn, find_stopped, list_failures, refuse_other
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Result
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import HAND
from dartifact.domain.sql_text import literal

if TYPE_CHECKING:
    import pyarrow as pa


def leave_out(
    stack: Stack,
    run_id: str,
    *,
    reason: str,
    actor: str,
    commit: str | None = None,
    report: str | None = None,
    progress: Progress = keep_quiet,
) -> Run:
    """Bring the rows of a stopped run that no failing check names, as a run of their own; return that derived run.

    The derived run is one of HAND over no window, with the order (`_seq`) of the run it comes from; it passes the
    local gate like every other and is queued, or stopped again. The rows left out are all that is left on the stopped
    run's branch: it stays as it is, with its gap, until they are fixed, approved or rejected. Killed half-way, the
    same call goes on with the derived run it had opened. Conflict when commit or report are not those that were shown.
    PolicyRefused: a failing check is not about single rows. UsageError: all rows fail, or none does.
    """
    stack.require(Role.REVIEWER, "leave rows out")
    require_reason(reason)
    run = find_stopped(stack, run_id, "leave out")
    refuse_other(run, commit, report)
    failures = list_failures(stack, run)
    for each in failures:
        if not each.condition:
            raise errors.PolicyRefused(f"this is not about single rows: {each.message}", hint=Command("fix", run_id))
    derived = _find_opened(stack, run)
    good, left = _split(stack, run, failures, derived.run_id if derived else "")
    if not good.num_rows or not left.num_rows:
        message = f"{'all' if left.num_rows else 'none'} of the {run.rows or 0:,} rows of {run_id} fail"
        raise errors.UsageError(message, hint=(Command("fix", run_id), ", or ", Command("reject", run_id)))
    if derived is None:
        derived = _open(stack, run, reason, actor)
        good, left = _split(stack, run, failures, derived.run_id)
    metadata = {"actor": actor, "reason": reason[:500]}
    with contextlib.suppress(errors.Conflict):  # it is there: this was killed half-way
        stack.lake.create_branch(derived.branch, stack.lake.head(MAIN).commit_id)
    merged = _commit(stack, derived, good, f"rows of {run_id}", {**metadata, "run": derived.run_id, "from": run_id})
    kept = _commit(stack, run, left, f"leave rows to {derived.run_id}", {**metadata, "run": run_id})
    with stack.ledger.write() as tx:
        counts = {"brought": good.num_rows + left.num_rows, "merged": good.num_rows, "left_out": left.num_rows}
        refuse_other(tx.runs.get(run_id), run.commit, run.report)
        tx.runs.refuse_while_merging(run_id)
        tx.runs.move(
            run_id,
            run.phase,
            EventType.ROWS_LEFT_OUT,
            actor,
            expect=run.phase,
            adopt=True,
            reason=reason,
            changes={"commit_id": kept, "rows": left.num_rows},
            was=run.commit,
            commit=kept,
            derived=derived.run_id,
            **counts,
        )
        tx.runs.move(
            derived.run_id,
            Phase.CHECKING,
            EventType.ROWS_BROUGHT,
            actor,
            expect=Phase.HELD,
            reason=reason,
            changes={"commit_id": merged, "rows": good.num_rows, "reasons": []},
            commit=merged,
            came_from=run_id,
            **counts,
        )
        derived = tx.runs.get(derived.run_id)
    return check_in_turn(stack, derived, actor, progress)


def _tell(run: Run) -> str:
    return f"waits for the rows of {run.run_id} that do not fail"


def _find_opened(stack: Stack, run: Run) -> Run | None:
    held = stack.ledger.runs(phases=(Phase.HELD,), ingestor=HAND, source=run.source)
    return next((each for each in held if each.commit is None and each.reasons == (_tell(run),)), None)


def _open(stack: Stack, run: Run, reason: str, actor: str) -> Run:
    with stack.ledger.write() as tx:
        derived = tx.windows.claim_by_hand(stack.source(run.source), stack.clock(), reason, actor)
        return tx.runs.move(
            derived.run_id,
            Phase.HELD,
            EventType.RUN_HELD,
            actor,
            expect=Phase.EXTRACTING,
            changes={"reasons": [_tell(run)]},
            reason=reason,
        )


def _split(stack: Stack, run: Run, failures: tuple[Result, ...], owner: str) -> tuple[pa.Table, pa.Table]:
    """Return the rows that no failing check names, as rows of the run `owner`, and the others as they are."""
    # a condition is about live rows, and may break on a deleted one
    fails = " OR ".join(f"(CASE WHEN _deleted THEN false ELSE {each.condition} END) IS TRUE" for each in failures)
    plain = "SELECT * EXCLUDE (file_row_number)"
    owned = f"{plain} REPLACE ({literal(owner)} AS _run_id)"
    with duck.connect() as connection:
        if not view_batch(stack, connection, run, run.commit or ""):
            raise errors.UsageError(f"there is nothing in {run.folder}", hint=Command("show", run.run_id))
        try:
            good, left = (
                connection.execute(f"{rows} FROM batch WHERE {where} ORDER BY file_row_number").to_arrow_table()
                for rows, where in ((owned, f"NOT ({fails})"), (plain, fails))
            )
        except duckdb.IOException as error:
            raise errors.ChecksErrored(f"the rows of {run.run_id} cannot be read: {error}") from error
    return good, left


def _commit(stack: Stack, run: Run, table: pa.Table, message: str, metadata: dict[str, str]) -> str:
    path = f"{run.folder}part-0.parquet"
    with tempfile.TemporaryDirectory(prefix="leave-out-", dir=stack.home) as folder:
        file = Path(folder) / "part-0.parquet"
        write_parquet(table, file)
        stack.lake.upload(run.branch, path, file)
    others = [each.path for each in stack.lake.list_objects(run.branch, run.folder) if each.path != path]
    if others:
        stack.lake.delete_objects(run.branch, others)
    try:
        return stack.lake.commit(run.branch, message, metadata).commit_id
    except errors.NoChanges:  # killed after this: it is committed
        return stack.lake.head(run.branch).commit_id
