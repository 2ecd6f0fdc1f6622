"""Publish a snapshot: the one way to move `env-staging`, the slots and `production` (design, section 6).

The write to the served branch is preceded by an intent and followed by its event; both may be repeated by anybody
(`finish_publication` serves the operation itself and the reconciler after a crash alike).
"""

from __future__ import annotations

import contextlib
from typing import Any

from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.merges import commit_fence, find_merge, merge_surely
from dartifact.commands.stack import Stack, new_operation
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command

PUBLISHED_FENCE = "_dartifact/published.json"


def publish(stack: Stack, branch: str, wanted: Commit, *, dartifact: str, generation: int, actor: str) -> str:
    """Make a served branch show exactly the content of a commit; return the commit of the branch that does.

    Works forwards and backwards. Already shown: nothing happens. Conflict: another publisher won; read the live
    pointer again and go on only if it still asks for this.
    """
    head = stack.lake.head(branch)
    if _shows_exactly(stack, head, wanted):
        return head.commit_id
    operation = new_operation()
    fence = {"operation": operation, "generation": generation, "dartifact": dartifact, "wanted": wanted.commit_id}
    helper = _name_helper(operation)
    stack.lake.create_branch(helper, head.commit_id)
    try:
        commit = _commit_content(stack, helper, wanted, fence)
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
        stack.lake.delete_branch(helper)
        raise
    return finish_publication(stack, operation, payload)


def finish_publication(stack: Stack, operation: str, payload: dict[str, Any]) -> str:
    """Merge (again) what a publish intent names and look what came of it; Conflict when another publisher won."""
    branch = payload["branch"]
    message = f"publish {payload['dartifact']} (generation {payload['generation']})"
    metadata = {"operation": operation, "dartifact": payload["dartifact"], "actor": payload["actor"]}
    try:
        merge_surely(stack, payload["commit"], branch, message, metadata)
    except errors.Conflict as error:
        with stack.ledger.write() as tx:
            tx.intents.close(operation, "lost")
        stack.lake.delete_branch(_name_helper(operation))
        raise errors.Conflict(f"another publisher moved {branch} first", hint=Command("status")) from error
    merged = find_merge(stack, branch, payload["head"], payload["commit"])
    is_exact = merged.parents[0] == payload["head"] and merged.meta_range == payload["meta_range"]
    with stack.ledger.write() as tx:
        if tx.intents.close(operation, "done" if is_exact else "mixed"):
            tx.append(
                EventType.SNAPSHOT_PUBLISHED if is_exact else EventType.SNAPSHOT_MIXED,
                payload["actor"],
                operation=operation,
                dartifact=payload["dartifact"],
                commit=merged.commit_id,
                branch=branch,
                generation=payload["generation"],
                wanted=payload["wanted"],
            )
    stack.lake.delete_branch(_name_helper(operation))
    if not is_exact:
        raise errors.Conflict(f"{branch} was changed by hand while it was published", hint=Command("doctor"))
    return merged.commit_id


def _name_helper(operation: str) -> str:
    return f"publish-{operation}"


def _shows_exactly(stack: Stack, head: Commit, wanted: Commit) -> bool:
    shown = stack.lake.read_json(head.commit_id, PUBLISHED_FENCE)
    if not shown or shown["wanted"] != wanted.commit_id:
        return False
    # The fence alone proves nothing: a merge by hand keeps it.
    return all(change.path == PUBLISHED_FENCE for change in stack.lake.diff(wanted.commit_id, head.commit_id))


def _commit_content(stack: Stack, helper: str, wanted: Commit, fence: dict[str, Any]) -> Commit:
    # NoChanges: the branch shows a snapshot of the same content under another name.
    with contextlib.suppress(errors.NoChanges):
        stack.lake.commit(helper, f"content of {wanted.commit_id[:12]}", {}, source_metarange=wanted.meta_range)
    return commit_fence(stack, helper, PUBLISHED_FENCE, fence)
