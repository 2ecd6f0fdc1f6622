"""The verbs `backup`, `restore` and `verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from dartifact.cli.exit_codes import NOT_CHECKED
from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.findings import format_findings
from dartifact.commands.upkeep.verify import verify as look
from dartifact.local.backup import Backup, back_up, check_backup, find_moment
from dartifact.local.backup import restore as write_back
from dartifact.settings import read_settings


def backup(to: Path, output: Output) -> None:
    """Copy ledger and lake."""
    with opened(sources=False) as (_, stack):
        moment = back_up(stack, to.resolve(), print_progress)
    _answer(check_backup(moment), moment, output, f"{moment} is whole; `dartifact restore {moment}` writes it back")


def restore(backup: Path, output: Output) -> None:
    """Write a backup into an empty home."""
    settings = read_settings()
    moment = find_moment(backup.resolve())
    done = write_back(moment, settings.home.resolve(), settings.ledger, print_progress)
    _answer(done, moment, output, f"{settings.home} is as it was at {done.at}; next: dartifact verify")


def verify(backup: Path | None, deep: bool, output: Output) -> None:
    """Compare ledger and lake, or look at a backup."""
    if backup is not None:
        moment = find_moment(backup.resolve())
        found = check_backup(moment)
        _answer(found, moment, output, f"{moment} is whole: {len(found.files):,} files, {found.size / 1e6:,.1f} MB")
        return
    with opened(sources=False) as (_, stack):
        findings = look(stack, deep=deep, progress=print_progress)
    lines = [(finding.ok, finding.what, finding.found, finding.advice) for finding in findings]
    answer([finding.to_json() for finding in findings], output, lambda: format_findings(lines))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(NOT_CHECKED)


def _answer(backup: Backup, moment: Path, output: Output, text: str) -> None:
    document = {**asdict(backup), "folder": str(moment), "bytes": backup.size, "files": len(backup.files)}
    answer(document, output, lambda: text)
