"""Gaps: closed by a backfill over them, or because a person accepts that their rows are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from dartifact.commands.ingest.extraction import Extractor
from dartifact.commands.ingest.ingest import carry, finish_runs
from dartifact.commands.leases import hold_lease
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors
from dartifact.domain.hints import Command
from dartifact.domain.people import Role, require_reason
from dartifact.domain.runs import Run
from dartifact.domain.sources import Source


def backfill(
    stack: Stack,
    source: Source,
    extractor: Extractor,
    ingestors: Sequence[str],
    lo: datetime,
    to: datetime,
    *,
    actor: str,
    runner: Runner = run_plainly,
    show: Callable[[Run], None] = lambda _: None,
) -> tuple[Run, ...]:
    """Bring (lo, to] of the named ingestors' shards once more, in windows of at most `max_window` and `max_rows`.

    What `main` or the merge queue has already is left out, also as a newer version of the same key; what gaps lack
    is brought. The fetch cursor stays. `show` is given each run as it stands when it is done with. UsageError: the
    stretch is empty, or not all of it was claimed before; PolicyRefused: who asks is no operator; nothing is claimed
    then. Else raises what `ingest` does: the same call again does the rest.
    """
    stack.require(Role.OPERATOR, "ingest an interval again")
    if lo >= to:
        raise errors.UsageError(f"nothing lies between {lo.isoformat()} and {to.isoformat()}")
    for ingestor in ingestors:
        refuse_while_stopped(stack.ledger, ingestor)
        _require_claimed(stack, source, ingestor, to)
    done: list[Run] = []
    for ingestor in ingestors:
        with hold_lease(stack.ledger, f"ingest {ingestor}"):
            _, problems = finish_runs(stack, source, extractor, ingestor, actor, runner)
            cursor = lo
            while cursor < to:
                hi = min(to, cursor + source.max_window)
                with stack.ledger.write() as tx:
                    claimed = tx.windows.claim_backfill(source, ingestor, cursor, hi, actor=actor)
                done.append(carry(stack, source, extractor, claimed, actor, runner))
                show(done[-1])
                cursor = done[-1].window.hi
            if problems:
                raise problems[0]
    return tuple(done)


def _require_claimed(stack: Stack, source: Source, ingestor: str, to: datetime) -> None:
    """Raise UsageError unless an ingestor has claimed its shard up to a time."""
    last = stack.ledger.last_claim(source.name, source.shard(ingestor))
    if last is None or to > last:
        claimed = f"claimed {source.name} up to {last.isoformat()}" if last else f"claimed nothing of {source.name}"
        message = f"{ingestor} has {claimed}: a backfill cannot go to {to.isoformat()}"
        raise errors.UsageError(message, hint=Command("ingest", f"{source.name} --ingestor {ingestor}"))


def accept_gap(stack: Stack, run_id: str, *, reason: str, actor: str) -> Run:
    """Accept that the rows of an open gap are missing; UsageError when the run left none."""
    stack.require(Role.REVIEWER, "accept a gap")
    require_reason(reason)
    run = stack.ledger.run(run_id)
    if run_id not in {left_by for _, left_by in stack.ledger.gaps()}:
        raise errors.UsageError(
            f"{run_id} has left no open gap: its window is {run.window.state}", hint=Command("status")
        )
    with stack.ledger.write() as tx:
        return tx.windows.accept_gap(run_id, reason, actor)
