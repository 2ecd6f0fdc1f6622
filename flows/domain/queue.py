"""The merge queue: what goes into one candidate, who is to blame when it is red, what a candidate may change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows.domain.checks import Outcome, Result
from flows.domain.runs import Run, folder_owner

HEAD_FENCE = "_dartifact/head.json"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one advance of `main` brings: runs that land and runs that are taken out."""

    lands: tuple[Run, ...] = ()
    reverts: tuple[Run, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Name all runs of the batch."""
        return tuple(run.run_id for run in (*self.lands, *self.reverts))

    @property
    def folders(self) -> tuple[str, ...]:
        """Name the folders that the candidate may change, beside the fence."""
        return tuple(run.folder for run in (*self.lands, *self.reverts))

    def __bool__(self) -> bool:
        return bool(self.lands or self.reverts)


def plan_batch(queued: Iterable[Run], reverts: Iterable[Run], size: int) -> Batch:
    """Take reverts first (they repair), then queued runs in claiming order, up to `size` runs."""
    taken = tuple(sorted(reverts, key=lambda run: run.window.seq))[:size]
    waiting = sorted(queued, key=lambda run: run.window.seq)
    return Batch(tuple(waiting[: size - len(taken)]), taken)


def find_foreign(paths: Iterable[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Return the changed paths that lie neither in one of the folders nor on the fence."""
    allowed = tuple(folders)
    return tuple(path for path in paths if path != HEAD_FENCE and not path.startswith(allowed or "\0"))


def find_culprits(results: Iterable[Result], batch: Batch) -> frozenset[str]:
    """Return the landing runs that own a failed or errored result by themselves."""
    landing = {run.run_id for run in batch.lands}
    red = (Outcome.FAILED, Outcome.ERRORED)
    return frozenset(r.run_id for r in results if r.outcome in red and r.run_id in landing and r.run_id is not None)


def split(batch: Batch) -> tuple[Batch, Batch]:
    """Halve a red batch whose culprit is not known; the reverts go with the first half."""
    middle = len(batch.lands) // 2
    return Batch(batch.lands[:middle], batch.reverts), Batch(batch.lands[middle:])


def runs_in(paths: Iterable[str]) -> frozenset[str]:
    """Return the run ids whose folders hold at least one of the paths: what "contains run X" means."""
    return frozenset(owner[1] for owner in map(folder_owner, paths) if owner is not None)
