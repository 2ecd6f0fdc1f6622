"""The books of the state machine: what the sources published, who brought it first, and what a commit really holds.

Nothing here uses the code under test to decide what is right: batches are read from their Parquet files, and what they
have to hold follows from what was published and fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dartifact.adapters.lakefs.calls import LakeCalls
from dartifact.adapters.lakefs.lake import Lake, LakeAccess
from dartifact.adapters.lakefs.values import LakeObject
from dartifact.domain.runs import Phase, Run, folder_owner
from dartifact.domain.sources import Source
from tests.support.sources import RememberingSource, Row, shard_of

CONTENT = {"customers": ("segment", "note"), "orders": ("customer_id", "amount", "note")}
KEY = {"customers": "customer_id", "orders": "order_id"}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a row: what counts once, however often it was brought."""

    key: str | int
    updated_at: datetime
    content: tuple[Any, ...]
    deleted: bool


def to_version(dataset: str, row: Mapping[str, Any]) -> Version:
    """Read a version from a source's JSON row or from a row of a batch."""
    at = row["updated_at"]
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    content = tuple(Decimal(row[name]) if name == "amount" else row[name] for name in CONTENT[dataset])
    return Version(row[KEY[dataset]], time.astimezone(UTC), content, bool(row.get("_deleted")))


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a source answered once: the versions of one stretch of one shard."""

    lo: datetime
    hi: datetime
    shard: int
    versions: frozenset[Version]


@dataclass
class Publisher(RememberingSource):
    """A source that remembers what it answered."""

    answers: list[Fetch] = field(default_factory=list)

    def fetch(self, lo: datetime, hi: datetime, *, shard: int, shards: int) -> Iterator[list[Row]]:
        """Answer as `RememberingSource` does, and write it down."""
        pages = list(super().fetch(lo, hi, shard=shard, shards=shards))
        versions = frozenset(to_version(self.name, row) for page in pages for row in page)
        self.answers.append(Fetch(lo, hi, shard, versions))
        return iter(pages)

    def versions(self, shard: int, shards: int) -> list[Version]:
        """Return all versions of a shard, in the order they were published."""
        return [to_version(self.name, row) for row in self.rows if shard_of(row, shards) == shard]


@dataclass
class Books:
    """What each run brought.

    `first` is what a run's extract brought of what nobody brought before it; `content` what its tested commit holds,
    which a person's fix changes. Both are written down once, when the run has a commit.
    """

    sources: Mapping[str, Source]
    publishers: Mapping[str, Publisher]
    first: dict[str, frozenset[Version]] = field(default_factory=dict)
    content: dict[str, frozenset[Version]] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)

    def note_runs(self, runs: Iterable[Run], files: Files, *, raced: bool) -> None:
        """Write down what runs with a new commit brought, after comparing it with what they had to bring.

        `raced`: another process may have been at the same run; then any answer of the source may be the one.
        """
        for run in sorted(runs, key=lambda each: each.window.seq):
            self.seqs[run.run_id] = run.window.seq
            known = run.run_id in self.first
            if run.phase is Phase.EMPTY and not known:
                assert any(not each for each in self._expected(run)), f"{run.run_id} is empty; its window is not"
            if run.commit is None or known:
                continue
            brought = files.read(run.commit, run.source, run.folder)
            expected = self._expected(run)
            allowed = expected if raced else expected[-1:]
            assert brought in allowed, f"{run.run_id} brought {_show(brought)}, not {' or '.join(map(_show, allowed))}"
            self.first[run.run_id] = self.content[run.run_id] = brought

    def _expected(self, run: Run) -> list[frozenset[Version]]:
        window = run.window
        answers = [
            each.versions
            for each in self.publishers[run.source].answers
            if (each.lo, each.hi, each.shard) == (window.lo, window.hi, window.shard)
        ]
        return [answer - self._brought_before(run) for answer in answers]

    def _brought_before(self, run: Run) -> frozenset[Version]:
        return frozenset().union(*(brought for name, brought in self.first.items() if self.seqs[name] < run.window.seq))

    def find_lost(self, runs: Iterable[Run]) -> list[str]:
        """Name the published versions that no run brought and none will: always empty, if nothing is lost."""
        runs = tuple(runs)
        lost = []
        for name, source in self.sources.items():
            shards = len(source.ingestors)
            for shard in range(shards):
                mine = [run for run in runs if run.source == name and run.window.shard == shard]
                brought = frozenset[Version]().union(*(self.first.get(run.run_id, frozenset()) for run in mine))
                without = [run.window for run in mine if run.commit is None and run.phase is not Phase.EMPTY]
                last = max((run.window.hi for run in mine), default=None)
                for version in self.publishers[name].versions(shard, shards):
                    at = version.updated_at
                    comes = last is None or at > last - source.overlap
                    waits = any(window.lo < at <= window.hi for window in without)
                    if not (version in brought or comes or waits):
                        lost.append(f"{name} {version}")
        return lost

    def expect_current(self, dataset: str, run_ids: Iterable[str]) -> set[Version]:
        """Return the current rows of a dataset in a commit that contains these runs."""
        best: dict[Any, tuple[int, datetime, Version]] = {}
        for run_id in run_ids:
            for version in self.content[run_id]:
                rank = (self.seqs[run_id], version.updated_at)
                if version.key not in best or rank > best[version.key][:2]:
                    best[version.key] = (*rank, version)
        return {version for _, _, version in best.values() if not version.deleted}


class Files:
    """Looks at one lake; what never changes (a commit's objects, a file's rows) is read once."""

    def __init__(self, access: LakeAccess, repository: str) -> None:
        self.lake = Lake(access, repository)
        self._objects: dict[str, tuple[LakeObject, ...]] = {}
        self._rows: dict[str, frozenset[Version]] = {}
        self._calls = LakeCalls(access, repository, (3.0, 30.0))

    def heads(self) -> dict[str, str]:
        """Return the commit id of every branch, hidden ones too."""
        branches = self._calls.pages(
            "branches", self._calls.branches_api.list_branches_with_http_info, show_hidden=True
        )
        return {each["id"]: each["commit_id"] for each in branches}

    def objects(self, commit: str) -> tuple[LakeObject, ...]:
        """List the objects of a commit."""
        if commit not in self._objects:
            self._objects[commit] = self.lake.list_objects(commit)
        return self._objects[commit]

    def checksums(self, commit: str, *but: str) -> dict[str, str]:
        """Return path → checksum of the objects of a commit, without some paths."""
        return {each.path: each.checksum for each in self.objects(commit) if each.path not in but}

    def read(self, commit: str, dataset: str, folder: str) -> frozenset[Version]:
        """Return the versions in a folder of a commit."""
        mine = (each for each in self.objects(commit) if each.path.startswith(folder))
        return frozenset().union(*(self.rows(dataset, each) for each in mine))

    def rows(self, dataset: str, found: LakeObject) -> frozenset[Version]:
        """Return the versions of one batch file; AssertionError when it holds one twice."""
        if found.physical not in self._rows:
            rows = pq.read_table(Path(found.physical.removeprefix("local://"))).to_pylist()
            versions = [to_version(dataset, row) for row in rows]
            assert len(set(versions)) == len(versions), f"{found.path} holds a version twice"
            self._rows[found.physical] = frozenset(versions)
        return self._rows[found.physical]

    def runs(self, objects: Iterable[LakeObject]) -> dict[str, tuple[str, frozenset[Version]]]:
        """Return run id → (dataset, versions) of all batches among the objects."""
        runs: dict[str, tuple[str, frozenset[Version]]] = {}
        for each in objects:
            owner = folder_owner(each.path)
            if owner is not None:
                dataset, run_id = owner
                before = runs.get(run_id, (dataset, frozenset()))[1]
                runs[run_id] = (dataset, before | self.rows(dataset, each))
        return runs


def _show(versions: frozenset[Version]) -> str:
    return "{" + ", ".join(sorted(f"{v.key}@{v.updated_at:%H:%M:%S.%f} {v.content}" for v in versions)) + "}"
