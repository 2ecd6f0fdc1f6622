"""The head of `main` before a merge: what somebody merged by hand is tested, then adopted or repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.queue import candidates
from dartifact.commands.queue.candidates import Candidate
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import HEAD_FENCE, runs_in
from dartifact.domain.runs import Phase, Run, folder_owner


def _held(why: str) -> errors.MainHeld:
    hint = (Command("adopt"), " keeps it as it is, ", Command("restore-main"), " brings back what was tested")
    return errors.MainHeld(f"main is held: {why}", hint=hint)


def require_tested_head(stack: Stack, actor: str) -> Commit:
    """Return the head of `main`, tested as it is; what was merged by hand is adopted if green, else repaired forward.

    Raises MainHeld where a repair would remove a run's folder: a person decides. ChecksErrored where the head could not
    be checked, and what `advance` raises where it repairs.
    """
    head = stack.lake.head(MAIN)
    state = is_main_tested(stack.ledger, head)
    if state.is_held:
        raise _held(state.why)
    if state:
        if head.parents and not state.is_taken_in:  # tested content, but brought back by hand: a revert, say
            _adopt_content(stack, head, actor)
        return head
    tested = find_tested(stack)
    with stack.ledger.write() as tx:
        tx.append(
            EventType.MAIN_FOUND_UNTESTED,
            actor,
            commit=head.commit_id,
            meta_range=head.meta_range,
            tested=tested.commit_id,
        )
    found = _look_at(stack, tested, head)
    verdict = judge(found.report.results)
    if verdict.kind is VerdictKind.PASS:
        _adopt(stack, head, [run.run_id for run in found.arrived], found.gone, actor, (found.report, verdict))
        return head
    if found.report.has_errors:
        raise errors.ChecksErrored(f"the head of main could not be checked: {verdict.reasons[0]}")
    lost = list_strange_runs(stack, tested, head)
    if not lost:
        return repair(stack, tested, head, verdict.reasons, actor)
    if found.strays and not found.unknown_runs and (cleaned := _clean(stack, tested, head, found, actor)):
        return cleaned
    place = {"commit": head.commit_id, "meta_range": head.meta_range, "tested": tested.commit_id}
    with stack.ledger.write() as tx:
        tx.append(EventType.MAIN_HELD, actor, **place, reasons=list(verdict.reasons), runs=lost)
    raise _held(is_main_tested(stack.ledger, head).why)


@dataclass(frozen=True, slots=True)
class _ByHand:
    """What changed between tested content and a head that nobody tested, and what the gate says of that head.

    `strays` are paths outside of any run's folder, `unknown_runs` folders of runs that the ledger does not know.
    """

    report: Report
    arrived: tuple[Run, ...]
    gone: tuple[str, ...]
    strays: tuple[str, ...]
    unknown_runs: tuple[str, ...]


def find_tested(stack: Stack) -> Commit:
    """Return the newest head that `main` ever had whose content the integration gate has passed, or the empty root."""
    return next(
        commit
        for commit in stack.lake.log(MAIN, most=100_000)
        if not commit.parents or stack.ledger.has_green_report(commit.meta_range)
    )


def list_strange_runs(stack: Stack, tested: Commit, head: Commit) -> list[str]:
    """Return the runs, known or not, whose folders a repair would remove or change."""
    changed = [change for change in stack.lake.diff(tested.commit_id, head.commit_id) if change.kind != "removed"]
    owners = (folder_owner(change.path) for change in changed)
    return sorted({owner[1] for owner in owners if owner})


def repair(stack: Stack, tested: Commit, head: Commit, reasons: Sequence[str], actor: str) -> Commit:
    """Bring `main` forward to the content of a tested commit; return its new head."""
    candidate = candidates.build_repair(stack, tested, head)
    commit = candidate.commit
    message = f"main is brought forward to the content of {tested.commit_id[:12]}"
    restored = Result("main.restored", "main", Outcome.PASSED, message)
    report = Report(Gate.INTEGRATION, commit.commit_id, commit.meta_range, (restored,))
    return _bring_forward(stack, tested, candidate, report, reasons, actor)


def _bring_forward(
    stack: Stack, tested: Commit, candidate: Candidate, report: Report, reasons: Sequence[str], actor: str
) -> Commit:
    with stack.ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
        named = {"refused": candidate.head.commit_id, "tested": tested.commit_id}
        tx.append(EventType.MAIN_REPAIRED, actor, **named, reasons=list(reasons))
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


def _look_at(stack: Stack, tested: Commit, head: Commit) -> _ByHand:
    changed = [change for change in stack.lake.diff(tested.commit_id, head.commit_id) if change.path != HEAD_FENCE]
    known = {run.run_id: run for run in stack.ledger.runs()}
    strays: list[str] = []
    unknown: dict[str, str] = {}
    arrived: dict[str, Run] = {}
    gone: set[str] = set()
    for change in changed:
        owner = folder_owner(change.path)
        run = known.get(owner[1]) if owner else None
        if owner is None:
            strays.append(change.path)
        elif run is None or run.source != owner[0]:
            unknown.setdefault(owner[1], change.path)
        elif change.kind == "removed":
            gone.add(run.run_id)
        else:
            arrived[run.run_id] = run
    foreign = [*unknown.values(), *strays]
    runs = tuple(arrived[name] for name in sorted(arrived))
    report = check_candidate(stack, head, runs)
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        message = f"main holds what no run brought: {foreign[0]}{more}"
        alien = Result("main.paths", "main", Outcome.FAILED, message, measured=len(foreign), threshold="0")
        report = Report(report.gate, report.commit, report.meta_range, (*report.results, alien))
    return _ByHand(report, runs, tuple(sorted(gone - set(arrived))), tuple(strays), tuple(sorted(unknown)))


def _clean(stack: Stack, tested: Commit, head: Commit, found: _ByHand, actor: str) -> Commit | None:
    """Take what is in no run's folder out of `main`; return its new head, None where the rest does not pass."""
    candidate = candidates.build_cleaning(stack, tested, head, found.strays)
    report = check_candidate(stack, candidate.commit, found.arrived)
    if judge(report.results).kind is not VerdictKind.PASS:
        stack.lake.delete_branch(candidate.branch)
        return None
    return _bring_forward(stack, tested, candidate, report, [found.report.results[-1].message], actor)
