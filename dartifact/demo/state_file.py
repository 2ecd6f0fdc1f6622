"""The state of the simulated sources in one file, which any number of processes read and change at the same time."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dartifact.demo.company import CompanyState
from dartifact.demo.controls import Outage
from dartifact.demo.records import DATASETS
from dartifact.domain.errors import UsageError

_START = datetime(2021, 1, 1, tzinfo=UTC)
DEFAULT = CompanyState(seed=2021, start=_START, now=_START, orders_per_tick=400, customers=800)


@dataclass(frozen=True, slots=True)
class Kept:
    """All there is to keep; the fields beside the company are as in `Control`."""

    company: CompanyState
    outages: Mapping[str, Outage] = field(default_factory=lambda: dict.fromkeys(DATASETS, Outage.NONE))
    clock_skew: float = 0.0
    token_calls: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` reads them back."""
        return {
            "company": self.company.to_json(),
            "outages": {dataset: str(outage) for dataset, outage in self.outages.items()},
            "clock_skew": self.clock_skew,
            "token_calls": self.token_calls,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Kept:
        """Read what `to_json` wrote; a state that knows nothing of clocks and tokens has them right."""
        outages = {dataset: Outage(value["outages"][dataset]) for dataset in DATASETS}
        company = CompanyState.from_json(value["company"])
        return cls(company, outages, float(value.get("clock_skew", 0)), int(value.get("token_calls", 0)))


class StateFile:
    """Keeps what is in a file. Each change is made to what the file says then, under a lock between processes.

    It begins as `initial` where there is no file; UsageError when there is one, of another company.
    """

    def __init__(self, path: Path, initial: CompanyState | None) -> None:
        self._path = path
        self._mutex = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._mark: object = None
            self._kept = Kept(initial or DEFAULT)
            if path.exists():
                self._kept = self._read()
                self._refuse_another(initial or self._kept.company)
            self._write(self._kept)

    def look(self) -> Kept:
        """Return what is kept now, whoever changed it last."""
        with self._mutex:
            if self._find_mark() not in (None, self._mark):
                before = self._kept.company
                self._mark, self._kept = self._find_mark(), self._read()
                self._refuse_another(before)
            return self._kept

    def change(self, change: Callable[[Kept], Kept]) -> Kept:
        """Make a change and keep it; when that fails, nothing has changed."""
        with self._locked():
            self._write(change(self.look()))
            return self._kept

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The folder is what is locked: the file itself is replaced, and a lock file would be left behind.
        with self._mutex:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)

    def _find_mark(self) -> object:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> Kept:
        try:
            return Kept.from_json(json.loads(self._path.read_bytes()))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            message = f"{self._path} is not a state of simulated sources: {error}"
            raise UsageError(message, hint="delete it to begin anew") from error

    def _refuse_another(self, expected: CompanyState) -> None:
        found = self._kept.company
        if replace(expected, now=found.now, faults=found.faults) != found:
            raise UsageError(f"{self._path} is the state of another company", hint="delete it to begin anew")

    def _write(self, kept: Kept) -> None:
        draft = self._path.with_name(f".{self._path.name}.draft")
        with draft.open("w") as out:
            json.dump(kept.to_json(), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self._path)
        self._mark, self._kept = self._find_mark(), kept
