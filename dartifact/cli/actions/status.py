"""The verb `status`."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.status import format_status
from dartifact.documents.status import describe_services, describe_status
from dartifact.local.note import read_note


def status(output: Output) -> None:
    """Answer where everything stands."""
    with opened(sources=False) as (settings, stack):
        document = describe_status(stack)
        document["services"] = describe_services(read_note(settings.home))
    answer(document, output, lambda: format_status(document))
