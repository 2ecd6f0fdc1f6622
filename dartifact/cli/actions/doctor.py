"""The verb `doctor`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict

import typer

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.cli.exit_codes import NOT_CHECKED
from dartifact.cli.frame import answer, print_progress
from dartifact.cli.options import Output
from dartifact.cli.simulated import find_stand_in
from dartifact.cli.text.findings import format_findings
from dartifact.commands.upkeep.doctor import Configuration, Orchestrator, examine
from dartifact.local.lakefs_files import has_store
from dartifact.local.note import read_note
from dartifact.local.prefect_api import POOL, find_pool
from dartifact.local.prefect_auth import read_auth
from dartifact.project import load_each_source
from dartifact.settings import read_settings
from dartifact.wiring import open_access


def doctor(output: Output) -> None:
    """Examine what dartifact needs."""
    settings = read_settings()
    place = Configuration(
        project=settings.project,
        home=settings.home,
        ledger_url=settings.ledger,
        repository=settings.repository,
        lake_url=settings.lake_url,
        storage_namespace=settings.storage_namespace,
        source_urls=settings.source_urls,
        has_stand_in=find_stand_in(settings.home) is not None,
        image=settings.image,
    )

    def find_orchestrator() -> Orchestrator | None:
        note = read_note(settings.home)
        found = find_pool(note.api_url if note else "", POOL, auth=read_auth(settings.home))
        return Orchestrator(**asdict(found)) if found else None

    def open_lake() -> AbstractContextManager[LakeAccess] | None:
        is_there = settings.lake_url or has_store(settings.home)
        return open_access(settings, print_progress) if is_there else None

    findings = examine(
        place,
        open_access=open_lake,
        load_sources=lambda: load_each_source(settings.project),
        find_orchestrator=find_orchestrator,
    )
    lines = [(finding.ok, finding.what, finding.found, finding.advice) for finding in findings]
    answer([finding.to_json() for finding in findings], output, lambda: format_findings(lines))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(NOT_CHECKED)
