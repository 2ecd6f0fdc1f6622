"""Stored diffs: each computed once per (base, candidate, options), in a bounded folder of the home.

An entry is a folder named by the digest of what was compared; it is written aside and moved into place, so that a
reader sees all of it or nothing and of two writers one wins. What cannot be read back is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from dartifact.compare.diff.report import SCHEMA_VERSION, DiffReport
from dartifact.compare.diff.table import Diff, StoredRows

MOST_BYTES = 2 * 1024**3
_ABANDONED_SECONDS = 24 * 3600
_ENGINE = 2  # to be raised when an equal question gets another answer


@dataclass(frozen=True, slots=True)
class StoredDiff:
    """A diff, and the Parquet file of the rows that differ."""

    diff: Diff
    rows_file: Path


class DiffStore:
    """The folder of stored diffs."""

    def __init__(self, home: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder = home / "diffs"
        self._most_bytes = most_bytes

    def find_or_make(self, identity: Any, make: Callable[[Path], Diff]) -> StoredDiff:
        """Return the diff of an identity, made by `make(work folder)` if it is not there or damaged.

        `make` may use the folder as it likes and leaves the differing rows there in `rows.parquet`.
        """
        text = json.dumps([SCHEMA_VERSION, _ENGINE, identity], sort_keys=True, default=str)
        place = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        if (found := _read(place)) is not None:
            os.utime(place)
            return found
        work = self.folder / f".{uuid4().hex}"
        work.mkdir(parents=True)
        try:
            diff = make(work)
            for each in work.iterdir():
                if each.name != "rows.parquet":
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
            _write_manifest(work, diff)
            self._put(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self._drop_oldest(keep=place)
        return StoredDiff(diff, place / "rows.parquet")

    def _put(self, work: Path, place: Path) -> None:
        for _ in range(3):
            try:
                work.rename(place)
            except OSError:
                if _read(place) is not None:
                    return  # another writer was quicker: its answer is the same
                damaged = self.folder / f".{uuid4().hex}"
                place.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)
            else:
                return

    def _drop_oldest(self, keep: Path) -> None:
        entries = []
        for each in self.folder.iterdir():
            try:
                used, size = each.stat().st_mtime, sum(file.stat().st_size for file in each.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                continue  # another process has dropped it
            if each.name.startswith("."):
                if used < time.time() - _ABANDONED_SECONDS:
                    shutil.rmtree(each, ignore_errors=True)
            else:
                entries.append((used, size, each))
        total = sum(size for _, size, _ in entries)
        for _, size, each in sorted(entries):
            if total <= self._most_bytes:
                return
            if each != keep:
                shutil.rmtree(each, ignore_errors=True)
                total -= size


def _write_manifest(folder: Path, diff: Diff) -> None:
    body = {
        "report": diff.report.to_json(),
        "columns": list(diff.stored.columns),
        "rows_bytes": (folder / "rows.parquet").stat().st_size,
    }
    manifest = {"digest": _digest(body), "body": body}
    (folder / "diff.json").write_text(json.dumps(manifest), encoding="utf-8")


def _read(place: Path) -> StoredDiff | None:
    rows_file = place / "rows.parquet"
    try:
        manifest = json.loads((place / "diff.json").read_text(encoding="utf-8"))
        body = manifest["body"]
        if manifest["digest"] != _digest(body) or body["rows_bytes"] != rows_file.stat().st_size:
            return None
        report = DiffReport.from_json(body["report"])
        columns = tuple(body["columns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return StoredDiff(Diff(report, StoredRows(report.key, columns)), rows_file)


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
