"""What a person decides on a stopped run: approve it as it is, ask its checks again, or reject it."""

from __future__ import annotations

import time
from typing import Any

from dartifact.commands.ingest.ingest import check_run
from dartifact.commands.leases import hold_lease, is_held
from dartifact.commands.review.retype import retype_rows
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Result
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import UNFINISHED, Phase, Run
from dartifact.domain.waivers import is_waivable

STOPPED = (Phase.FAILED, Phase.HELD)
_PATIENCE = 60.0
_POLL = 0.2


def approve(stack: Stack, run_id: str, decision: Decision) -> Run:
    """Accept the failing checks of a stopped run exactly as its report has them, and put it into the merge queue.

    Later gates take them as waived for this commit and so many rows; anything new still stops the run. Conflict when
    its commit or report is not what was seen. PolicyRefused: a check could not be asked, or failed in a way that would
    break `main`.
    """
    stack.require(Role.REVIEWER, "approve a run")
    require_reason(decision.reason)
    run = find_stopped(stack, run_id, "approve")
    refuse_other(run, decision.seen)
    failures = list_failures(stack, run)
    for failure in failures:
        if not is_waivable(failure):
            raise errors.PolicyRefused(f"this cannot be approved: {failure.message}", hint=Command("fix", run_id))
    reason, actor = decision.reason, decision.actor
    with stack.ledger.write() as tx:
        now = tx.runs.get(run_id)
        refuse_other(now, Seen(run.commit, run.report))
        waivers = [tx.waivers.approve_failure(now, failure, reason, actor) for failure in failures]
        accepted = [{"check": failure.check, "failing_rows": failure.failing_rows} for failure in failures]
        changes: dict[str, Any] = {"reasons": [], "held_until": None}
        return tx.runs.move(
            run_id,
            Phase.QUEUED,
            EventType.RUN_APPROVED,
            actor,
            expect=run.phase,
            changes=changes,
            reason=reason,
            commit=now.commit,
            report=now.report,
            waivers=waivers,
            checks=accepted,
        )


def list_failures(stack: Stack, run: Run) -> tuple[Result, ...]:
    """Return what a run was stopped for; PolicyRefused when a check could not be asked, or none was."""
    report = stack.ledger.report(run.report) if run.report else None
    own = [result for result in report.results if result.run_id in (None, run.run_id)] if report else []
    for result in own:
        if result.outcome is Outcome.ERRORED:
            message = f"a check could not be asked: {result.message}"
            raise errors.PolicyRefused(message, hint=Command("recheck", run.run_id))
    failures = tuple(result for result in own if result.outcome is Outcome.FAILED)
    if not failures:
        raise errors.PolicyRefused(f"no check of {run.run_id} has failed", hint=Command("recheck", run.run_id))
    return failures


def reject(stack: Stack, run_id: str, decision: Decision) -> Run:
    """Decide that a run never lands: its window stays a gap until a backfill, or until the gap is accepted.

    Its branch stays, and its failing rows for a while. Conflict when it has another commit by now than was seen, Locked
    while its ingestor is at work on it.
    """
    stack.require(Role.REVIEWER, "reject a run")
    require_reason(decision.reason)
    run = stack.ledger.run(run_id)
    refuse_other(run, Seen(decision.seen.commit))
    if run.phase is Phase.REJECTED:
        return run
    if run.phase in UNFINISHED and is_held(stack.ledger, f"ingest {run.ingestor}"):
        raise errors.Locked(f"{run.ingestor} is at work on {run_id}", hint="reject it when it is stopped")
    with stack.ledger.write() as tx:
        changes = {"reasons": [f"rejected by {decision.actor}: {decision.reason}"], "held_until": None}
        return tx.runs.move(
            run_id,
            Phase.REJECTED,
            EventType.RUN_REJECTED,
            decision.actor,
            expect=run.phase,
            changes=changes,
            reason=decision.reason,
            commit=run.commit,
            report=run.report,
        )


def recheck(
    stack: Stack, run_id: str, *, actor: str, progress: Progress = keep_quiet, patience: float = _PATIENCE
) -> Run:
    """Ask the local gate of a stopped run again; return the run: queued, or stopped again.

    It asks of the same rows; columns that an older contract has typed otherwise are typed anew from what was brought.

    `progress` is told when its ingestor is at work; Locked when that takes longer than `patience` seconds.
    """
    stack.require(Role.REVIEWER, "have a run checked again")
    run = stack.ledger.run(run_id)
    if run.phase is not Phase.CHECKING:  # else a recheck or fix was killed on its way: go on with it
        run = find_stopped(stack, run_id, "recheck")
        commit, retyped = retype_rows(stack, run, actor)
        with stack.ledger.write() as tx:
            run = tx.runs.move(
                run_id,
                Phase.CHECKING,
                EventType.RECHECK_REQUESTED,
                actor,
                expect=run.phase,
                gate=Gate.LOCAL,
                changes={"commit_id": commit},
                commit=commit,
                retyped=list(retyped),
            )
    return check_in_turn(stack, run, actor, progress, patience)


def check_in_turn(stack: Stack, run: Run, actor: str, progress: Progress, patience: float = _PATIENCE) -> Run:
    """Ask the local gate of a run that is `checking`, when its ingestor is not at work."""
    deadline, said = time.monotonic() + patience, False
    while True:
        try:
            with hold_lease(stack.ledger, f"ingest {run.ingestor}"):
                now = stack.ledger.run(run.run_id)
                # the ingestor may have asked meanwhile
                return check_run(stack, now, actor) if now.phase is Phase.CHECKING else now
        except errors.Locked:
            if time.monotonic() > deadline:
                raise
        if not said:
            progress(f"{run.ingestor} is at work: waiting for it")
            said = True
        time.sleep(_POLL)


def find_stopped(stack: Stack, run_id: str, verb: str) -> Run:
    """Return a stopped run that has rows; UsageError when there is nothing to `verb`."""
    run = stack.ledger.run(run_id)
    if run.phase not in STOPPED:
        helps = "fix" if verb == "recheck" and run.phase is Phase.REVERTED else "show"
        raise errors.UsageError(f"{run_id} is {run.phase}: there is nothing to {verb}", hint=Command(helps, run_id))
    if run.commit is None:
        raise errors.UsageError(f"{run_id} has brought no rows", hint=Command("fix", f"{run_id} --file FILE"))
    return run


def refuse_other(run: Run, seen: Seen) -> None:
    """Raise Conflict when a run has not the commit or report that was seen."""
    if seen.commit is not None and run.commit != seen.commit:
        message = f"{run.run_id} has another commit by now: {(run.commit or 'none')[:12]}, not {seen.commit[:12]}"
        raise errors.Conflict(message, hint=Command("show", run.run_id))
    if seen.report is not None and run.report != seen.report:
        message = f"{run.run_id} was checked again since: its report is {(run.report or 'none')[:12]} now"
        raise errors.Conflict(message, hint=Command("show", run.run_id))
