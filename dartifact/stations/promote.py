"""Production: the stations that move the live pointer."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed

from dartifact.commands.production import promote as production
from dartifact.commands.production import rollback
from dartifact.commands.production.rollback_preview import preview_rollback
from dartifact.commands.production.under_way import find_under_way
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.errors import Aborted, ChecksFailed
from dartifact.settings import read_settings
from dartifact.stations.runner import Ended, ends_in_words, leave_artifact, run_as_task, say, start_station
from dartifact.wiring import open_stack, open_stack_surely

# Seconds that a worker waits for soaks; the schedule goes on with a longer one.
_PATIENCE = 20


@flow(name="promote", log_prints=True, timeout_seconds=7200)
@ends_in_words
def promote(dartifact: str | None = None) -> Ended:
    """Bring the newest green dartifact, or the named one, live."""
    with open_stack(read_settings(), say, sources=False) as stack:
        try:
            plan = production.promote(
                stack, dartifact, actor="policy:promote", runner=run_as_task, patience=_PATIENCE, progress=say
            )
        except Aborted as error:
            last = stack.ledger.promotions(most=1)
            if last and stack.ledger.dartifact(last[0].plan.dartifact).state is DartifactState.BAD:
                look = f"look: `dartifact show {last[0].plan.dartifact}`"
                leave_artifact(f"promote {last[0].plan.dartifact}", error.message, [look])
                raise ChecksFailed(error.message) from error  # the smoke or the traffic gate said no
            raise
        live, waits = stack.ledger.pointer().live, find_under_way(stack)
        is_left = (
            plan is not None and waits is None and bool(stack.ledger.dartifacts(states=(DartifactState.GREEN,), most=1))
        )
    if is_left:
        start_station("promote")
    if plan is None:
        return Completed(message=f"no dartifact to promote; live is {live or 'nothing'}")
    if waits is not None and waits.plan == plan:
        until = f"{waits.goes_on_at:%H:%M:%S} UTC" if waits.goes_on_at else "the next run"
        return Completed(name="Waits", message=f"{plan.dartifact} waits until {until}: {waits.step}")
    steps = [f"{number}. {step}" for number, step in enumerate(plan.steps, start=1)]
    leave_artifact(f"promote {plan.dartifact}", f"{plan.dartifact} is live on {plan.slot}", steps)
    return Completed(message=f"{plan.dartifact} is live on {plan.slot}")


@flow(name="rollback", log_prints=True, timeout_seconds=1800)
@ends_in_words
def roll_back(reason: str, to: str | None = None, blame: tuple[str, ...] = ("unknown",)) -> Ended:
    """Bring back a dartifact that served before, start `integrate` for the runs that leave `main`."""
    settings = read_settings()
    with open_stack_surely(settings, say) as stack:
        rollback.require_no_other(stack, to)
        cause = Cause.parse(blame)
        shown = preview_rollback(stack, to, cause)
        done = rollback.roll_back(
            stack,
            shown.returns,
            cause,
            reason=reason,
            actor=settings.person,
            leaves=shown.leaves,
            runner=run_as_task,
        )
    leave_artifact(
        f"rollback {done.leaves}",
        f"{done.returns} is live again",
        [
            f"{done.leaves} left: {reason}",
            *(f"leaves main: `{each}`" for each in done.reverts),
        ],
    )
    if done.reverts:
        start_station("integrate")
    return Completed(message=f"{done.returns} is live again")
