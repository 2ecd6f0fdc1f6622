"""The verb `status`."""

from __future__ import annotations

from dartifact import documents
from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.status import format_status
from dartifact.local.note import read_note


def status(output: Output) -> None:
    """Answer where everything stands."""
    with opened(sources=False) as (settings, stack):
        document = documents.describe_status(stack)
        note = read_note(settings.home)
    document["services"] = note.to_json() if note else None
    answer(document, output, lambda: format_status(document))
