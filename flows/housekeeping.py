"""Housekeeping: the station that repairs what a crash left."""

from __future__ import annotations

from prefect import flow

from flows.commands import housekeeping
from flows.runner import say
from flows.settings import read_settings
from flows.wiring import open_stack


@flow(name="reconcile", log_prints=True)
def reconcile() -> None:
    """Bring the lake in line with the ledger."""
    with open_stack(read_settings(), say, sources=False) as stack:
        for line in housekeeping.reconcile(stack):
            say(line)
