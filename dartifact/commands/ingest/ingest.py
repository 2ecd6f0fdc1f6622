"""Ingest: claim a window, bring its rows to a run branch, ask the local gate, request the merge."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dartifact.adapters.ledger.writer import Writer
from dartifact.commands.faults import NOT_OF_A_RUN, OUTSIDE, describe_fault
from dartifact.commands.gates.failing_rows import keep_failing_rows
from dartifact.commands.gates.local import check_batch
from dartifact.commands.ingest.extraction import Extractor, extract
from dartifact.commands.leases import hold_lease
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.commands.upkeep.fitting import require_fitting
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Verdict, VerdictKind, judge
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import UNFINISHED, Phase, Run
from dartifact.domain.sources import Source
from dartifact.domain.windows import next_window, trust_clock


def ingest(
    stack: Stack,
    source: Source,
    extractor: Extractor,
    ingestor: str,
    *,
    actor: str,
    runner: Runner = run_plainly,
    progress: Progress = keep_quiet,
) -> tuple[Run, ...]:
    """Finish what this ingestor left unfinished, then bring the next window; return the runs as they stand.

    Empty when the source's clock has not moved. A run that a gate stopped is returned, not raised: it stays on its
    branch. What the last window left to the next ones is its `backlog`. A run that could not be finished keeps no later
    one waiting: its error is raised when all else is done, and the same call again goes on where it stopped. Where the
    source, the lake or the ledger does not answer, nothing more is tried. Locked when the ingestor is at work
    elsewhere, Stopped when a person does not want it to be; UsageError, before anything is claimed, when the source and
    its contract do not fit together.
    """
    refuse_while_stopped(stack.ledger, ingestor)
    require_fitting(source, stack.contract(source.name))
    with hold_lease(stack.ledger, f"ingest {ingestor}"):
        finished, problems = finish_runs(stack, source, extractor, ingestor, actor, runner)
        told = _read_clock(stack, source, extractor, runner)
        claimed = _claim(stack, source, ingestor, told, actor, progress)
        brought = () if claimed is None else (carry(stack, source, extractor, claimed, actor, runner),)
        if problems:
            raise problems[0]
        return (*finished, *brought)


def _read_clock(stack: Stack, source: Source, extractor: Extractor, runner: Runner) -> datetime:
    try:
        return runner("read the source's clock", extractor.read_clock)
    except Exception as error:
        raise describe_fault(stack, source.name, "reading the source's clock", error) from error


def finish_runs(
    stack: Stack, source: Source, extractor: Extractor, ingestor: str, actor: str, runner: Runner
) -> tuple[tuple[Run, ...], tuple[errors.DartifactError, ...]]:
    """Go on with the runs that this ingestor left unfinished, and ask again of those that wait for a grace time.

    Returns them as they stand and what kept some of them from being finished; raises what keeps all of them.
    """
    unfinished = stack.ledger.runs(phases=UNFINISHED, ingestor=ingestor)
    waiting = [
        run
        for run in stack.ledger.runs(phases=(Phase.HELD,), ingestor=ingestor)
        if run.gate is Gate.LOCAL and run.held_until and run.held_until > stack.clock()
    ]
    finished: list[Run] = []
    problems: list[errors.DartifactError] = []
    for run in sorted((*unfinished, *waiting), key=lambda run: run.window.seq):
        try:
            finished.append(carry(stack, source, extractor, run, actor, runner))
        except (*OUTSIDE, *NOT_OF_A_RUN):
            raise
        except errors.DartifactError as problem:
            problems.append(problem)
    return tuple(finished), tuple(problems)


def _claim(stack: Stack, source: Source, ingestor: str, told: datetime, actor: str, progress: Progress) -> Run | None:
    """Claim the next window up to what the source's clock told, as far as it is believed."""
    last = stack.ledger.last_claim(source.name, source.shard(ingestor))
    ours = stack.clock()
    now = trust_clock(told, ours)
    claim = next_window(last, now, start=source.start, overlap=source.overlap, max_window=source.max_window)
    with stack.ledger.write() as tx:
        if told > now:
            seconds = round((told - ours).total_seconds(), 3)
            progress(f"the clock of {source.name} is {seconds:g} s ahead of ours: read up to {now.isoformat()} only")
            tx.append(EventType.SOURCE_CLOCK_AHEAD, actor, source=source.name, seconds=seconds, trusted=now.isoformat())
        if last is not None and told < last:
            seconds = round((last - told).total_seconds(), 3)
            progress(f"the clock of {source.name} is {seconds:g} s behind the last claim: nothing is claimed")
            tx.append(EventType.SOURCE_CLOCK_BEHIND, actor, source=source.name, seconds=seconds)
        if claim is None:
            return None
        run = tx.windows.claim(source, ingestor, *claim, after=last, actor=actor, clock=now)
        if stack.flow_run:
            tx.append(EventType.FLOW_RUN_NOTED, actor, run=run.run_id, flow_run=stack.flow_run)
        return run


def carry(stack: Stack, source: Source, extractor: Extractor, run: Run, actor: str, runner: Runner) -> Run:
    """Bring one run from wherever it stands to the queue or to the gate that stops it.

    Whatever goes wrong is counted against this run, which is held after as many attempts as the policy says.
    """
    what = "extraction" if run.phase is Phase.EXTRACTING else "the local gate"
    try:
        if run.phase is Phase.EXTRACTING:
            run = runner(f"extract {run.run_id}", lambda: extract(stack, source, extractor, run, actor))
            what = "the local gate"
        if run.phase in (Phase.CHECKING, Phase.HELD):
            run = runner(f"check {run.run_id}", lambda: check_run(stack, run, actor))
    except NOT_OF_A_RUN:
        raise
    except Exception as error:
        fault = describe_fault(stack, run.run_id, what, error)
        _give_up_later(stack, run.run_id, actor, fault)
        raise fault from error
    return run


def _give_up_later(stack: Stack, run_id: str, actor: str, error: errors.DartifactError) -> None:
    with stack.ledger.write() as tx:
        attempts = tx.runs.note_attempt(run_id, actor, error.message)
        phase = tx.runs.get(run_id).phase
        is_stuck = phase is Phase.EXTRACTING or (phase is Phase.CHECKING and not isinstance(error, OUTSIDE))
        if attempts >= stack.policy.attempts and is_stuck:
            # The window is a gap now and the next run flows past; a person, or a backfill, closes it.
            reasons = [f"gave up after {attempts} attempts: {error.message}"]
            tx.runs.move(run_id, Phase.HELD, EventType.RUN_HELD, actor, changes={"reasons": reasons}, reasons=reasons)


def check_run(stack: Stack, run: Run, actor: str) -> Run:
    """Ask the local gate of a run with a commit: it is queued then, failed or held."""
    if run.commit is None:
        raise errors.UsageError(f"run {run.run_id} was held before it had a commit", hint=Command("show", run.run_id))
    if _is_gate_left_out(stack, run):
        with stack.ledger.write() as tx:
            tx.append(EventType.LOCAL_GATE_LEFT_OUT, actor, run=run.run_id)
            return request_merge(tx, run, actor, None)
    commit = stack.lake.commit_of(run.commit)
    report, profile = check_batch(stack, run, commit)
    verdict = judge(report.results)
    still_waits = run.phase is Phase.HELD and verdict.kind is VerdictKind.HOLD
    if verdict.kind is not VerdictKind.PASS and not still_waits:
        keep_failing_rows(stack, run, report, actor)  # before the run moves: who sees it stopped, sees why
    with stack.ledger.write() as tx:
        digest = tx.reports.save(report, verdict)
        tx.runs.save_profile(run.run_id, commit.commit_id, profile)
        if still_waits:
            return run
        if verdict.kind is VerdictKind.PASS:
            return request_merge(tx, run, actor, digest)
        until = None if verdict.kind is VerdictKind.FAIL else stack.clock() + stack.policy.orphan_grace
        return _stop(tx, run, verdict, digest, until, actor)


def _is_gate_left_out(stack: Stack, run: Run) -> bool:
    left_out = {ingestor.name for ingestor in stack.source(run.source).ingestors if not ingestor.local_gate}
    return run.ingestor in left_out | stack.policy.skip_local_gate


def _stop(tx: Writer, run: Run, verdict: Verdict, digest: str, until: datetime | None, actor: str) -> Run:
    """Write down that the local gate has stopped a run: held until a time, or failed."""
    phase, event = (Phase.HELD, EventType.RUN_HELD) if until else (Phase.FAILED, EventType.RUN_FAILED)
    reasons = list(verdict.reasons)
    return tx.runs.move(
        run.run_id,
        phase,
        event,
        actor,
        expect=run.phase,
        gate=Gate.LOCAL,
        changes={"report": digest, "reasons": reasons, "held_until": until},
        reasons=reasons,
        branch=run.branch,
        commit=run.commit,
    )


def request_merge(tx: Writer, run: Run, actor: str, digest: str | None) -> Run:
    """Create the merge request of a run whose local gate passed or was left out; policy approves it at once."""
    changes: dict[str, Any] = {"report": digest, "reasons": [], "held_until": None}
    queued = tx.runs.move(
        run.run_id,
        Phase.QUEUED,
        EventType.MERGE_REQUESTED,
        actor,
        expect=run.phase,
        gate=Gate.LOCAL,
        changes=changes,
        commit=run.commit,
        report=digest,
    )
    tx.append(EventType.MERGE_APPROVED, "policy:merge", run=run.run_id, commit=run.commit, report=digest)
    return queued
