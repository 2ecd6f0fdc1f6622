"""The way back for a person: other rows for a run, from a file, a frame or the run's branch, through the same gates."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import LakeObject
from dartifact.adapters.tables import duck
from dartifact.adapters.tables.batch_files import add_system_columns, write_parquet
from dartifact.adapters.tables.batches import build_batch
from dartifact.adapters.tables.row_files import to_rows
from dartifact.commands.review.decide import STOPPED, check_in_turn, refuse_other
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import Phase, Run

_CAN_BE_FIXED = (*STOPPED, Phase.REVERTED)
Rows = Sequence[dict[str, Any]]


def open_change(stack: Stack, dataset: str, decision: Decision) -> Run:
    """Start a change that a person makes by hand; it has no rows yet: `fix` brings them."""
    stack.require(Role.REVIEWER, "change rows by hand")
    source = stack.source(dataset)
    require_reason(decision.reason)
    with stack.ledger.write() as tx:
        run = tx.windows.claim_by_hand(source, stack.clock(), decision.reason, decision.actor)
        return tx.runs.move(
            run.run_id,
            Phase.HELD,
            EventType.RUN_HELD,
            decision.actor,
            expect=Phase.EXTRACTING,
            changes={"reasons": [f"waits for its rows: {decision.reason}"]},
            reason=decision.reason,
        )


def fix(
    stack: Stack, run_id: str, decision: Decision, rows: Rows | None = None, *, progress: Progress = keep_quiet
) -> Run:
    """Give a stopped or reverted run other rows and ask its local gate; return the run: queued, or stopped again.

    `rows` are as a source would bring them; None takes what somebody has put into the run's folder on its branch, with
    any client, committed or not. Either way they are typed and given system columns as every batch. UsageError: there
    is nothing new. PolicyRefused: the branch changes what is not the run's own. Conflict: the run has another commit
    than was seen, or gets one meanwhile.
    """
    stack.require(Role.REVIEWER, "fix a run")
    require_reason(decision.reason)
    run = stack.ledger.run(run_id)
    if run.phase not in _CAN_BE_FIXED:
        raise errors.UsageError(f"{run_id} is {run.phase}: it cannot be fixed", hint=Command("show", run_id))
    refuse_other(run, Seen(decision.seen.commit))
    lake = stack.lake
    with contextlib.suppress(errors.Conflict):  # it is there, but for a change by hand or an extraction that died
        lake.create_branch(run.branch, run.commit or lake.head(MAIN).commit_id)
    _refuse_foreign(stack, run)
    taken = _read_branch(stack, run) if rows is None else rows
    _refuse_unchanged(stack, run, taken)
    fixed = _commit_rows(stack, run, taken, decision)
    return check_in_turn(stack, _record(stack, run, fixed, len(taken), decision), decision.actor, progress)


def _refuse_unchanged(stack: Stack, run: Run, rows: Rows) -> None:
    """Raise UsageError when there are no rows, or the run has them already."""
    if not rows:
        raise errors.UsageError(f"there are no rows to fix {run.run_id} with", hint=Command("reject", run.run_id))
    if run.commit and run.phase is not Phase.REVERTED and rows == _read_commit(stack, run, run.commit):
        message = f"{run.run_id} has these rows already"
        raise errors.UsageError(message, hint=(Command("recheck", run.run_id), ", or --file FILE with other rows"))


def _record(stack: Stack, run: Run, commit: str, rows: int, decision: Decision) -> Run:
    with stack.ledger.write() as tx:
        refuse_other(tx.runs.get(run.run_id), Seen(run.commit))
        changes = {"commit_id": commit, "rows": rows, "held_until": None}
        return tx.runs.move(
            run.run_id,
            Phase.CHECKING,
            EventType.RUN_FIXED,
            decision.actor,
            expect=run.phase,
            changes=changes,
            reason=decision.reason,
            commit=commit,
            was=run.commit,
            rows=rows,
            rows_before=run.rows,
        )


def _refuse_foreign(stack: Stack, run: Run) -> None:
    base = run.commit or stack.lake.head(MAIN).commit_id
    committed = stack.lake.diff(base, run.branch, since_merge_base=run.commit is None)
    changed = (*committed, *stack.lake.list_staged(run.branch))  # that would be committed with the fix
    foreign = [change.path for change in changed if not change.path.startswith(run.folder)]
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        message = f"{run.branch} changes what is not its own: {foreign[0]}{more}"
        raise errors.PolicyRefused(message, hint=f"take that back; a run writes {run.folder} only")


def _read_branch(stack: Stack, run: Run) -> Rows:
    objects = stack.lake.list_objects(run.branch, run.folder)
    if not objects:
        raise errors.UsageError(
            f"{run.branch} has no rows in {run.folder}", hint=Command("fix", f"{run.run_id} --file FILE")
        )
    others = [found.path for found in objects if not found.path.endswith(".parquet")]
    if others:
        raise errors.UsageError(f"{others[0]} on {run.branch} is no Parquet file")
    return _read(stack, run.branch, objects)


def _read(stack: Stack, ref: str, objects: Sequence[LakeObject]) -> Rows:
    with duck.connect() as connection:
        duck.create_view(connection, "batch", stack.lake.locate(ref, objects), stack.lake.access)
        return to_rows(connection.execute("SELECT * FROM batch ORDER BY file_row_number").to_arrow_table())


def _read_commit(stack: Stack, run: Run, commit: str) -> Rows:
    objects = stack.lake.list_objects(commit, run.folder)
    return _read(stack, commit, objects) if objects else ()


def _commit_rows(stack: Stack, run: Run, rows: Rows, decision: Decision) -> str:
    """Make the run's folder hold one file with these rows, and return the commit that does."""
    source, lake = stack.source(run.source), stack.lake
    table = build_batch(rows, stack.contract(run.source).columns, zone=source.zone)
    table = add_system_columns(table, run_id=run.run_id, seq=run.window.seq, extracted_at=stack.clock())
    path = f"{run.folder}part-0.parquet"
    with tempfile.TemporaryDirectory(prefix="fix-", dir=stack.home) as folder:
        file = Path(folder) / "part-0.parquet"
        write_parquet(table, file)
        lake.upload(run.branch, path, file)
    others = [found.path for found in lake.list_objects(run.branch, run.folder) if found.path != path]
    if others:
        lake.delete_objects(run.branch, others)
    metadata = {"run": run.run_id, "actor": decision.actor, "reason": decision.reason[:500]}
    try:
        return lake.commit(run.branch, f"fix {run.run_id}", metadata).commit_id
    except errors.NoChanges:  # a fix that was killed has committed them
        return lake.head(run.branch).commit_id
