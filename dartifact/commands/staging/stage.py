"""Staging: make the dartifact of the head of `main` and the newest code, and show it on `env-staging`."""

from __future__ import annotations

from dataclasses import replace

from dartifact.adapters.lakefs.lake import MAIN, STAGING
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.project_code import digest_code
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.publication import publish
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.repair.reconcile import finish_open_intents
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.commands.staging.assembly import Inputs, StandIn, build_dartifact
from dartifact.commands.staging.codes import LastGood, find_overtaken, find_refusal, last_good, record_code
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors
from dartifact.domain.dartifacts import PASSED, WAITING, Blame, BlameKind, Dartifact, DartifactState
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.people import Role


def stage(
    stack: Stack, *, actor: str, runner: Runner = run_plainly, retry: bool = False, go_over: bool = False
) -> Dartifact:
    """Make the dartifact of `main`'s head and today's code, or return it if it is known; red or green.

    A red build is followed by others that find the culprit: a run is put into the queue to be reverted, code is
    refused. While today's code is refused, the dartifact is made with that of the last good one. `retry` forgets the
    refusal and what was red, and builds again. A code that the line has left for another one is refused, until a person
    lets it `go_over` to that of this checkout.

    Raises UsageError while `main` is empty, Conflict while its head is untested or the code changes during the build,
    PolicyRefused when the code is overtaken, or refused and there is no other, Locked while another stage works,
    ChecksErrored when dbt could not run.
    """
    if retry:
        stack.require(Role.OPERATOR, "build with blocked code again")
    refuse_while_stopped(stack.ledger)
    with hold_lease(stack.ledger, "stage"):
        finish_open_intents(stack, actor)
        head = _require_head(stack)
        inputs = Inputs(head, stack.lake.list_objects(head.commit_id, "raw/"), digest_code(stack.project))
        if retry:
            _forget(stack, inputs, actor)
        if go_over:
            record_code(stack.ledger, inputs.digest, actor)
        _refuse_overtaken(stack.ledger, inputs.digest)
        with last_good(stack) as good:
            made = _make_allowed(stack, inputs, good, actor, runner)
        _show(stack, made, actor, runner)
        return made


def _require_head(stack: Stack) -> Commit:
    """Return the head of `main`; UsageError when it is empty, Conflict when it is untested."""
    head = stack.lake.head(MAIN)
    if not head.parents:
        raise errors.UsageError(
            "main holds no data yet", hint=(Command("ingest", "SOURCE"), ", then ", Command("integrate"))
        )
    if not (state := is_main_tested(stack.ledger, head)):
        raise errors.Conflict(f"the head of main is not tested: {state.why}", hint=Command("integrate"))
    return head


def _refuse_overtaken(ledger: Ledger, digest: str) -> None:
    if why := find_overtaken(ledger, digest):
        hint = ("bring this checkout up to date, or ", Command("stage", "--code"), " to go over to its code")
        raise errors.PolicyRefused(why, hint=hint)


def _make_allowed(stack: Stack, inputs: Inputs, good: LastGood | None, actor: str, runner: Runner) -> Dartifact:
    """Make the dartifact with today's code or, where that is refused before or by its build, with the last good one."""
    refusal = find_refusal(stack.ledger, inputs.digest)
    if refusal is None:
        made = _make(stack, inputs, good, actor, runner)
        refusal = find_refusal(stack.ledger, inputs.digest)
        if refusal is None:
            if made.state in PASSED:
                record_code(stack.ledger, inputs.digest, actor)
            return made
    return _make(stack, _stand_in(inputs, good, refusal), good, actor, runner)


def _show(stack: Stack, made: Dartifact, actor: str, runner: Runner) -> None:
    """Publish a dartifact that was built, and is not bad, to `env-staging`."""
    if made.commit is None or made.state is DartifactState.BAD:
        return
    wanted = stack.lake.commit_of(made.commit)
    name, generation = made.dartifact_id, made.created
    runner(
        "publish env-staging",
        lambda: publish(stack, STAGING, wanted, dartifact=name, generation=generation, actor=actor),
    )


def _stand_in(inputs: Inputs, good: LastGood | None, why: str) -> Inputs:
    """Return the same data with the code of the last good dartifact."""
    if good is None:
        raise errors.PolicyRefused(
            f"current dbt/ and checks/ are blocked ({why}), and no dartifact was green with others",
            hint=("change them, or ", Command("stage", "--retry")),
        )
    return replace(inputs, digest=good.dartifact.code_digest, stand_in=StandIn(good, inputs.digest, why))


def _forget(stack: Stack, inputs: Inputs, actor: str) -> None:
    known = _find(stack, inputs.name)
    with stack.ledger.write() as tx:
        if tx.dartifacts.drop_blame(Blame(BlameKind.CODE, inputs.digest)):
            tx.append(EventType.CODE_REFUSAL_FORGOTTEN, actor, code=inputs.digest)
        if known is not None and known.state is DartifactState.RED:
            tx.dartifacts.move(
                inputs.name, DartifactState.BUILDING, EventType.DARTIFACT_RETRIED, actor, changes={"reasons": []}
            )


def _make(stack: Stack, inputs: Inputs, good: LastGood | None, actor: str, runner: Runner) -> Dartifact:
    """Build a dartifact that is not known, or was left half built; return it, red or green."""
    name = inputs.name
    known = _find(stack, name)
    if known is None:
        with stack.ledger.write() as tx:
            tx.dartifacts.add(
                name, code_digest=inputs.digest, main_commit=inputs.head.commit_id, runs=inputs.runs, actor=actor
            )
    if known is None or known.state is DartifactState.BUILDING:
        build_dartifact(stack, name, inputs, good, actor, runner)
    if known is not None:
        _let_wait_alone(stack, name, actor)
    return stack.ledger.dartifact(name)


def _let_wait_alone(stack: Stack, name: str, actor: str) -> None:
    """Let what `main` came back to, by a revert say, wait for production, and what it has left no longer."""
    ledger = stack.ledger
    if _waits_alone(ledger, name):
        return
    with ledger.write() as tx:
        if _waits_alone(ledger, name):
            return
        if ledger.dartifact(name).state is DartifactState.SUPERSEDED:
            tx.dartifacts.move(name, DartifactState.APPROVED, EventType.DARTIFACT_APPROVED, actor)
        for other in _others_waiting(ledger, name):
            tx.dartifacts.move(other, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor)


def _waits_alone(ledger: Ledger, name: str) -> bool:
    """Say whether nothing else waits beside a dartifact, or it is one that never will."""
    state = ledger.dartifact(name).state
    if state in (DartifactState.RED, DartifactState.BAD):
        return True
    return state is not DartifactState.SUPERSEDED and not _others_waiting(ledger, name)


def _others_waiting(ledger: Ledger, name: str) -> tuple[str, ...]:
    names = (dartifact.dartifact_id for dartifact in ledger.dartifacts(states=WAITING))
    return tuple(other for other in names if other != name)


def _find(stack: Stack, name: str) -> Dartifact | None:
    try:
        return stack.ledger.dartifact(name)
    except errors.NotFound:
        return None
