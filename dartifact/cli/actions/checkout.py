"""The verb `checkout`."""

from __future__ import annotations

from pathlib import Path

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.lines import indent
from dartifact.commands.review.checkout import check_out
from dartifact.domain.runs import read_run_id


def checkout(run: str, to: Path | None, output: Output) -> None:
    """Write a folder with everything about a run."""
    name = read_run_id(run)
    folder = to or Path(name)
    with opened() as (_, stack):
        files = check_out(stack, name, folder)
    names = indent(str(file.relative_to(folder)) for file in files)
    lines = [f"{folder}/", *names, f"next: read {folder / 'README.md'}"]
    answer({"folder": str(folder), "files": [str(file) for file in files]}, output, lambda: "\n".join(lines))
