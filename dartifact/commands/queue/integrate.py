"""The merge queue: everything that changes `main` goes through here, tested as it will be merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates.failing_rows import keep_failing_rows
from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.leases import hold_lease
from dartifact.commands.queue import candidates
from dartifact.commands.queue.main_head import require_tested_head
from dartifact.commands.repair.reconcile import finish_open_intents
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Report, Result, Verdict, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import (
    OUT_OF_THE_WAY,
    STUMBLED,
    CandidatePlan,
    find_culprits,
    find_suspects,
    find_waiting,
    plan_candidate,
    split,
)
from dartifact.domain.runs import Phase, Run

_REBUILDS = 20
_IN_THE_WAY = tuple(phase for phase in Phase if phase not in OUT_OF_THE_WAY)


@dataclass
class Integration:
    """What one pass over the queue did: run ids by what became of them, and how many candidates it took.

    `waiting` are queued runs that an earlier run of their in-order ingestor keeps from landing.
    """

    merged: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    candidates: int = 0
    commit: str | None = None


@dataclass
class _Pass:
    """What one pass over the queue knows.

    `red` was red together, or is what is left of that, and its culprit is not known; `held_at` says at which head of
    `main` a held run was found to wait still; `refusal` is why the reverts are left out.
    """

    actor: str
    done: Integration = field(default_factory=Integration)
    red: CandidatePlan = field(default_factory=CandidatePlan)
    held_at: dict[str, str] = field(default_factory=dict)
    refusal: errors.ChecksErrored | None = None


def integrate(stack: Stack, *, actor: str, runner: Runner = run_plainly) -> Integration:
    """Bring all waiting runs into `main` and take all waiting reverts out, candidate by candidate.

    A red candidate loses its culprits (they become failed or held on their branches), the rest is tested again; where
    nobody is guilty by himself, parts of it are tested until the culprit is alone. A run is blamed only for a candidate
    that it owns a red result of, or was alone in. Raises Locked while another integrator works, Conflict when `main`
    keeps moving, ChecksErrored when reverts were red by themselves (after all else has landed), and what the lake
    raises.
    """
    refuse_while_stopped(stack.ledger)
    this = _Pass(actor)
    with hold_lease(stack.ledger, "integrate"):
        finish_open_intents(stack, actor)
        rebuilds = 0
        while rebuilds < _REBUILDS:
            try:
                head = runner("test the head of main", lambda: require_tested_head(stack, actor))
            except (candidates.MainMoved, candidates.MainUntested):
                rebuilds += 1  # main moved under its own repair
                continue
            plan, rest = _choose(stack, this, head)
            if not plan:
                if this.refusal is not None:
                    raise this.refusal
                return this.done
            try:
                name = f"integrate {len(plan.lands)} in, {len(plan.reverts)} out"
                runner(name, partial(_process, stack, this, plan, rest, head))
            except candidates.MainMoved:
                rebuilds += 1
            except candidates.MainUntested:
                continue
    raise errors.Conflict(f"main kept moving: gave up after {_REBUILDS} candidates", hint=Command("integrate"))


def _choose(stack: Stack, this: _Pass, head: Commit) -> tuple[CandidatePlan, CandidatePlan]:
    """Return what the next candidate brings, and the rest of the red candidate that it is a part of."""
    ledger = stack.ledger
    queued = ledger.runs(phases=(Phase.QUEUED,))
    graced = [
        each
        for each in ledger.runs(phases=(Phase.HELD,))
        if each.gate is Gate.INTEGRATION and each.held_until and this.held_at.get(each.run_id) != head.commit_id
    ]
    reverts = ledger.pending_reverts()
    in_order = _in_order(stack)
    others = [each for name in sorted(in_order) for each in ledger.runs(phases=_IN_THE_WAY, ingestor=name)]
    waits = find_waiting((*queued, *graced), (*others, *reverts), in_order)
    this.done.waiting = [each.run_id for each in reversed(queued) if each.run_id in waits]
    _note_waiting(stack, queued, waits, this.actor)
    free = {each.run_id: each for each in (*queued, *graced) if each.run_id not in waits}
    out = () if this.refusal else reverts
    wanted = {each.run_id for each in out}
    # As they stand now: a person may have taken one of them out of the queue meanwhile.
    red = CandidatePlan(
        tuple(free[each.run_id] for each in this.red.lands if each.run_id in free),
        tuple(each for each in this.red.reverts if each.run_id in wanted),
    )
    if red:
        return split(red, _find_suspects(stack, red, in_order))
    return plan_candidate(free.values(), out, stack.policy.candidate_size), CandidatePlan()


def _in_order(stack: Stack) -> frozenset[str]:
    return frozenset(each.name for source in stack.sources.values() for each in source.ingestors if each.in_order)


def _note_waiting(stack: Stack, queued: tuple[Run, ...], waits: dict[str, str], actor: str) -> None:
    """Write down, on the queued runs themselves, which of them wait for which earlier run."""
    reasons = {each.run_id: _say_waiting(waits.get(each.run_id)) for each in queued}
    changed = [each for each in queued if each.reasons != reasons[each.run_id]]
    if changed:
        with stack.ledger.write() as tx:
            for each in changed:
                if tx.runs.get(each.run_id).phase is Phase.QUEUED:
                    tx.runs.note_waiting(each.run_id, waits.get(each.run_id), reasons[each.run_id], actor)


def _say_waiting(run_id: str | None) -> tuple[str, ...]:
    return (f"waiting for {run_id} (in-order ingestor)",) if run_id else ()


def _find_suspects(stack: Stack, red: CandidatePlan, in_order: frozenset[str]) -> frozenset[str]:
    reports = {each.report: stack.ledger.report(each.report) for each in red.lands if each.report}
    known = {digest: report for digest, report in reports.items() if report is not None}
    first: dict[str, int] = {}
    for each in red.lands:
        first[each.ingestor] = min(each.window.seq, first.get(each.ingestor, each.window.seq))
    stumbled = [
        name
        for name, seq in first.items()
        if any(each.phase in STUMBLED for each in stack.ledger.runs(ingestor=name, before=seq, most=1))
    ]
    return find_suspects(red.lands, known, stumbled, in_order)


def _process(stack: Stack, this: _Pass, plan: CandidatePlan, rest: CandidatePlan, head: Commit) -> None:
    """Test one candidate and do what follows from it: advance `main`, stop the guilty, or say what is red together."""
    this.done.candidates += 1
    this.red = CandidatePlan()
    try:
        candidate = candidates.build_candidate(stack, plan, head)
    except candidates.RunRefused as refused:
        result = Result("main.paths", "main", Outcome.FAILED, refused.message, run_id=refused.run_id)
        guilty = next(each for each in plan.lands if each.run_id == refused.run_id)
        _stop(stack, this, guilty, (result,), head, head)
        return
    commit = candidate.commit
    report = check_candidate(stack, commit, plan.lands)
    verdict = judge(report.results)
    if verdict.kind is VerdictKind.PASS:
        with stack.ledger.write() as tx:
            tx.reports.save(report, verdict)
        this.done.commit = candidates.advance(stack, candidate, report, this.actor)
        this.done.merged.extend(each.run_id for each in plan.lands)
        this.done.reverted.extend(each.run_id for each in plan.reverts)
        this.red = rest
        return
    culprits = find_culprits(report.results, plan)
    blamed = [each for each in plan.lands if each.run_id in culprits or not plan.can_be_split]
    _refuse(stack, candidate, report, verdict, blamed, this.actor)
    for each in blamed:
        own = tuple(result for result in report.results if result.run_id == each.run_id)
        _stop(stack, this, each, own if culprits else report.results, commit, head)
    if plan.can_be_split and not culprits:
        this.red = plan
    elif not plan.lands:
        message = f"a revert could not be checked: {verdict.reasons[0]}"
        this.refusal = errors.ChecksErrored(message, hint=Command("integrate"))


def _refuse(
    stack: Stack, candidate: candidates.Candidate, report: Report, verdict: Verdict, blamed: list[Run], actor: str
) -> None:
    """Keep a red candidate for review; not the one that only says again that a held run waits still."""
    still_waits = verdict.kind is VerdictKind.HOLD and blamed and all(each.phase is Phase.HELD for each in blamed)
    with stack.ledger.write() as tx:
        digest = tx.reports.save(report, verdict)
        if not still_waits:
            tx.append(
                EventType.CANDIDATE_REFUSED,
                actor,
                operation=candidate.operation,
                branch=candidate.branch,
                commit=candidate.commit.commit_id,
                runs=[each.run_id for each in candidate.plan.lands],
                reverts=[each.run_id for each in candidate.plan.reverts],
                report=digest,
                reasons=list(verdict.reasons),
            )
    if still_waits:
        stack.lake.delete_branch(candidate.branch)


def _stop(stack: Stack, this: _Pass, run: Run, results: tuple[Result, ...], commit: Commit, head: Commit) -> None:
    """Take one run out of the queue: failed, or held for the grace time; its branch stays."""
    report = Report(Gate.INTEGRATION, commit.commit_id, f"{commit.meta_range}/{run.run_id}", results)
    verdict = judge(results)
    reasons = list(verdict.reasons)
    fails = verdict.kind is VerdictKind.FAIL
    is_own = any(each.run_id == run.run_id and each.outcome is Outcome.FAILED for each in results)
    if is_own and stack.ledger.events(run_id=run.run_id, type=EventType.LOCAL_GATE_LEFT_OUT, most=1):
        reasons.append(f"{run.ingestor}'s local gate is left out and would have caught it: switch it on")
    until = None if fails else run.held_until or stack.clock() + stack.policy.orphan_grace
    if not fails:
        this.held_at[run.run_id] = head.commit_id
    still_waits = run.phase is Phase.HELD and not fails
    if not still_waits:
        keep_failing_rows(stack, run, report, this.actor)
    with stack.ledger.write() as tx:
        digest = tx.reports.save(report, verdict)
        changes = {"report": digest, "reasons": reasons, "held_until": until}
        if still_waits:
            return  # for the same reason
        phase, event = (Phase.FAILED, EventType.RUN_FAILED) if fails else (Phase.HELD, EventType.RUN_HELD)
        tx.runs.move(
            run.run_id,
            phase,
            event,
            this.actor,
            expect=run.phase,
            gate=Gate.INTEGRATION,
            changes=changes,
            reasons=reasons,
            branch=run.branch,
            commit=run.commit,
        )
    (this.done.failed if fails else this.done.held).append(run.run_id)
