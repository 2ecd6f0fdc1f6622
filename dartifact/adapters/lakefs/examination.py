"""What a lake is like before anything of ours is in it: read only, for who wants to know whether it can be used."""

from __future__ import annotations

import re

from dartifact.adapters.lakefs.calls import LakeAccess, LakeCalls
from dartifact.adapters.lakefs.lake import MAIN, PROTECTED, SERVED, Lake
from dartifact.domain import errors


class LakeExamination:
    """One repository, there or not, and the server's store; `lake` refuses every write.

    Every method may raise the errors of `errors.translate`.
    """

    def __init__(self, access: LakeAccess, repository: str) -> None:
        self.lake = Lake(access, repository)
        self.lake.refuse_writes(errors.PolicyRefused("who examines a lake changes nothing in it"))
        self._calls = LakeCalls(access, repository)

    def has_repository(self) -> bool:
        """Say whether the repository is there."""
        try:
            self.lake.read_namespace()
        except errors.NotFound:
            return False
        return True

    def find_namespace_fault(self, namespace: str | None) -> str:
        """Say why a repository could not be made with its objects at a namespace; empty where it could."""
        config = self._calls.read("the configuration of the lake", self._calls.config_api.get_config)
        store = config.storage_config
        rule = store.blockstore_namespace_validity_regex if store else None
        if not rule or re.match(rule, namespace or "local://"):
            return ""
        example = store.blockstore_namespace_example
        wanted = (
            f"its objects cannot be kept at {namespace}" if namespace else "nobody has said where to keep its objects"
        )
        return f"{wanted}; the lake keeps them in {store.blockstore_type}, {example}..."

    def list_missing_branches(self) -> tuple[str, ...]:
        """Return those of the lasting branches that are not there."""
        return tuple(branch for branch in (MAIN, *SERVED) if not self.lake.has_branch(branch))

    def list_unprotected(self) -> tuple[str, ...]:
        """Return those of the protected branches, as patterns, that the rules of the repository do not name."""
        what = f"rules of {self.lake.repository}"
        rules = self._calls.read(what, self._calls.repositories_api.get_branch_protection_rules)
        return tuple(pattern for pattern in PROTECTED if pattern not in {rule.pattern for rule in rules})
