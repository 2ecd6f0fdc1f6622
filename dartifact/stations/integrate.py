"""Integrate: the station that moves `main`."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed

from dartifact.commands.queue import integrate as queue
from dartifact.domain.errors import ChecksFailed
from dartifact.domain.runs import Phase
from dartifact.settings import read_settings
from dartifact.stations.runner import (
    Ended,
    describe_run,
    ends_in_words,
    leave_artifact,
    run_as_task,
    say,
    start_station,
)
from dartifact.wiring import open_stack


@flow(name="integrate", log_prints=True, timeout_seconds=7200)
@ends_in_words
def integrate() -> Ended:
    """Bring what waits in the merge queue into `main`, start `stage` when it moved."""
    with open_stack(read_settings(), say) as stack:
        done = queue.integrate(stack, actor="policy:integrate", runner=run_as_task)
        stopped = stack.ledger.runs(names=[*done.failed, *done.held])
        for each in stopped:
            leave_artifact(f"integrate {each.run_id}", f"{each.run_id}: {each.phase}", describe_run(stack, each))
        queued = {each.run_id for each in stack.ledger.runs(phases=(Phase.QUEUED,))}
        # What waits in order is gone on with by whoever finishes with the run that it waits for.
        is_left = bool(queued - set(done.waiting) or stack.ledger.pending_reverts())
    if done.merged or done.reverted:
        start_station("stage")
        lines = [f"merged `{each}`" for each in done.merged] + [f"reverted `{each}`" for each in done.reverted]
        leave_artifact("integrate", f"main is {done.commit}", [*lines, "look: `dartifact status`"])
    if is_left:
        start_station("integrate")
    if done.failed:
        raise ChecksFailed(f"stopped at the integration gate: {', '.join(done.failed)}")
    if not (done.merged or done.reverted):
        return Completed(message="nothing waits in the merge queue")
    return Completed(message=f"main advanced: {len(done.merged)} in, {len(done.reverted)} out")
