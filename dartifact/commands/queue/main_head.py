"""The head of `main` before a merge: what somebody merged by hand is tested, then adopted or repaired."""

from __future__ import annotations

from collections.abc import Iterable

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.queue import candidates
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.queue import HEAD_FENCE, runs_in
from dartifact.domain.runs import Phase, Run, folder_owner


def require_tested_head(stack: Stack, actor: str) -> Commit:
    """Return the head of `main`, tested as it is; what was merged by hand is adopted if green, else repaired forward.

    Raises what `advance` does where it repairs.
    """
    head = stack.lake.head(MAIN)
    state = is_main_tested(stack.ledger, head)
    if state:
        if head.parents and not state.is_taken_in:  # tested content, but brought back by hand: a revert, say
            _adopt_content(stack, head, actor)
        return head
    tested = next(
        commit
        for commit in stack.lake.log(MAIN, most=100_000)
        if not commit.parents or stack.ledger.has_green_report(commit.meta_range)
    )
    with stack.ledger.write() as tx:
        tx.append(
            EventType.MAIN_FOUND_UNTESTED,
            actor,
            commit=head.commit_id,
            meta_range=head.meta_range,
            tested=tested.commit_id,
        )
    report, arrived, gone = _check_by_hand(stack, tested, head)
    verdict = judge(report.results)
    if verdict.kind is not VerdictKind.PASS:
        return _repair(stack, tested, head, verdict, actor)
    _adopt(stack, head, arrived, gone, actor, (report, verdict))
    return head


def _repair(stack: Stack, tested: Commit, head: Commit, verdict: Verdict, actor: str) -> Commit:
    """Bring `main` forward to the content that was tested last; return its new head."""
    candidate = candidates.build_repair(stack, tested, head)
    commit = candidate.commit
    message = f"main is brought forward to the content of {tested.commit_id[:12]}"
    restored = Result("main.restored", "main", Outcome.PASSED, message)
    report = Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, (restored,))
    with stack.ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
        reasons = list(verdict.reasons)
        tx.append(EventType.MAIN_REPAIRED, actor, refused=head.commit_id, tested=tested.commit_id, reasons=reasons)
    candidates.advance(stack, candidate, report, actor)
    repaired = stack.lake.head(MAIN)
    _align_runs(stack, repaired, actor)
    return repaired


def _adopt_content(stack: Stack, head: Commit, actor: str) -> None:
    """Take in content that was tested before and has come back by hand."""
    _align_runs(stack, head, actor)
    _adopt(stack, head, (), (), actor)


def _adopt(
    stack: Stack,
    head: Commit,
    arrived: Iterable[str],
    gone: Iterable[str],
    actor: str,
    tested: tuple[Report, Verdict] | None = None,
) -> None:
    """Write down in one transaction that a head is taken in, with the runs that came and went by hand."""
    with stack.ledger.write() as tx:
        if tested is not None:
            tx.reports.save(*tested)
        for run_id in arrived:
            candidates.adopt_run(tx, run_id, Phase.MERGED, actor, head.commit_id)
        for run_id in gone:
            candidates.adopt_run(tx, run_id, Phase.REVERTED, actor, head.commit_id)
        tx.append(EventType.MAIN_ADOPTED, actor, commit=head.commit_id, meta_range=head.meta_range)


def _align_runs(stack: Stack, head: Commit, actor: str) -> None:
    """Bring the runs' phases in line with what a tested head holds."""
    there = runs_in(each.path for each in stack.lake.list_objects(head.commit_id, "raw/"))
    merged = {each.run_id for each in stack.ledger.runs(phases=(Phase.MERGED, Phase.LIVE))}
    with stack.ledger.write() as tx:
        for run_id in sorted(there - merged):
            candidates.adopt_run(tx, run_id, Phase.MERGED, actor, head.commit_id)
        for run_id in sorted(merged - there):
            candidates.adopt_run(tx, run_id, Phase.REVERTED, actor, head.commit_id)


def _check_by_hand(stack: Stack, tested: Commit, head: Commit) -> tuple[Report, tuple[str, ...], tuple[str, ...]]:
    """Check what changed between a tested commit and a head that nobody tested: (report, runs arrived, runs gone)."""
    changed = [change for change in stack.lake.diff(tested.commit_id, head.commit_id) if change.path != HEAD_FENCE]
    known = {each.run_id: each for each in stack.ledger.runs()}
    foreign: list[str] = []
    arrived: dict[str, Run] = {}
    gone: set[str] = set()
    for change in changed:
        owner = folder_owner(change.path)
        run = known.get(owner[1]) if owner else None
        if owner is None or run is None or run.source != owner[0]:
            foreign.append(change.path)
        elif change.kind == "removed":
            gone.add(run.run_id)
        else:
            arrived[run.run_id] = run
    report = check_candidate(stack, head, tuple(arrived.values()))
    if foreign:
        message = f"main holds what no run brought: {foreign[0]}" + (
            f" and {len(foreign) - 1} more" if foreign[1:] else ""
        )
        alien = Result("main.paths", "main", Outcome.FAILED, message, measured=len(foreign), threshold="0")
        report = Report(report.gate, report.commit, report.meta_range, (*report.results, alien))
    return report, tuple(sorted(arrived)), tuple(sorted(gone - set(arrived)))
