"""The lake: lakeFS as typed primitives with explicit timeouts. `commands/merges.py` builds on them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dartifact.adapters.lakefs.calls import TIMEOUT, LakeAccess, LakeCalls
from dartifact.adapters.lakefs.values import Commit, LakeObject, ObjectChange, to_commit
from dartifact.domain import errors

MAIN = "main"
STAGING = "env-staging"
PRODUCTION = "production"
PROTECTED = (MAIN, STAGING, "production*")
SERVED = (STAGING, PRODUCTION, f"{PRODUCTION}-blue", f"{PRODUCTION}-green")

_PAGE = 1000
_LEDGER = "dartifact-ledger"


class Lake:
    """One lakeFS repository.

    Every method may raise the errors of `errors.translate`. Reads and repeatable writes are tried three times;
    commits and merges once, because only the protocol above knows how to repeat them. Calls are independent of each
    other. The SDK, slow to import, is loaded at the first call.
    """

    def __init__(self, access: LakeAccess, repository: str, *, timeout: tuple[float, float] = TIMEOUT) -> None:
        self.access = access
        self.repository = repository
        self._calls = LakeCalls(access, repository, timeout)

    @property
    def seconds(self) -> float:
        """Return the time spent in calls so far."""
        return self._calls.seconds

    # Setting up

    def prepare(self, storage_namespace: str | None = None) -> bool:
        """Create the repository with its protected branches if it is not there; return whether it was created.

        Returns only when the protection has been seen to bite.
        """
        created = not self._has_repository()
        if created:
            namespace = storage_namespace or f"local://{self.repository}-{time.time_ns():x}"
            body = self._calls.models.RepositoryCreation(
                name=self.repository, storage_namespace=namespace, default_branch=MAIN, sample_data=False
            )
            try:
                self._calls.write(
                    f"create repository {self.repository}", self._calls.repositories_api.create_repository, body
                )
            except errors.Conflict:
                created = False  # another process created it between the look and the call
        self.protect()
        root = self.head(MAIN).commit_id if created else None
        for branch in SERVED:
            if root is not None or not self.has_branch(branch):
                try:
                    self.create_branch(branch, root or MAIN, hidden=False)
                except errors.Conflict:
                    continue  # another process was quicker
        return created

    def protect(self, *, wait: float = 30.0) -> None:
        """Set the protection rules and wait until they are seen to bite (the server caches them for seconds)."""
        set_rules = self._calls.repositories_api.set_branch_protection_rules
        rules = [self._calls.models.BranchProtectionRule(pattern=pattern) for pattern in PROTECTED]
        present = self._calls.read(
            f"rules of {self.repository}", self._calls.repositories_api.get_branch_protection_rules
        )
        if {rule.pattern for rule in present} != set(PROTECTED):
            self._calls.write(f"protect {self.repository}", set_rules, rules, repeatable=True)
        end = time.monotonic() + wait
        for branch in (MAIN, *SERVED):
            while not self.is_protected(branch):
                if time.monotonic() > end:
                    raise errors.LakeRequestInvalid(
                        f"the protection of {branch} did not take effect within {wait:.0f} s"
                    )
                time.sleep(0.25)

    def is_protected(self, branch: str) -> bool:
        """Ask whether writes to a branch are refused; harmless where they are not (resets nothing staged)."""
        try:
            body = self._calls.models.ResetCreation(type="reset")
            self._calls.write(f"reset {branch}", self._calls.branches_api.reset_branch, branch, body)
        except errors.LakeRefused:
            return True
        return False

    def read_ledger_id(self) -> str:
        """Return the id of the ledger that this lake goes with, empty before it has one."""
        call = self._calls.repositories_api.get_repository_metadata
        return str((self._calls.read(f"metadata of {self.repository}", call) or {}).get(_LEDGER, ""))

    def write_ledger_id(self, ledger_id: str) -> None:
        """Write down which ledger this lake goes with."""
        body = self._calls.models.RepositoryMetadataSet(metadata={_LEDGER: ledger_id})
        call = self._calls.internal_api.set_repository_metadata
        self._calls.write(f"metadata of {self.repository}", call, body, repeatable=True)

    def read_namespace(self) -> str:
        """Return where the repository keeps its objects: `local://...`, `s3://...`."""
        got = self._calls.read(f"repository {self.repository}", self._calls.repositories_api.get_repository)
        return str(got.storage_namespace)

    def refuse_writes(self, why: errors.DartifactError | None) -> None:
        """Let every write raise this from now on; None lets them through again."""
        self._calls.refusal = why

    # Reading

    def head(self, branch: str) -> Commit:
        """Return the commit a branch (or tag) stands on, without anything uncommitted."""
        return self.commit_of(f"{branch}@")

    def commit_of(self, ref: str) -> Commit:
        """Return the commit a reference names."""
        got = self._calls.read(f"commit {ref}", self._calls.commits_api.get_commit, ref)
        return to_commit(got)

    def has_branch(self, branch: str) -> bool:
        """Say whether a branch exists."""
        try:
            self._calls.read(f"branch {branch}", self._calls.branches_api.get_branch, branch)
        except errors.NotFound:
            return False
        return True

    def list_branches(self, prefix: str) -> tuple[str, ...]:
        """Name the branches with a prefix, hidden ones too."""
        pages = self._calls.pages(
            f"branches {prefix}*",
            self._calls.branches_api.list_branches_with_http_info,
            prefix=prefix,
            show_hidden=True,
        )
        return tuple(item["id"] for item in pages)

    def list_objects(self, ref: str, prefix: str = "") -> tuple[LakeObject, ...]:
        """List all objects of a commit below a prefix, by path."""
        pages = self._calls.pages(
            f"objects of {ref}:{prefix}", self._calls.objects_api.list_objects_with_http_info, ref, prefix=prefix
        )
        return tuple(
            LakeObject(item["path"], item["checksum"], item.get("size_bytes", 0), item["physical_address"])
            for item in pages
        )

    def diff(self, left: str, right: str, *, since_merge_base: bool = False) -> tuple[ObjectChange, ...]:
        """List the objects that differ between two commits, or that `right` changed since the two parted."""
        kind = "three_dot" if since_merge_base else "two_dot"
        pages = self._calls.pages(
            f"diff {left}..{right}", self._calls.refs_api.diff_refs_with_http_info, left, right, type=kind
        )
        return tuple(ObjectChange(item["path"], item["type"]) for item in pages)

    def list_staged(self, branch: str) -> tuple[ObjectChange, ...]:
        """List what a branch has changed since its last commit."""
        pages = self._calls.pages(f"staged on {branch}", self._calls.branches_api.diff_branch_with_http_info, branch)
        return tuple(ObjectChange(item["path"], item["type"]) for item in pages)

    def log(self, ref: str, *, stop_at: str | None = None, most: int = 1000) -> Iterator[Commit]:
        """Walk the first-parent history from a reference, newest first, at most to `stop_at` (inclusive)."""
        extra = {"stop_at": stop_at} if stop_at else {}
        pages = self._calls.pages(
            f"log of {ref}",
            self._calls.refs_api.log_commits_with_http_info,
            ref,
            first_parent=True,
            page=100,
            **extra,
        )
        for count, item in enumerate(pages):
            if count >= most:
                return
            yield Commit(
                item["id"],
                item["meta_range_id"],
                tuple(item["parents"]),
                item["message"],
                item["creation_date"],
                item.get("metadata") or {},
            )

    def locate(self, commit: str, objects: Sequence[LakeObject]) -> tuple[str, ...]:
        """Say where a reader finds objects of a commit: their files if they lie here, else addresses of the gateway."""
        local = [item.physical.removeprefix("local://") for item in objects]
        if self._co_located(objects):
            return tuple(local)
        return tuple(f"s3://{self.repository}/{commit}/{item.path}" for item in objects)

    def _co_located(self, objects: Sequence[LakeObject]) -> bool:
        first = objects[0].physical if objects else ""
        return not self.access.gateway_only and first.startswith("local://") and Path(first[8:]).is_file()

    def read_bytes(self, ref: str, path: str) -> bytes:
        """Read one object whole."""
        get = self._calls.objects_api.get_object
        return bytes(self._calls.read(f"read {ref}:{path}", get, ref, path))

    def read_json(self, ref: str, path: str) -> Any:
        """Read one JSON object; None where the object is missing."""
        try:
            return json.loads(self.read_bytes(ref, path))
        except errors.NotFound:
            return None

    # Writing to unprotected branches

    def create_branch(self, name: str, source: str, *, hidden: bool = True) -> None:
        """Create a branch at a commit; Conflict when the name is taken."""
        body = self._calls.models.BranchCreation(name=name, source=source, hidden=hidden)
        self._calls.write(f"create branch {name}", self._calls.branches_api.create_branch, body)

    def delete_branch(self, name: str) -> None:
        """Delete a branch; a missing one is fine."""
        try:
            delete = self._calls.branches_api.delete_branch
            self._calls.write(f"delete branch {name}", delete, name, repeatable=True)
        except errors.NotFound:
            return

    def upload(self, branch: str, path: str, content: bytes | Path) -> None:
        """Stage one object on a branch."""
        data = content.read_bytes() if isinstance(content, Path) else content
        self._calls.write(
            f"upload {branch}:{path}",
            self._calls.objects_api.upload_object,
            branch,
            path,
            content=data,
            repeatable=True,
        )

    def delete_objects(self, branch: str, paths: Sequence[str]) -> None:
        """Stage the deletion of objects on a branch, however many."""
        for start in range(0, len(paths), _PAGE):
            body = self._calls.models.PathList(paths=list(paths[start : start + _PAGE]))
            what = f"delete {len(paths)} objects of {branch}"
            answer = self._calls.write(what, self._calls.objects_api.delete_objects, branch, body, repeatable=True)
            if answer.errors:  # inside a 200, each with a status of its own
                from dartifact.adapters.lakefs.errors import translate_status  # noqa: PLC0415

                first = answer.errors[0]
                raise translate_status(first.status_code, f"{first.path}: {first.message}", what, write=True)

    def commit(
        self, branch: str, message: str, metadata: Mapping[str, str], *, source_metarange: str | None = None
    ) -> Commit:
        """Commit what is staged, or the exact content of another commit's meta-range; NoChanges when nothing is."""
        body = self._calls.models.CommitCreation(message=message, metadata=dict(metadata))
        extra: dict[str, Any] = {"source_metarange": source_metarange} if source_metarange else {}
        return to_commit(
            self._calls.write(f"commit on {branch}", self._calls.commits_api.commit, branch, body, **extra)
        )

    def merge(
        self, commit: str, into: str, message: str, metadata: Mapping[str, str] | None = None, *, squash: bool = False
    ) -> str:
        """Merge a tested commit into a branch and return the new commit's id.

        Conflict: both sides changed one path (or the branch moved). NoChanges: the content is there already.
        """
        body = self._calls.models.Merge(message=message, metadata=dict(metadata or {}), squash_merge=squash)
        merge = self._calls.refs_api.merge_into_branch
        return str(self._calls.write(f"merge {commit[:12]} into {into}", merge, commit, into, body).reference)

    def tag(self, name: str, commit: str) -> None:
        """Tag a commit; the same tag on the same commit again is fine, elsewhere a Conflict."""
        try:
            body = self._calls.models.TagCreation(id=name, ref=commit)
            self._calls.write(f"tag {name}", self._calls.tags_api.create_tag, body)
        except errors.Conflict:
            got = self._calls.read(f"tag {name}", self._calls.tags_api.get_tag, name)
            if got.commit_id != commit:
                raise

    def _has_repository(self) -> bool:
        try:
            self._calls.read(f"repository {self.repository}", self._calls.repositories_api.get_repository)
        except errors.NotFound:
            return False
        return True
