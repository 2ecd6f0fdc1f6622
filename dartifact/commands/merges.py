"""Merges into protected branches: repeated until the outcome is known, then found in the log."""

from __future__ import annotations

import json
from typing import Any

from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.stack import Stack
from dartifact.domain import errors

_TRIES = 4


def merge_surely(stack: Stack, commit: str, branch: str, message: str, metadata: dict[str, str]) -> None:
    """Merge until the outcome is known: "no changes" means done, a conflict means lost."""
    for attempt in range(1, _TRIES + 1):
        try:
            stack.lake.merge(commit, branch, message, metadata)
        except errors.NoChanges:
            return
        except (errors.OutcomeUnknown, errors.LakeUnavailable):
            if attempt == _TRIES:
                raise
        else:
            return


def find_merge(stack: Stack, branch: str, head: str, commit: str) -> Commit:
    """Return the merge that has brought a commit into a branch since a head of it."""
    # A 200 or "no changes" says that the commit is in; only the log says as which merge, and onto what.
    for found in stack.lake.log(branch, stop_at=head):
        if commit in found.parents:
            return found
    raise errors.OutcomeUnknown(f"{commit[:12]} is in {branch}, but not in its log since {head[:12]}")


def commit_fence(stack: Stack, branch: str, path: str, fence: dict[str, Any]) -> Commit:
    """Commit the file that makes an operation's content its own: two operations never merge cleanly."""
    stack.lake.upload(branch, path, json.dumps(fence, sort_keys=True).encode())
    return stack.lake.commit(branch, f"fence {fence['operation']}", {"operation": fence["operation"]})
