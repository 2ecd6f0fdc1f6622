"""The only two ways a protected branch moves: advance `main`, publish a snapshot (design, section 6).

Each write to a protected branch is preceded by an intent and followed by its event; both may be repeated by anybody
(`finish_advance`, `finish_publication` serve the operation itself and the reconciler after a crash alike).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.writer import Writer
from dartifact.commands.stack import Stack, new_operation
from dartifact.domain import errors
from dartifact.domain.checks import Report
from dartifact.domain.dartifacts import Blame
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import HEAD_FENCE, CandidatePlan, find_foreign
from dartifact.domain.runs import Phase, Run

PUBLISHED_FENCE = "_dartifact/published.json"
_TRIES = 4


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
        return f"candidate-{self.operation}"


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
    lake, operation = stack.lake, new_operation()
    candidate = f"candidate-{operation}"
    plain = {run.run_id for run in plan.lands if _brings_all_it_holds(stack, run, head)}
    lake.create_branch(candidate, head.commit_id)
    try:
        present = [path for run in (*plan.reverts, *plan.lands) for path in _paths(stack, head, run.folder)]
        if present:
            lake.delete_objects(candidate, present)
            lake.commit(candidate, f"take out {len(present)} objects", {"operation": operation})
        for run in plan.lands:
            metadata = {"operation": operation, "run": run.run_id, "tested_commit": _tested(run)}
            try:
                if run.run_id in plain:
                    lake.merge(_tested(run), candidate, f"land {run.run_id}", metadata, squash=True)
                else:
                    for each in lake.list_objects(_tested(run), run.folder):
                        lake.upload(candidate, each.path, lake.read_bytes(_tested(run), each.path))
                    lake.commit(candidate, f"land {run.run_id}", metadata)
            except errors.Conflict as error:
                raise RunRefused(run.run_id, (str(error),)) from error
            except errors.NoChanges:
                continue  # it holds nothing: the gate says so
        fence = {
            "operation": operation,
            "head": head.commit_id,
            "runs": [run.run_id for run in plan.lands],
            "reverts": [run.run_id for run in plan.reverts],
        }
        commit = _commit_fence(stack, candidate, HEAD_FENCE, fence)
        return Candidate(operation, head, commit, plan)
    except BaseException:
        lake.delete_branch(candidate)
        raise


def _brings_all_it_holds(stack: Stack, run: Run, head: Commit) -> bool:
    """Say whether a merge brings a run's whole folder; RunRefused when it would bring anything else.

    False for a run that somebody once merged by hand: it is an ancestor of `main` for ever, whatever became of its
    rows, and a merge brings only what is new since. Such a folder is copied.
    """
    changes = stack.lake.diff(head.commit_id, _tested(run), since_merge_base=True)
    # Stricter than for a candidate: a run does not write the fence either.
    if foreign := tuple(change.path for change in changes if not change.path.startswith(run.folder)):
        raise RunRefused(run.run_id, foreign)
    holds = {each.path for each in stack.lake.list_objects(_tested(run), run.folder)}
    return holds == {change.path for change in changes} and all(change.kind == "added" for change in changes)


def build_repair(stack: Stack, tested: Commit, head: Commit) -> Candidate:
    """Make a candidate that brings `main` forward to the content of a tested commit."""
    operation = new_operation()
    candidate = f"candidate-{operation}"
    stack.lake.create_branch(candidate, head.commit_id)
    if tested.meta_range:
        stack.lake.commit(candidate, "restore tested content", {}, source_metarange=tested.meta_range)
    else:
        stack.lake.delete_objects(candidate, [each.path for each in stack.lake.list_objects(head.commit_id)])
    fence = {"operation": operation, "head": head.commit_id, "restored": tested.commit_id, "runs": [], "reverts": []}
    return Candidate(operation, head, _commit_fence(stack, candidate, HEAD_FENCE, fence), CandidatePlan())


def advance(stack: Stack, candidate: Candidate, report: Report, actor: str) -> str:
    """Merge a tested candidate into `main`; return the merge commit.

    Raises MainMoved when `main` is no longer where the candidate was built, MainUntested when the content that came
    out is not the tested one, OutcomeUnknown when the lake stopped answering (the reconciler finishes the open intent).
    """
    lake = stack.lake
    changed = lake.diff(candidate.head.commit_id, candidate.commit.commit_id)
    foreign = find_foreign((change.path for change in changed), candidate.plan.folders)
    if foreign and candidate.plan:
        raise errors.ChecksFailed(f"candidate {candidate.branch} changes what no run of it owns: {foreign[0]}")
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
        lake.delete_branch(candidate.branch)
        raise MainMoved(f"run {taken[0]} left the queue while it was tested", hint=Command("integrate"))
    return finish_advance(stack, candidate.operation, payload)


def _is_as_tested(now: Run, tested: Run) -> bool:
    return (now.phase, now.commit) == (tested.phase, tested.commit)


def finish_advance(stack: Stack, operation: str, payload: dict[str, Any]) -> str:
    """Merge (again) what an advance intent names, look what came of it, adopt it; see `advance` for the errors."""
    lake, ledger = stack.lake, stack.ledger
    metadata = {
        "operation": operation,
        "gate": "integration",
        "report": payload["report"],
        "actor": payload["actor"],
        "runs": ",".join(payload["lands"])[:1000],
    }
    message = f"advance main: {len(payload['lands'])} in, {len(payload['reverts'])} out"
    try:
        _merge_surely(stack, payload["commit"], MAIN, message, metadata)
    except errors.Conflict as error:
        with ledger.write() as tx:
            tx.intents.close(operation, "lost")
        lake.delete_branch(f"candidate-{operation}")
        raise MainMoved("main moved while the candidate was tested", hint=Command("integrate")) from error
    merged = _find_merge(stack, MAIN, payload["head"], payload["commit"])
    is_tested = merged.parents[0] == payload["head"] and merged.meta_range == payload["meta_range"]
    with ledger.write() as tx:
        if tx.intents.close(operation, "done" if is_tested else "untested"):
            # Untested, nothing of it counts yet: `require_tested_head` adopts it or repairs it away.
            for run_id in payload["lands"] if is_tested else ():
                adopt_run(tx, run_id, Phase.MERGED, payload["actor"], merged.commit_id, operation=operation)
            for run_id in payload["reverts"] if is_tested else ():
                adopt_run(tx, run_id, Phase.REVERTED, payload["actor"], merged.commit_id, operation=operation)
            tx.append(
                EventType.MAIN_ADVANCED if is_tested else EventType.MAIN_UNTESTED,
                payload["actor"],
                operation=operation,
                commit=merged.commit_id,
                meta_range=merged.meta_range,
            )
    lake.delete_branch(f"candidate-{operation}")
    if not is_tested:
        raise MainUntested("main was changed by hand while a candidate was merged", hint=Command("integrate"))
    return merged.commit_id


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
    if phase is Phase.MERGED and tx.dartifacts.drop_blame(Blame("run", run_id)):
        # What landed after a revert has passed the gates anew; what was built before holds its old rows.
        tx.dartifacts.mark_bad(run_id, actor, f"it holds the rows of {run_id} that a rollback blamed")


def publish(stack: Stack, branch: str, wanted: Commit, *, dartifact: str, generation: int, actor: str) -> str:
    """Make a served branch show exactly the content of a commit; return the commit of the branch that does.

    Works forwards and backwards. Already shown: nothing happens. Conflict: another publisher won; read the live
    pointer again and go on only if it still asks for this.
    """
    lake = stack.lake
    head = lake.head(branch)
    shown = lake.read_json(head.commit_id, PUBLISHED_FENCE)
    if shown and shown["wanted"] == wanted.commit_id and _shows_exactly(stack, head, wanted):
        return head.commit_id
    operation = new_operation()
    helper = f"publish-{operation}"
    lake.create_branch(helper, head.commit_id)
    try:
        # NoChanges: the branch shows a snapshot of the same content under another name.
        with contextlib.suppress(errors.NoChanges):
            lake.commit(helper, f"content of {wanted.commit_id[:12]}", {}, source_metarange=wanted.meta_range)
        fence = {
            "operation": operation,
            "generation": generation,
            "dartifact": dartifact,
            "wanted": wanted.commit_id,
        }
        commit = _commit_fence(stack, helper, PUBLISHED_FENCE, fence)
        payload = {
            "branch": branch,
            "head": head.commit_id,
            "commit": commit.commit_id,
            "meta_range": commit.meta_range,
            "actor": actor,
            **fence,
        }
        with stack.ledger.write() as tx:
            tx.intents.open(operation, "publish", payload)
    except BaseException:
        lake.delete_branch(helper)
        raise
    return finish_publication(stack, operation, payload)


def finish_publication(stack: Stack, operation: str, payload: dict[str, Any]) -> str:
    """Merge (again) what a publish intent names and look what came of it; Conflict when another publisher won."""
    lake, branch = stack.lake, payload["branch"]
    message = f"publish {payload['dartifact']} (generation {payload['generation']})"
    metadata = {"operation": operation, "dartifact": payload["dartifact"], "actor": payload["actor"]}
    try:
        _merge_surely(stack, payload["commit"], branch, message, metadata)
    except errors.Conflict as error:
        with stack.ledger.write() as tx:
            tx.intents.close(operation, "lost")
        lake.delete_branch(f"publish-{operation}")
        raise errors.Conflict(f"another publisher moved {branch} first", hint=Command("status")) from error
    merged = _find_merge(stack, branch, payload["head"], payload["commit"])
    is_exact = merged.parents[0] == payload["head"] and merged.meta_range == payload["meta_range"]
    with stack.ledger.write() as tx:
        if tx.intents.close(operation, "done" if is_exact else "mixed"):
            fence = {key: payload[key] for key in ("branch", "generation", "wanted")}
            tx.append(
                EventType.SNAPSHOT_PUBLISHED if is_exact else EventType.SNAPSHOT_MIXED,
                payload["actor"],
                operation=operation,
                dartifact=payload["dartifact"],
                commit=merged.commit_id,
                **fence,
            )
    lake.delete_branch(f"publish-{operation}")
    if not is_exact:
        raise errors.Conflict(f"{branch} was changed by hand while it was published", hint=Command("doctor"))
    return merged.commit_id


def _shows_exactly(stack: Stack, head: Commit, wanted: Commit) -> bool:
    # The fence alone proves nothing: a merge by hand keeps it.
    return all(change.path == PUBLISHED_FENCE for change in stack.lake.diff(wanted.commit_id, head.commit_id))


def _merge_surely(stack: Stack, commit: str, branch: str, message: str, metadata: dict[str, str]) -> None:
    """Merge until the outcome is known: "no changes" means done, a conflict means lost."""
    _repeat(lambda: stack.lake.merge(commit, branch, message, metadata))


def _repeat(write: Callable[[], object]) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            write()
        except errors.NoChanges:
            return
        except (errors.OutcomeUnknown, errors.LakeUnavailable):
            if attempt == _TRIES:
                raise
        else:
            return


def _find_merge(stack: Stack, branch: str, head: str, commit: str) -> Commit:
    # A 200 or "no changes" says that the commit is in; only the log says as which merge, and onto what.
    for found in stack.lake.log(branch, stop_at=head):
        if commit in found.parents:
            return found
    raise errors.OutcomeUnknown(f"{commit[:12]} is in {branch}, but not in its log since {head[:12]}")


def _commit_fence(stack: Stack, branch: str, path: str, fence: dict[str, Any]) -> Commit:
    stack.lake.upload(branch, path, json.dumps(fence, sort_keys=True).encode())
    return stack.lake.commit(branch, f"fence {fence['operation']}", {"operation": fence["operation"]})


def _paths(stack: Stack, head: Commit, folder: str) -> list[str]:
    return [each.path for each in stack.lake.list_objects(head.commit_id, folder)]


def _tested(run: Run) -> str:
    if run.commit is None:
        raise errors.UsageError(f"run {run.run_id} has no tested commit", hint=Command("show", run.run_id))
    return run.commit
