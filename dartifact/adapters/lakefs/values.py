"""What the lake answers, as values: commits, objects and how objects differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its content is `meta_range`; `parents[0]` is the branch it was made on."""

    commit_id: str
    meta_range: str
    parents: tuple[str, ...]
    message: str
    created: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LakeObject:
    """One object of a commit; `physical` is its store address, an immutable file on a local store."""

    path: str
    checksum: str
    size: int
    physical: str


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One difference between two commits: `kind` is added, removed or changed."""

    path: str
    kind: str


def to_commit(got: Any) -> Commit:
    """Read a commit from the SDK's model of one."""
    return Commit(
        got.id, got.meta_range_id, tuple(got.parents), got.message, got.creation_date, dict(got.metadata or {})
    )
