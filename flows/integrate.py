"""Integrate: the station that moves `main`."""

from __future__ import annotations

from prefect import flow

from flows.commands import queue
from flows.domain.errors import ChecksFailed
from flows.runner import run_as_task, say
from flows.settings import read_settings
from flows.wiring import open_stack


@flow(name="integrate", log_prints=True)
def integrate() -> None:
    """Bring what waits in the merge queue into `main`; ChecksFailed when a run was stopped."""
    with open_stack(read_settings(), say) as stack:
        done = queue.integrate(stack, actor="policy:integrate", run=run_as_task)
    if done.failed:
        raise ChecksFailed(f"stopped at the integration gate: {', '.join(done.failed)}")
