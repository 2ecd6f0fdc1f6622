"""The branches, tags and commits of a repository, as they lie in its store: for backups."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dartifact.adapters.lakefs.calls import LakeAccess, LakeCalls
from dartifact.adapters.lakefs.lake import MAIN
from dartifact.domain import errors

_REFS = ("commits_meta_range_id", "tags_meta_range_id", "branches_meta_range_id")


def dump_refs(access: LakeAccess, repository: str) -> dict[str, str]:
    """Write all branches, tags and commits into the store; return the ids that `restore_refs` needs."""
    calls = LakeCalls(access, repository)
    api, what = calls.repositories_api, f"dump {repository}"
    task = calls.write(what, api.dump_submit, repeatable=True)
    refs = _wait_for(calls, what, api.dump_status, task.id).refs
    return {name: getattr(refs, name) for name in _REFS}


def restore_refs(access: LakeAccess, repository: str, namespace: str, refs: Mapping[str, str]) -> None:
    """Create the repository on a store that holds its objects already, with dumped branches, tags and commits."""
    calls = LakeCalls(access, repository)
    api, models = calls.repositories_api, calls.models
    body = models.RepositoryCreation(name=repository, storage_namespace=namespace, default_branch=MAIN)
    calls.write(f"create repository {repository}", api.create_repository, body, bare=True)
    what = f"restore {repository}"
    task = calls.write(what, api.restore_submit, models.RefsRestore(**refs))
    _wait_for(calls, what, api.restore_status, task.id)


def _wait_for(calls: LakeCalls, what: str, ask: Callable[..., Any], task: str) -> Any:
    while True:
        status = calls.read(what, ask, task)
        if status.error:
            raise errors.LakeRequestInvalid(f"{what}: {status.error}")
        if status.done:
            return status
        time.sleep(0.05)
