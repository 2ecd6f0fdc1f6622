"""A round of the merge queue: one candidate is built and tested, and advances `main` or loses its culprits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.gates.failing_rows import keep_failing_rows
from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.queue import candidates
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, Report, Result, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.queue import CandidatePlan, find_culprits
from dartifact.domain.runs import Phase, Run


@dataclass(frozen=True, slots=True)
class Round:
    """What one candidate came to: run ids by what became of them, and the new head of `main`.

    `red` was red together, or is what is left of that, and its culprit is not known; `still_held` are held runs that
    wait on; `refusal` is why reverts are left out from then on.
    """

    merged: tuple[str, ...] = ()
    reverted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    still_held: tuple[str, ...] = ()
    commit: str | None = None
    red: CandidatePlan = field(default_factory=CandidatePlan)
    refusal: str = ""


def process_candidate(stack: Stack, plan: CandidatePlan, rest: CandidatePlan, head: Commit, actor: str) -> Round:
    """Test one candidate and do what follows from it: advance `main`, or stop the guilty.

    `rest` is what is left of the red candidate that the plan is a part of. Raises what `advance` does.
    """
    try:
        candidate = candidates.build_candidate(stack, plan, head)
    except candidates.RunRefused as refused:
        guilty = next(run for run in plan.lands if run.run_id == refused.run_id)
        result = Result("main.paths", "main", Outcome.FAILED, refused.message, run_id=guilty.run_id)
        return _to_round({guilty.run_id: _stop(stack, guilty, (result,), head, actor)})
    report = check_candidate(stack, candidate.commit, plan.lands)
    verdict = judge(report.results)
    if verdict.kind is not VerdictKind.PASS:
        return _refuse(stack, candidate, report, actor)
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
    return Round(
        commit=candidates.advance(stack, candidate, report, actor),
        merged=tuple(run.run_id for run in plan.lands),
        reverted=tuple(run.run_id for run in plan.reverts),
        red=rest,
    )


def _refuse(stack: Stack, candidate: candidates.Candidate, report: Report, actor: str) -> Round:
    """Stop the culprits of a red candidate; where there are none, say that it is red together."""
    plan, verdict = candidate.plan, judge(report.results)
    culprits = find_culprits(report.results, plan)
    blamed = [run for run in plan.lands if run.run_id in culprits or not plan.can_be_split]
    _keep(stack, candidate, report, blamed, actor)
    stops: dict[str, Phase | None] = {}
    for run in blamed:
        own = tuple(result for result in report.results if result.run_id == run.run_id)
        stops[run.run_id] = _stop(stack, run, own if culprits else report.results, candidate.commit, actor)
    found = _to_round(stops)
    if plan.can_be_split and not culprits:
        return replace(found, red=plan)
    if not plan.lands:
        return replace(found, refusal=f"a revert could not be checked: {verdict.reasons[0]}")
    return found


def _to_round(stops: Mapping[str, Phase | None]) -> Round:
    return Round(
        failed=tuple(run_id for run_id, phase in stops.items() if phase is Phase.FAILED),
        held=tuple(run_id for run_id, phase in stops.items() if phase is Phase.HELD),
        still_held=tuple(run_id for run_id, phase in stops.items() if phase is None),
    )


def _keep(stack: Stack, candidate: candidates.Candidate, report: Report, blamed: list[Run], actor: str) -> None:
    """Keep a red candidate for review; not the one that only says again that a held run waits still."""
    verdict = judge(report.results)
    still_waits = verdict.kind is VerdictKind.HOLD and blamed and all(run.phase is Phase.HELD for run in blamed)
    with stack.ledger.write() as tx:
        digest = tx.reports.save(report, verdict)
        if not still_waits:
            tx.append(
                EventType.CANDIDATE_REFUSED,
                actor,
                operation=candidate.operation,
                branch=candidate.branch,
                commit=candidate.commit.commit_id,
                runs=[run.run_id for run in candidate.plan.lands],
                reverts=[run.run_id for run in candidate.plan.reverts],
                report=digest,
                reasons=list(verdict.reasons),
            )
    if still_waits:
        stack.lake.delete_branch(candidate.branch)


def _stop(stack: Stack, run: Run, results: tuple[Result, ...], commit: Commit, actor: str) -> Phase | None:
    """Take one run out of the queue: failed, or held for the grace time; None for a held one that waits on.

    Its branch stays. A run whose results the ledger refuses is held, and keeps nobody waiting.
    """
    try:
        return _write_stop(stack, run, results, commit, actor)
    except errors.LedgerRefused as refused:
        reasons = [f"its results cannot be recorded: {refused.message}"]
        with stack.ledger.write() as tx:
            changes = {"reasons": reasons, "held_until": None}
            gate = Gate.INTEGRATION
            tx.runs.move(
                run.run_id,
                Phase.HELD,
                EventType.RUN_HELD,
                actor,
                gate=gate,
                adopt=True,
                changes=changes,
                reasons=reasons,
            )
        return Phase.HELD


def _write_stop(stack: Stack, run: Run, results: tuple[Result, ...], commit: Commit, actor: str) -> Phase | None:
    report = Report(Gate.INTEGRATION, commit.commit_id, f"{commit.meta_range}/{run.run_id}", results)
    verdict = judge(results)
    fails = verdict.kind is VerdictKind.FAIL
    if run.phase is Phase.HELD and not fails:  # for the same reason
        with stack.ledger.write() as tx:
            tx.reports.save(report, verdict)
        return None
    reasons = [*verdict.reasons, *_advise(stack, run, results)]
    until = None if fails else run.held_until or stack.clock() + stack.policy.orphan_grace
    keep_failing_rows(stack, run, report, actor)
    phase, event = (Phase.FAILED, EventType.RUN_FAILED) if fails else (Phase.HELD, EventType.RUN_HELD)
    with stack.ledger.write() as tx:
        tx.runs.move(
            run.run_id,
            phase,
            event,
            actor,
            expect=run.phase,
            gate=Gate.INTEGRATION,
            changes={"report": tx.reports.save(report, verdict), "reasons": reasons, "held_until": until},
            reasons=reasons,
            branch=run.branch,
            commit=run.commit,
        )
    return phase


def _advise(stack: Stack, run: Run, results: tuple[Result, ...]) -> tuple[str, ...]:
    """Say that the local gate would have caught what a run has failed at, where it is left out."""
    is_own = any(result.run_id == run.run_id and result.outcome is Outcome.FAILED for result in results)
    if is_own and stack.ledger.events(run_id=run.run_id, type=EventType.LOCAL_GATE_LEFT_OUT, most=1):
        return (f"{run.ingestor}'s local gate is left out and would have caught it: switch it on",)
    return ()
