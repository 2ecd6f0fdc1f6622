"""Stage: the station that makes dartifacts."""

from __future__ import annotations

from prefect import flow

from flows.commands import staging
from flows.domain.dartifacts import DartifactState
from flows.domain.errors import ChecksFailed
from flows.runner import run_as_task, say
from flows.settings import read_settings
from flows.wiring import open_stack


@flow(name="stage", log_prints=True)
def stage() -> None:
    """Build and test the head of `main`; ChecksFailed when the dartifact is red."""
    with open_stack(read_settings(), say) as stack:
        dartifact = staging.stage(stack, actor="policy:stage", run=run_as_task)
    if dartifact.state is DartifactState.RED:
        raise ChecksFailed(f"{dartifact.dartifact_id} is red: {'; '.join(dartifact.reasons)}")
