"""Candidates: built on a head of `main`, tested, merged into it. The one way `main` moves (design, section 6).

The write to `main` is preceded by an intent and followed by its event; both may be repeated by anybody
(`finish_advance` serves the operation itself and the reconciler after a crash alike).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.writer import Writer
from dartifact.commands.merges import commit_fence, find_merge, merge_surely
from dartifact.commands.stack import Stack, new_operation
from dartifact.domain import errors
from dartifact.domain.checks import Report
from dartifact.domain.dartifacts import Blame, BlameKind
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import HEAD_FENCE, CandidatePlan, find_foreign
from dartifact.domain.runs import Phase, Run


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan merged onto `head` on a hidden branch, not yet tested: `commit` is what will be checked and merged."""

    operation: str
    head: Commit
    commit: Commit
    plan: CandidatePlan

    @property
    def branch(self) -> str:
        """Name the hidden branch."""
        return _name_branch(self.operation)


class RunRefused(errors.ChecksFailed):
    """A run cannot be part of a candidate: it changed paths that are not its own. Names the run and the paths."""

    def __init__(self, run_id: str, paths: tuple[str, ...]) -> None:
        shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        super().__init__(f"run {run_id} touches what is not its own: {shown}", hint=Command("show", run_id))
        self.run_id = run_id


class MainMoved(errors.Conflict):
    """`main` moved before the candidate could be merged. Rebuild from the new head and check again."""


class MainUntested(errors.Conflict):
    """`main` does not show a tested candidate: somebody merged by hand. Check the head as it is, then go on."""


def build_candidate(stack: Stack, plan: CandidatePlan, head: Commit) -> Candidate:
    """Make a hidden candidate of a plan from a head of `main`.

    Raises RunRefused for the first run that changed anything but its own folder.
    """
    operation = new_operation()
    mergeable = {run.run_id for run in plan.lands if _brings_all_it_holds(stack, run, head)}
    branch = _name_branch(operation)
    stack.lake.create_branch(branch, head.commit_id)
    try:
        _take_out(stack, branch, operation, (*plan.reverts, *plan.lands), head)
        for run in plan.lands:
            _land(stack, branch, operation, run, by_merge=run.run_id in mergeable)
        fence = {
            "operation": operation,
            "head": head.commit_id,
            "runs": [run.run_id for run in plan.lands],
            "reverts": [run.run_id for run in plan.reverts],
        }
        return Candidate(operation, head, commit_fence(stack, branch, HEAD_FENCE, fence), plan)
    except BaseException:
        stack.lake.delete_branch(branch)
        raise


def _take_out(stack: Stack, branch: str, operation: str, runs: tuple[Run, ...], head: Commit) -> None:
    """Delete what the head has of runs: those that leave, and those that land again."""
    present = [found.path for run in runs for found in stack.lake.list_objects(head.commit_id, run.folder)]
    if present:
        stack.lake.delete_objects(branch, present)
        stack.lake.commit(branch, f"take out {len(present)} objects", {"operation": operation})


def _land(stack: Stack, branch: str, operation: str, run: Run, *, by_merge: bool) -> None:
    """Bring the folder of a run, as it was tested, to a candidate; RunRefused when it does not fit in."""
    lake, tested = stack.lake, _tested(run)
    message, metadata = f"land {run.run_id}", {"operation": operation, "run": run.run_id, "tested_commit": tested}
    try:
        if by_merge:
            lake.merge(tested, branch, message, metadata, squash=True)
        else:
            for found in lake.list_objects(tested, run.folder):
                lake.upload(branch, found.path, lake.read_bytes(tested, found.path))
            lake.commit(branch, message, metadata)
    except errors.Conflict as error:
        raise RunRefused(run.run_id, (str(error),)) from error
    except errors.NoChanges:
        pass  # it holds nothing: the gate says so


def _brings_all_it_holds(stack: Stack, run: Run, head: Commit) -> bool:
    """Say whether a merge brings a run's whole folder; RunRefused when it would bring anything else.

    False for a run that somebody once merged by hand: it is an ancestor of `main` for ever, whatever became of its
    rows, and a merge brings only what is new since. Such a folder is copied.
    """
    try:
        changes = stack.lake.diff(head.commit_id, _tested(run), since_merge_base=True)
    except errors.NotFound as error:
        raise RunRefused(run.run_id, (f"its commit {_tested(run)[:12]}, which the lake lacks",)) from error
    # Stricter than for a candidate: a run does not write the fence either.
    if foreign := tuple(change.path for change in changes if not change.path.startswith(run.folder)):
        raise RunRefused(run.run_id, foreign)
    holds = {found.path for found in stack.lake.list_objects(_tested(run), run.folder)}
    return holds == {change.path for change in changes} and all(change.kind == "added" for change in changes)


def build_repair(stack: Stack, tested: Commit, head: Commit) -> Candidate:
    """Make a candidate that brings `main` forward to the content of a tested commit."""
    operation = new_operation()
    branch = _name_branch(operation)
    stack.lake.create_branch(branch, head.commit_id)
    if tested.meta_range:
        stack.lake.commit(branch, "restore tested content", {}, source_metarange=tested.meta_range)
    else:
        stack.lake.delete_objects(branch, [found.path for found in stack.lake.list_objects(head.commit_id)])
    fence = {"operation": operation, "head": head.commit_id, "restored": tested.commit_id, "runs": [], "reverts": []}
    return Candidate(operation, head, commit_fence(stack, branch, HEAD_FENCE, fence), CandidatePlan())


def build_cleaning(stack: Stack, tested: Commit, head: Commit, strays: Iterable[str]) -> Candidate:
    """Make a candidate that brings single paths of `main` to what they were in a tested commit, or out of it."""
    lake, operation = stack.lake, new_operation()
    branch = _name_branch(operation)
    lake.create_branch(branch, head.commit_id)
    before = {found.path for found in lake.list_objects(tested.commit_id)} if tested.meta_range else set()
    there = {found.path for found in lake.list_objects(head.commit_id)}
    gone = [path for path in strays if path not in before and path in there]
    if gone:
        lake.delete_objects(branch, gone)
    for path in strays:
        if path in before:
            lake.upload(branch, path, lake.read_bytes(tested.commit_id, path))
    fence = {"operation": operation, "head": head.commit_id, "restored": tested.commit_id, "runs": [], "reverts": []}
    return Candidate(operation, head, commit_fence(stack, branch, HEAD_FENCE, fence), CandidatePlan())


def advance(stack: Stack, candidate: Candidate, report: Report, actor: str) -> str:
    """Merge a tested candidate into `main`; return the merge commit.

    Raises MainMoved when `main` is no longer where the candidate was built, MainUntested when the content that came
    out is not the tested one, OutcomeUnknown when the lake stopped answering (the reconciler finishes the open intent).
    """
    _require_own_paths(stack, candidate)
    payload = {
        "head": candidate.head.commit_id,
        "commit": candidate.commit.commit_id,
        "meta_range": candidate.commit.meta_range,
        "lands": {run.run_id: _tested(run) for run in candidate.plan.lands},
        "reverts": [run.run_id for run in candidate.plan.reverts],
        "report": report.digest,
        "actor": actor,
    }
    with stack.ledger.write() as tx:
        taken = [run.run_id for run in candidate.plan.lands if not _is_as_tested(tx.runs.get(run.run_id), run)]
        if not taken:
            tx.intents.open(candidate.operation, "advance", payload)
    if taken:
        stack.lake.delete_branch(candidate.branch)
        raise MainMoved(f"run {taken[0]} left the queue while it was tested", hint=Command("integrate"))
    return finish_advance(stack, candidate.operation, payload)


def _require_own_paths(stack: Stack, candidate: Candidate) -> None:
    changed = stack.lake.diff(candidate.head.commit_id, candidate.commit.commit_id)
    foreign = find_foreign((change.path for change in changed), candidate.plan.folders)
    if foreign and candidate.plan:
        raise errors.ChecksFailed(f"candidate {candidate.branch} changes what no run of it owns: {foreign[0]}")


def _is_as_tested(now: Run, tested: Run) -> bool:
    return (now.phase, now.commit) == (tested.phase, tested.commit)


def finish_advance(stack: Stack, operation: str, payload: dict[str, Any]) -> str:
    """Merge (again) what an advance intent names, look what came of it, adopt it; see `advance` for the errors."""
    metadata = {
        "operation": operation,
        "gate": "integration",
        "report": payload["report"],
        "actor": payload["actor"],
        "runs": ",".join(payload["lands"])[:1000],
    }
    message = f"advance main: {len(payload['lands'])} in, {len(payload['reverts'])} out"
    try:
        merge_surely(stack, payload["commit"], MAIN, message, metadata)
    except errors.Conflict as error:
        with stack.ledger.write() as tx:
            tx.intents.close(operation, "lost")
        stack.lake.delete_branch(_name_branch(operation))
        raise MainMoved("main moved while the candidate was tested", hint=Command("integrate")) from error
    merged = find_merge(stack, MAIN, payload["head"], payload["commit"])
    is_tested = merged.parents[0] == payload["head"] and merged.meta_range == payload["meta_range"]
    _adopt(stack, operation, payload, merged, is_tested=is_tested)
    stack.lake.delete_branch(_name_branch(operation))
    if not is_tested:
        raise MainUntested("main was changed by hand while a candidate was merged", hint=Command("integrate"))
    return merged.commit_id


def _adopt(stack: Stack, operation: str, payload: dict[str, Any], merged: Commit, *, is_tested: bool) -> None:
    """Write down what a merge into `main` came to, once; the runs of an untested one are left as they are."""
    actor = payload["actor"]
    with stack.ledger.write() as tx:
        if not tx.intents.close(operation, "done" if is_tested else "untested"):
            return
        if is_tested:  # else nothing of it counts yet: `require_tested_head` adopts it or repairs it away
            for run_id in payload["lands"]:
                adopt_run(tx, run_id, Phase.MERGED, actor, merged.commit_id, operation=operation)
            for run_id in payload["reverts"]:
                adopt_run(tx, run_id, Phase.REVERTED, actor, merged.commit_id, operation=operation)
        tx.append(
            EventType.MAIN_ADVANCED if is_tested else EventType.MAIN_UNTESTED,
            actor,
            operation=operation,
            commit=merged.commit_id,
            meta_range=merged.meta_range,
        )


def adopt_run(tx: Writer, run_id: str, phase: Phase, actor: str, commit: str, *, operation: str | None = None) -> None:
    """Write down that a commit of `main` has brought a run in or taken it out; by hand if no operation did."""
    by_hand: dict[str, Any] = {} if operation else {"by_hand": True}
    event = EventType.RUN_MERGED
    changes: dict[str, Any] = {"held_until": None, "reasons": []}
    if phase is Phase.REVERTED:
        event, changes["reasons"] = (
            EventType.RUN_REVERTED,
            [tx.runs.get(run_id).revert_reason or "taken out of main by hand"],
        )
    if phase is Phase.REVERTED or not by_hand:
        changes["revert_reason"] = None  # a request to take it out outlives what a hand does to its rows
    tx.runs.move(
        run_id, phase, event, actor, adopt=True, operation=operation, changes=changes, commit=commit, **by_hand
    )
    if phase is Phase.MERGED and tx.dartifacts.drop_blame(Blame(BlameKind.RUN, run_id)):
        # What landed after a revert has passed the gates anew; what was built before holds its old rows.
        tx.dartifacts.mark_bad(run_id, actor, f"it holds the rows of {run_id} that a rollback blamed")


def _name_branch(operation: str) -> str:
    return f"candidate-{operation}"


def _tested(run: Run) -> str:
    if run.commit is None:
        raise errors.UsageError(f"run {run.run_id} has no tested commit", hint=Command("show", run.run_id))
    return run.commit
