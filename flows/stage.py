"""Stage: the station that makes dartifacts."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from prefect.states import Completed

from flows.adapters.lake import MAIN
from flows.commands import staging
from flows.domain.dartifacts import DartifactState
from flows.domain.errors import ChecksFailed
from flows.runner import Ended, ends_in_words, leave_artifact, run_as_task, say, start_station
from flows.settings import read_settings
from flows.wiring import open_stack


@flow(name="stage", log_prints=True)
@ends_in_words
def stage() -> Ended:
    """Build and test the head of `main`, start `promote` when the dartifact is green."""
    started = datetime.now(UTC)
    with open_stack(read_settings(), say) as stack:
        if not stack.lake.head(MAIN).parents:
            return Completed(message="main holds no data yet")
        dartifact = staging.stage(stack, actor="policy:stage", run=run_as_task)
        has_moved = stack.lake.head(MAIN).commit_id != dartifact.main_commit
        built = [each for each in stack.ledger.events(dartifact_id=dartifact.dartifact_id)
                 if each.type in ("DartifactGreen", "DartifactRed") and each.at >= started]  # fmt: skip
    name, reasons = dartifact.dartifact_id, "; ".join(dartifact.reasons)
    if built:
        marts = (dartifact.passport or {}).get("marts", {})
        leave_artifact(
            name,
            f"dartifact {name} is {dartifact.state}",
            [
                *(f"why: {reason}" for reason in dartifact.reasons),
                *(f"`{mart}`: {figures['rows']:,} rows" for mart, figures in marts.items()),
                f"look: `dartifact show {name}`",
            ],
        )
        if has_moved:
            start_station("stage")
    if dartifact.state is DartifactState.GREEN:
        start_station("promote")
    if dartifact.state is DartifactState.RED and built:
        raise ChecksFailed(f"{name} is red: {reasons}")
    return Completed(message=f"{name} is {dartifact.state}{', as before' if not built else ''}")
