"""The merge queue: what goes into one candidate, who is to blame when it is red, what a candidate may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dartifact.domain.checks import Gate, Outcome, Report, Result
from dartifact.domain.runs import Phase, Run, folder_owner

HEAD_FENCE = "_dartifact/head.json"

OUT_OF_THE_WAY = frozenset({Phase.MERGED, Phase.LIVE, Phase.EMPTY, Phase.REJECTED})
"""Phases in which a run keeps no later run of an in-order ingestor waiting: it is in `main`, or never will be.

`reverted` is not one of them: its rows may be fixed and land again, and what comes later may build on them. A person
who rejects the run lets the later ones go on.
"""
STUMBLED = frozenset({Phase.FAILED, Phase.REJECTED, Phase.REVERTED})
"""Phases that tell that something was wrong with what an ingestor brought."""


@dataclass(frozen=True, slots=True)
class CandidatePlan:
    """What one advance of `main` brings: runs that land and runs that are taken out."""

    lands: tuple[Run, ...] = ()
    reverts: tuple[Run, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Name all runs of the candidate."""
        return tuple(run.run_id for run in (*self.lands, *self.reverts))

    @property
    def folders(self) -> tuple[str, ...]:
        """Name the folders that the candidate may change, beside the fence."""
        return tuple(run.folder for run in (*self.lands, *self.reverts))

    @property
    def can_be_split(self) -> bool:
        """Say whether parts of it can be tested apart; reverts stay together."""
        return len(self.lands) + bool(self.reverts) > 1

    def __bool__(self) -> bool:
        return bool(self.lands or self.reverts)


def plan_candidate(queued: Iterable[Run], reverts: Iterable[Run], size: int) -> CandidatePlan:
    """Take reverts first (they repair), then queued runs, up to `size` runs; both land in claiming order.

    Fair between ingestors: each has its oldest waiting run taken, then each its next, and so on, so that the backlog
    of one keeps no other waiting. Where there is no place for one run of each, the oldest runs go first.
    """
    taken = tuple(sorted(reverts, key=_claimed))[:size]
    rounds: Counter[str] = Counter()
    turns = []
    for run in sorted(queued, key=_claimed):
        turns.append((rounds[run.ingestor], run.window.seq, run))
        rounds[run.ingestor] += 1
    lands = (run for _, _, run in sorted(turns, key=lambda turn: turn[:2])[: size - len(taken)])
    return CandidatePlan(tuple(sorted(lands, key=_claimed)), taken)


def find_waiting(queued: Iterable[Run], others: Iterable[Run], in_order: Collection[str]) -> dict[str, str]:
    """Return, for each queued run that may not land yet, the earliest run of its in-order ingestor that is in the way.

    `queued` are the runs that may go into the next candidate, `others` all that may be in the way of them; a run of
    which a revert is requested is, though it is still in `main`. Queued runs are not in each other's way: a candidate
    takes the runs of an ingestor in claiming order.
    """
    queued = tuple(queued)
    up = {run.run_id for run in queued}
    first: dict[str, Run] = {}
    for run in sorted(others, key=_claimed, reverse=True):
        is_in_the_way = run.phase not in OUT_OF_THE_WAY or run.revert_reason is not None
        if run.ingestor in in_order and run.run_id not in up and is_in_the_way:
            first[run.ingestor] = run
    return {
        run.run_id: first[run.ingestor].run_id
        for run in queued
        if run.ingestor in first and first[run.ingestor].window.seq < run.window.seq
    }


def find_foreign(paths: Iterable[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Return the changed paths that lie neither in one of the folders nor on the fence."""
    allowed = tuple(folders)
    return tuple(path for path in paths if path != HEAD_FENCE and not path.startswith(allowed or "\0"))


def find_culprits(results: Iterable[Result], plan: CandidatePlan) -> frozenset[str]:
    """Return the landing runs that own a failed or errored result by themselves."""
    landing = {run.run_id for run in plan.lands}
    red = (Outcome.FAILED, Outcome.ERRORED)
    return frozenset(r.run_id for r in results if r.outcome in red and r.run_id in landing and r.run_id is not None)


def find_suspects(
    lands: Sequence[Run], reports: Mapping[str, Report], stumbled: Collection[str], in_order: Collection[str] = ()
) -> frozenset[str]:
    """Return the landing runs that are asked first when a candidate is red and nobody is guilty by himself.

    `reports` are the runs' reports by digest; `stumbled` the ingestors whose run before this candidate went wrong.
    Nobody has looked at a run without a local report; a warning is what a threshold was too generous for; and a source
    that brought something wrong tends to do it again. What has to land before a suspect is asked together with it.
    """
    suspects = set()
    for run in lands:
        report = reports.get(run.report or "")
        is_looked_at = report is not None and report.gate is Gate.LOCAL
        has_warnings = report is not None and any(result.outcome is Outcome.WARNED for result in report.results)
        if not is_looked_at or has_warnings or run.ingestor in stumbled:
            suspects.add(run.run_id)
    last = {run.ingestor: run.window.seq for run in sorted(lands, key=_claimed) if run.run_id in suspects}
    before = {run.run_id for run in lands if run.ingestor in in_order and run.window.seq < last.get(run.ingestor, 0)}
    return frozenset(suspects | before)


def split(plan: CandidatePlan, suspects: Collection[str] = ()) -> tuple[CandidatePlan, CandidatePlan]:
    """Part a red candidate whose culprit is not known into what is tested next and the rest.

    Reverts are tested alone: they repair, so they wait for nobody, and no run is blamed for what they do. Then come
    the suspects if they are at most half of the runs: right, the search goes on among them only; wrong, they are
    merged by that one candidate. Else the first half: each candidate halves the runs among which the culprit is, so
    that a candidate of n runs takes at most log2(n) + 3 candidates after the red one, the reverts' own included.
    """
    if plan.reverts:
        return CandidatePlan((), plan.reverts), CandidatePlan(plan.lands)
    first = [run for run in plan.lands if run.run_id in suspects]
    ordered = (*first, *(run for run in plan.lands if run.run_id not in suspects))
    half = (len(ordered) + 1) // 2
    size = len(first) if 0 < len(first) <= half else half
    return CandidatePlan(ordered[:size]), CandidatePlan(ordered[size:])


def runs_in(paths: Iterable[str]) -> frozenset[str]:
    """Return the run ids whose folders hold at least one of the paths: what "contains run X" means."""
    return frozenset(owner[1] for owner in map(folder_owner, paths) if owner is not None)


def _claimed(run: Run) -> int:
    return run.window.seq
