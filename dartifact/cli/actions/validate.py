"""The verb `checks validate`."""

from __future__ import annotations

import typer

from dartifact.cli.frame import answer
from dartifact.cli.options import Output
from dartifact.cli.text.findings import format_findings
from dartifact.commands.upkeep.validate import validate_checks
from dartifact.project import load_each_source
from dartifact.settings import read_settings


def validate(output: Output) -> None:
    """Validate the files of checks/, and the sources beside their contracts."""
    project = read_settings().project
    files = validate_checks(project, load_each_source(project, written_only=True))
    lines = [(file.ok, file.file, file.found, file.hint) for file in files]
    answer([file.to_json() for file in files], output, lambda: format_findings(lines))
    if not all(file.ok for file in files):
        raise typer.Exit(1)
