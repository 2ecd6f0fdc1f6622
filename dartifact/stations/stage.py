"""Stage: the station that makes dartifacts."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.staging import stage as staging
from dartifact.domain.dartifacts import Dartifact, DartifactState
from dartifact.domain.errors import ChecksFailed
from dartifact.domain.events import EventType
from dartifact.settings import read_settings
from dartifact.stations.runner import Ended, ends_in_words, leave_artifact, run_as_task, say, start_station
from dartifact.wiring import open_stack

_ENDS = (EventType.DARTIFACT_GREEN, EventType.DARTIFACT_RED)


@flow(name="stage", log_prints=True, timeout_seconds=14_400)
@ends_in_words
def stage() -> Ended:
    """Build and test the head of `main`; start `promote` for what is green, `integrate` to take a culprit out."""
    with open_stack(read_settings(), say) as stack:
        if not stack.lake.head(MAIN).parents:
            return Completed(message="main holds no data yet")
        last = stack.ledger.last_event()
        dartifact = staging.stage(stack, actor="policy:stage", runner=run_as_task)
        has_moved = stack.lake.head(MAIN).commit_id != dartifact.main_commit
        names = [each.dartifact_id or "" for each in stack.ledger.events_after(last, _ENDS, 10)]
        built = [stack.ledger.dartifact(name) for name in names]
        has_reverts = bool(stack.ledger.pending_reverts())
    for each in built:
        leave_artifact(each.dartifact_id, f"dartifact {each.dartifact_id} is {each.state}", _describe(each))
    if built and has_moved:
        start_station("stage")
    if has_reverts:
        start_station("integrate")
    if dartifact.state is DartifactState.GREEN:
        start_station("promote")
    red = [each for each in built if each.state is DartifactState.RED]
    if red:
        raise ChecksFailed("; ".join(f"{each.dartifact_id} is red: {'; '.join(each.reasons)}" for each in red))
    refused = (dartifact.passport or {}).get("refused")
    instead = f", with the code of {refused['built_with']}: {refused['why']}" if refused else ""
    return Completed(
        message=f"{dartifact.dartifact_id} is {dartifact.state}{', as before' if not built else ''}{instead}"
    )


def _describe(dartifact: Dartifact) -> list[str]:
    """Return Markdown lines on a dartifact."""
    passport = dartifact.passport or {}
    refused = passport.get("refused")
    return [
        *(f"why: {reason}" for reason in dartifact.reasons),
        *([f"current dbt/ and checks/ are blocked: {refused['why']}"] if refused else []),
        *([f"built with the code of {refused['built_with']}"] if refused else []),
        *(f"`{mart}`: {figures['rows']:,} rows" for mart, figures in passport.get("marts", {}).items()),
        f"look: `dartifact show {dartifact.dartifact_id}`",
    ]
