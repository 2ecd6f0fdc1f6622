"""The merge queue: everything that changes `main` goes through here, tested as it will be merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from dartifact.adapters.lakefs.values import Commit
from dartifact.commands.leases import hold_lease
from dartifact.commands.queue import candidates
from dartifact.commands.queue.main_head import require_tested_head
from dartifact.commands.queue.rounds import Round, process_candidate
from dartifact.commands.repair.reconcile import finish_open_intents
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors
from dartifact.domain.checks import Gate
from dartifact.domain.hints import Command
from dartifact.domain.queue import (
    OUT_OF_THE_WAY,
    STUMBLED,
    CandidatePlan,
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


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass over the queue knows so far: its rounds, the newest last.

    `held_at` says at which head of `main` a held run was found to wait still.
    """

    rounds: tuple[Round, ...] = ()
    held_at: Mapping[str, str] = field(default_factory=dict)

    @property
    def red(self) -> CandidatePlan:
        """Return what the newest candidate has left red."""
        return self.rounds[-1].red if self.rounds else CandidatePlan()

    @property
    def refusal(self) -> str:
        """Say why the reverts are left out, nothing while they are not."""
        return next((one.refusal for one in self.rounds if one.refusal), "")

    def add(self, last: Round, head: Commit) -> _Pass:
        """Return what is known after one more round."""
        held_at = dict.fromkeys((*last.held, *last.still_held), head.commit_id)
        return _Pass((*self.rounds, last), {**self.held_at, **held_at})

    def sum_up(self, waiting: Iterable[Run]) -> Integration:
        """Return what the pass did, and which runs it leaves in the queue."""
        return Integration(
            merged=[run_id for one in self.rounds for run_id in one.merged],
            reverted=[run_id for one in self.rounds for run_id in one.reverted],
            failed=[run_id for one in self.rounds for run_id in one.failed],
            held=[run_id for one in self.rounds for run_id in one.held],
            waiting=[run.run_id for run in waiting],
            candidates=len(self.rounds),
            commit=next((one.commit for one in reversed(self.rounds) if one.commit), None),
        )


@dataclass(frozen=True, slots=True)
class _Queue:
    """The merge queue as it stands; `waits` says which run waits for which earlier one of its in-order ingestor.

    `free` are the queued and the graced runs that wait for none.
    """

    queued: tuple[Run, ...]
    waits: Mapping[str, str]
    free: Mapping[str, Run]
    reverts: tuple[Run, ...]

    @property
    def waiting(self) -> tuple[Run, ...]:
        """Return the queued runs that wait, the oldest claim first."""
        return tuple(run for run in reversed(self.queued) if run.run_id in self.waits)


def integrate(stack: Stack, *, actor: str, runner: Runner = run_plainly) -> Integration:
    """Bring all waiting runs into `main` and take all waiting reverts out, candidate by candidate.

    A red candidate loses its culprits (they become failed or held on their branches), the rest is tested again; where
    nobody is guilty by himself, parts of it are tested until the culprit is alone. A run is blamed only for a candidate
    that it owns a red result of, or was alone in. Raises Locked while another integrator works, Conflict when `main`
    keeps moving, ChecksErrored when reverts were red by themselves (after all else has landed), and what the lake
    raises.
    """
    refuse_while_stopped(stack.ledger)
    with hold_lease(stack.ledger, "integrate"):
        finish_open_intents(stack, actor)
        return _work_off(stack, actor, runner)


def _work_off(stack: Stack, actor: str, runner: Runner) -> Integration:
    this, rebuilds = _Pass(), 0
    while rebuilds < _REBUILDS:
        try:
            head = runner("test the head of main", lambda: require_tested_head(stack, actor))
        except (candidates.MainMoved, candidates.MainUntested):
            rebuilds += 1  # main moved under its own repair
            continue
        queue = _read_queue(stack, this, head)
        _note_waiting(stack, queue, actor)
        plan, rest = _choose(stack, this, queue)
        if not plan:
            if this.refusal:
                raise errors.ChecksErrored(this.refusal, hint=Command("integrate"))
            return this.sum_up(queue.waiting)
        last = Round()
        try:
            name = f"integrate {len(plan.lands)} in, {len(plan.reverts)} out"
            last = runner(name, partial(process_candidate, stack, plan, rest, head, actor))
        except candidates.MainMoved:
            rebuilds += 1
        except candidates.MainUntested:
            pass  # the next look at the head adopts it or repairs it
        this = this.add(last, head)
    raise errors.Conflict(f"main kept moving: gave up after {_REBUILDS} candidates", hint=Command("integrate"))


def _read_queue(stack: Stack, this: _Pass, head: Commit) -> _Queue:
    """Read what waits to change `main`; a held run that waits still at this head is no part of it."""
    ledger, in_order = stack.ledger, _in_order(stack)
    queued = ledger.runs(phases=(Phase.QUEUED,))
    graced = tuple(
        run
        for run in ledger.runs(phases=(Phase.HELD,))
        if run.gate is Gate.INTEGRATION and run.held_until and this.held_at.get(run.run_id) != head.commit_id
    )
    reverts = ledger.pending_reverts()
    others = [run for name in sorted(in_order) for run in ledger.runs(phases=_IN_THE_WAY, ingestor=name)]
    waits = find_waiting((*queued, *graced), (*others, *reverts), in_order)
    free = {run.run_id: run for run in (*queued, *graced) if run.run_id not in waits}
    return _Queue(queued, waits, free, reverts)


def _choose(stack: Stack, this: _Pass, queue: _Queue) -> tuple[CandidatePlan, CandidatePlan]:
    """Return what the next candidate brings, and the rest of the red candidate that it is a part of."""
    reverts = () if this.refusal else queue.reverts
    wanted = {run.run_id for run in reverts}
    # As they stand now: a person may have taken one of them out of the queue meanwhile.
    red = CandidatePlan(
        tuple(queue.free[run.run_id] for run in this.red.lands if run.run_id in queue.free),
        tuple(run for run in this.red.reverts if run.run_id in wanted),
    )
    if red:
        return split(red, _find_suspects(stack, red, _in_order(stack)))
    return plan_candidate(queue.free.values(), reverts, stack.policy.candidate_size), CandidatePlan()


def _in_order(stack: Stack) -> frozenset[str]:
    return frozenset(one.name for source in stack.sources.values() for one in source.ingestors if one.in_order)


def _note_waiting(stack: Stack, queue: _Queue, actor: str) -> None:
    """Write down, on the queued runs themselves, which of them wait for which earlier run."""
    reasons = {run.run_id: _say_waiting(queue.waits.get(run.run_id)) for run in queue.queued}
    changed = [run for run in queue.queued if run.reasons != reasons[run.run_id]]
    if changed:
        with stack.ledger.write() as tx:
            for run in changed:
                if tx.runs.get(run.run_id).phase is Phase.QUEUED:
                    tx.runs.note_waiting(run.run_id, queue.waits.get(run.run_id), reasons[run.run_id], actor)


def _say_waiting(run_id: str | None) -> tuple[str, ...]:
    return (f"waiting for {run_id} (in-order ingestor)",) if run_id else ()


def _find_suspects(stack: Stack, red: CandidatePlan, in_order: frozenset[str]) -> frozenset[str]:
    reports = {run.report: stack.ledger.report(run.report) for run in red.lands if run.report}
    known = {digest: report for digest, report in reports.items() if report is not None}
    first: dict[str, int] = {}
    for run in red.lands:
        first[run.ingestor] = min(run.window.seq, first.get(run.ingestor, run.window.seq))
    stumbled = [
        name
        for name, seq in first.items()
        if any(run.phase in STUMBLED for run in stack.ledger.runs(ingestor=name, before=seq, most=1))
    ]
    return find_suspects(red.lands, known, stumbled, in_order)
