"""The verbs `up` and `down`."""

from __future__ import annotations

from dartifact.cli.frame import print_progress
from dartifact.cli.simulated import find_service
from dartifact.settings import read_settings
from dartifact.up.run import run_detached, run_down, run_up


def up(detach: bool, every: int | None) -> None:
    """Run the services, here or in the background."""
    settings = read_settings() if every is None else read_settings(ingest_seconds=every)
    if detach:
        run_detached(settings, print_progress)
    else:
        run_up(settings, print_progress, find_service(settings.home.resolve()))


def down() -> None:
    """Stop the services."""
    run_down(read_settings(), print_progress)
