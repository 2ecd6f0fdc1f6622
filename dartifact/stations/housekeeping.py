"""Housekeeping: the station that repairs what a crash left."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed

from dartifact.commands.repair import reconcile as housekeeping
from dartifact.settings import read_settings
from dartifact.stations.runner import Ended, ends_in_words, say
from dartifact.wiring import open_stack, telling


@flow(name="reconcile", log_prints=True, timeout_seconds=1800)
@ends_in_words
def reconcile() -> Ended:
    """Bring the lake in line with the ledger, and tell people what the stations have stopped."""
    settings = read_settings()
    with open_stack(settings, say, sources=False) as stack, telling(settings, stack, say):
        found = housekeeping.reconcile(stack)
    return Completed(message="; ".join(found) or "all is well")
