"""The merge queue: everything that changes `main` goes through here, tested as it will be merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from flows.adapters.lake import MAIN, Commit
from flows.commands import moves
from flows.commands.gates import ask_again, check_candidate
from flows.commands.housekeeping import finish_open_intents
from flows.commands.stack import Runner, Stack, hold_lease, run_plainly
from flows.domain import errors
from flows.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind, judge
from flows.domain.queue import HEAD_FENCE, Batch, find_culprits, plan_batch, runs_in, split
from flows.domain.runs import Phase, Run, folder_owner

_REBUILDS = 20


@dataclass
class Integration:
    """What one pass over the queue did: run ids by what became of them, and how many candidates it took."""

    merged: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    candidates: int = 0
    commit: str | None = None


def integrate(stack: Stack, *, actor: str, run: Runner = run_plainly) -> Integration:
    """Bring all waiting runs into `main` and take all waiting reverts out, batch by batch.

    A red batch loses its culprits (they become failed or held on their branches) and the rest is tested again.
    Raises Locked while another integrator works, Conflict when `main` keeps moving, and what the lake raises.
    """
    done = Integration()
    with hold_lease(stack.ledger, "integrate"):
        finish_open_intents(stack, actor)
        tried: dict[str, str] = {}
        rebuilds = 0
        while rebuilds < _REBUILDS:
            try:
                head = run("test the head of main", lambda: ensure_main_tested(stack, actor))
            except (moves.MainMoved, moves.MainUntested):
                rebuilds += 1  # main moved under its own repair
                continue
            held = [
                each
                for each in stack.ledger.runs(phases=(Phase.HELD,))
                if each.gate is Gate.INTEGRATION and each.held_until and tried.get(each.run_id) != head.commit_id
            ]
            queued = (*stack.ledger.runs(phases=(Phase.QUEUED,)), *held)
            batch = plan_batch(queued, stack.ledger.pending_reverts(), stack.policy.batch_size)
            if not batch:
                return done
            tried |= {each.run_id: head.commit_id for each in batch.lands}
            try:
                name = f"integrate {len(batch.lands)} in, {len(batch.reverts)} out"
                run(name, partial(_process, stack, batch, head, done, actor))
            except moves.MainMoved:
                rebuilds += 1
            except moves.MainUntested:
                continue
    raise errors.Conflict(f"main kept moving: gave up after {_REBUILDS} candidates", hint="dartifact integrate")


def ensure_main_tested(stack: Stack, actor: str) -> Commit:
    """Return the head of `main`, tested as it is: what was merged by hand is checked, and repaired forward if red."""
    head = stack.lake.head(MAIN)
    if not head.parents:
        return head
    if stack.ledger.has_green_report(head.meta_range):
        if "operation" not in head.metadata:  # tested content, but brought back by hand: a revert, say
            _adopt_presence(stack, head, actor)
        return head
    tested = next(
        each
        for each in stack.lake.log(MAIN, most=100_000)
        if not each.parents or stack.ledger.has_green_report(each.meta_range)
    )
    with stack.ledger.write() as tx:
        tx.append("MainFoundUntested", actor, commit=head.commit_id, tested=tested.commit_id)
    report, arrived, gone = _check_by_hand(stack, tested, head)
    verdict = judge(report.results)
    if verdict.kind is VerdictKind.PASS:
        with stack.ledger.write() as tx:
            tx.save_report(report, verdict)
            for run_id in arrived:
                moves.adopt_run(tx, run_id, Phase.MERGED, actor, head.commit_id)
            for run_id in gone:
                moves.adopt_run(tx, run_id, Phase.REVERTED, actor, head.commit_id)
            tx.append("MainAdopted", actor, commit=head.commit_id, meta_range=head.meta_range)
        return head
    candidate = moves.build_repair(stack, tested, head)
    message = f"main is brought forward to the content of {tested.commit_id[:12]}"
    restored = Result("main.restored", "main", Outcome.PASSED, message)
    meta_range = candidate.commit.meta_range
    report = Report(Gate.INTEGRATION, candidate.commit.commit_id, meta_range, (restored,))
    with stack.ledger.write() as tx:
        tx.save_report(report, judge(report.results))
        tx.append("MainRepaired", actor, refused=head.commit_id, tested=tested.commit_id, reasons=list(verdict.reasons))
    moves.advance(stack, candidate, report, actor)
    repaired = stack.lake.head(MAIN)
    _adopt_presence(stack, repaired, actor)
    return repaired


def _adopt_presence(stack: Stack, head: Commit, actor: str) -> None:
    """Bring the runs' phases in line with what a tested head holds."""
    there = runs_in(each.path for each in stack.lake.list_objects(head.commit_id, "raw/"))
    merged = {each.run_id for each in stack.ledger.runs(phases=(Phase.MERGED, Phase.LIVE))}
    with stack.ledger.write() as tx:
        for run_id in sorted(there - merged):
            moves.adopt_run(tx, run_id, Phase.MERGED, actor, head.commit_id)
        for run_id in sorted(merged - there):
            moves.adopt_run(tx, run_id, Phase.REVERTED, actor, head.commit_id)


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


def _process(stack: Stack, batch: Batch, head: Commit, done: Integration, actor: str) -> None:
    done.candidates += 1
    try:
        candidate = moves.build_candidate(stack, batch, head)
    except moves.RunRefused as refused:
        result = Result("main.paths", "main", Outcome.FAILED, refused.message, run_id=refused.run_id)
        _stop(stack, batch, (result,), head, done, actor)
        return
    commit = candidate.commit
    report = ask_again(lambda: check_candidate(stack, commit, batch.lands), stack.policy.attempts)
    verdict = judge(report.results)
    with stack.ledger.write() as tx:
        tx.save_report(report, verdict)
    if verdict.kind is VerdictKind.PASS:
        done.commit = moves.advance(stack, candidate, report, actor)
        done.merged.extend(each.run_id for each in batch.lands)
        done.reverted.extend(each.run_id for each in batch.reverts)
        return
    stack.lake.delete_branch(candidate.branch)
    if find_culprits(report.results, batch):
        _stop(stack, batch, report.results, commit, done, actor)
    elif len(batch.lands) > 1:
        # Nobody is guilty by himself: halve until the culprit is alone. Only the first half is taken now; what it
        # merges moves `main`, and the other half comes back with the next batch.
        _process(stack, split(batch)[0], head, done, actor)
    elif batch.lands:
        _stop_run(stack, batch.lands[0], report.results, commit, verdict, done, actor)
    else:
        raise errors.ChecksErrored(f"a revert could not be checked: {verdict.reasons[0]}", hint="dartifact integrate")


def _stop(
    stack: Stack, batch: Batch, results: tuple[Result, ...], commit: Commit, done: Integration, actor: str
) -> None:
    for each in batch.lands:
        own = tuple(result for result in results if result.run_id == each.run_id)
        verdict = judge(own) if own else Verdict(VerdictKind.PASS)
        if verdict.kind is not VerdictKind.PASS:
            _stop_run(stack, each, own, commit, verdict, done, actor)


def _stop_run(
    stack: Stack, run: Run, results: tuple[Result, ...], commit: Commit, verdict: Verdict, done: Integration, actor: str
) -> None:
    """Take one run out of the queue: failed, or held for the grace time; its branch stays."""
    report = Report(Gate.INTEGRATION, commit.commit_id, f"{commit.meta_range}/{run.run_id}", results)
    reasons = list(verdict.reasons)
    fails = verdict.kind is VerdictKind.FAIL
    if fails and stack.ledger.events(run_id=run.run_id, type="LocalGateLeftOut", most=1):
        reasons.append(f"{run.ingestor}'s local gate is left out and would have caught it: switch it on")
    until = None if fails else run.held_until or stack.clock() + stack.policy.orphan_grace
    with stack.ledger.write() as tx:
        digest = tx.save_report(report, verdict)
        changes = {"report": digest, "reasons": reasons, "held_until": until}
        if run.phase is Phase.HELD and not fails:
            return  # it keeps waiting, for the same reason
        phase, event = (Phase.FAILED, "RunFailed") if fails else (Phase.HELD, "RunHeld")
        tx.move_run(run.run_id, phase, event, actor, expect=run.phase, gate=Gate.INTEGRATION, changes=changes,
                    reasons=reasons, branch=run.branch, commit=run.commit)  # fmt: skip
    (done.failed if fails else done.held).append(run.run_id)
