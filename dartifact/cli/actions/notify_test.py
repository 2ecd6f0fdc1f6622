"""The verb `notify-test`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from dartifact.adapters.notifier import Notifier
from dartifact.cli.exit_codes import NOT_CHECKED
from dartifact.cli.frame import answer
from dartifact.cli.options import Output
from dartifact.commands.upkeep.notify import send_test
from dartifact.settings import read_settings


def notify_test(output: Output) -> None:
    """Send a test message to every target."""
    deliveries = send_test(Notifier(), [url.get_secret_value() for url in read_settings().notify_urls])
    lines = [f"{delivery.target}: {delivery.problem or 'delivered'}" for delivery in deliveries]
    answer([asdict(delivery) for delivery in deliveries], output, lambda: "\n".join(lines))
    if any(delivery.problem for delivery in deliveries):
        raise typer.Exit(NOT_CHECKED)
