"""The verb `doctor`."""

from __future__ import annotations

import typer

from dartifact.cli.exit_codes import NOT_CHECKED
from dartifact.cli.frame import answer, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.findings import format_findings
from dartifact.commands.upkeep.doctor import Orchestrator, examine
from dartifact.local.note import read_note
from dartifact.local.prefect_api import POOL, find_pool
from dartifact.local.prefect_auth import read_auth
from dartifact.project import load_each_source
from dartifact.settings import read_settings
from dartifact.wiring import open_access, prepare_home


def doctor(output: Output) -> None:
    """Examine what dartifact needs."""
    settings = read_settings()
    prepare_home(settings.home)

    def find_orchestrator() -> Orchestrator | None:
        note = read_note(settings.home)
        found = find_pool(note.api_url if note else "", POOL, auth=read_auth(settings.home))
        return Orchestrator(*found) if found else None

    findings = examine(
        project=settings.project,
        home=settings.home,
        ledger_url=settings.ledger,
        repository=settings.repository,
        open_access=lambda: open_access(settings, print_progress),
        load_sources=lambda: load_each_source(settings.project),
        lake_url=settings.lake_url,
        find_orchestrator=find_orchestrator,
    )
    lines = [(finding.ok, finding.what, finding.found, finding.advice) for finding in findings]
    answer([finding.to_json() for finding in findings], output, lambda: format_findings(lines))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(NOT_CHECKED)
